"""The service ``Programs``: named programs, created and executed by name.

docs/programs.md has each command's request, reply and errors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from slotring import lifetime
from slotring.errors import CallError, ErrorCode, ProgramError
from slotring.handlers import handler, service
from slotring.packages import is_there
from slotring.programs.catalogue import (
    GLOBAL_PREFIX,
    BuiltPrograms,
    Definitions,
    Figures,
    GlobalDefinitions,
    Record,
    SessionDefinitions,
    map_in,
    not_found,
)
from slotring.programs.definition import Definition, check_name
from slotring.programs.language_model import LanguageModel
from slotring.programs.requests import Key, invalid, read
from slotring.programs.signature import Mismatch
from slotring.sessions import Session

DATA_KEY = "slotring.programs.data"  # in a session's state: what update_session_data keeps

SCOPES = ("session", "global")


@service
class Programs:
    """One worker's part of it. A pool serves it by ``module = "slotring.programs"``."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._built = BuiltPrograms()
        self._figures = Figures()
        self._language_model = LanguageModel()

    @handler(broadcast=True)
    def configure_lm(self, request: Any) -> dict[str, Any]:
        """Says which language model DSPy's programs use. By broadcast only."""
        return self._language_model.configure(request)

    @handler
    def create_program(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Keeps a program's definition under a name, after making the program once."""
        wanted = read(
            "create_program",
            request,
            {
                "name": Key(str),
                "type": Key(str),
                "signature": Key((str, dict)),
                "options": Key(dict, {}),
                "description": Key(str, ""),
                "scope": Key(str, "session"),
                "replace": Key(bool, False),
            },
        )
        definition = Definition.parse(wanted["name"], wanted)
        kept = self._kept("create_program", wanted["scope"], definition.name, ctx)
        record = Record(kept.scope, definition, time.time())
        # Each worker, and each later one, makes the last broadcast of a key: one that is refused by
        # those that are there would be made by those to come.
        created = kept.admits(record, wanted["replace"] or kept.scope == "global")
        # What cannot be made is not kept. A global program that another worker has put in a shared
        # store is made here all the same: the broadcast tells whether each worker can.
        if created or kept.scope == "global":
            self._built.get(kept.owner, record)
        if created:
            kept.put(record)
        return {"name": definition.name, "scope": kept.scope, "created": created}

    @handler
    def execute_program(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Executes a program; checks its inputs and its outputs."""
        wanted = read("execute_program", request, {"name": Key(str), "inputs": Key(dict, {})})
        record, owner = self._find(wanted["name"], ctx)
        signature = record.definition.signature
        try:
            inputs = signature.check_inputs(wanted["inputs"])
        except Mismatch as mismatch:
            raise invalid(f"execute_program: {wanted['name']!r}: {mismatch}") from None
        built = self._built.get(owner, record)
        failed = True
        started = time.perf_counter()
        try:
            try:
                result = built.program(inputs)
            finally:
                seconds = time.perf_counter() - started
            outputs = signature.check_outputs(result)
            failed = False
        except CallError:
            raise
        except Mismatch as mismatch:
            raise ProgramError(
                f"the program {wanted['name']!r} broke its signature: {mismatch}"
            ) from None
        except Exception as error:
            raise ProgramError(f"the program {wanted['name']!r} failed", error) from error
        finally:
            for figures in (self._figures, built.figures):
                figures.count(seconds, failed)
        return {
            "name": wanted["name"],
            "scope": record.scope,
            "outputs": outputs,
            "execution_time": seconds,
        }

    @handler
    def list_programs(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Lists programs: those of the call's session, then the global ones."""
        scope = read("list_programs", request, {"scope": Key(str, "all")})["scope"]
        if scope != "all" and scope not in SCOPES:
            raise invalid(f"list_programs: the scope is {scope!r}; it is all, session or global")
        if scope == "session":
            _session("list_programs", ctx)  # there has to be one
        kept = [k for k in self._places(ctx) if scope in ("all", k.scope)]
        programs = [record.summary() for k in kept for record in k.records()]
        return {"programs": programs, "count": len(programs)}

    @handler
    def delete_program(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Forgets a program."""
        wanted = read(
            "delete_program",
            request,
            {"name": Key(str), "scope": Key(str, "session"), "missing_ok": Key(bool, False)},
        )
        check_name(wanted["name"])
        kept = self._kept("delete_program", wanted["scope"], wanted["name"], ctx)
        deleted = kept.remove(wanted["name"])
        self._built.drop(kept.owner, wanted["name"])
        # Of a global one each worker is told; where they share a store, one of them finds it.
        if not (deleted or wanted["missing_ok"] or kept.scope == "global"):
            raise not_found(wanted["name"], kept.names())
        return {"name": wanted["name"], "scope": kept.scope, "deleted": deleted}

    @handler
    def get_program_info(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Tells a program's definition, and what this worker has counted of it."""
        name = read("get_program_info", request, {"name": Key(str)})["name"]
        record, owner = self._find(name, ctx)
        built = self._built.find(owner, record)
        return {
            "name": name,
            "scope": record.scope,
            **record.definition.as_value(),
            "created_at": record.created_at,
            "built": built is not None,
            **(built.figures if built is not None else Figures()).as_value(),
        }

    @handler
    def get_stats(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Tells how many programs there are, and what this worker has executed."""
        read("get_stats", request, {})
        counts = dict.fromkeys(SCOPES, 0)
        for kept in self._places(ctx):
            counts[kept.scope] = len(kept.names())
        return {
            "programs": counts,
            "built": len(self._built),
            **self._figures.as_value(),
            "uptime_s": time.monotonic() - self._started,
            "dspy_available": is_there("dspy"),
            "language_model": self._language_model.as_value(),
        }

    @handler
    def cleanup(self, request: Any) -> dict[str, Any]:
        """Drops the programs that this worker has made; they are made again when executed."""
        read("cleanup", request, {})
        return {"dropped": self._built.clear()}

    @handler
    def reset_state(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Forgets the session's programs and data, and nothing else that the session keeps."""
        read("reset_state", request, {})
        session = _session("reset_state", ctx)
        self._built.drop(session.name)
        programs = SessionDefinitions(session).clear()
        data = session.pop(DATA_KEY, {})
        return {"programs": programs, "data": len(data)}

    @handler
    def cleanup_session(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Ends the session: all of its state goes, its programs and data with it."""
        read("cleanup_session", request, {})
        session = _session("cleanup_session", ctx)
        programs, data = len(SessionDefinitions(session).names()), len(_data(session))
        self._built.drop(session.name)
        lifetime.end_session(session)
        return {"programs": programs, "data": data}

    @handler
    def get_session_data(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Tells the session's data, or those of some keys, which have to be there."""
        wanted = read("get_session_data", request, {"keys": Key(list, [])})["keys"]
        session = _session("get_session_data", ctx)
        data = _data(session)
        missing = [key for key in wanted if key not in data]
        if missing:
            raise invalid(f"get_session_data: there is no {', '.join(map(repr, missing))}")
        return {"data": {key: data[key] for key in wanted or data}}

    @handler
    def update_session_data(self, request: Any, ctx: Any) -> dict[str, Any]:
        """Sets keys of the session's data, and removes others."""
        wanted = read(
            "update_session_data", request, {"data": Key(dict, {}), "remove": Key(list, [])}
        )
        session = _session("update_session_data", ctx)
        data = {**_data(session), **wanted["data"]}
        removed = [key for key in wanted["remove"] if data.pop(key, session) is not session]
        if wanted["data"] or removed:
            session[DATA_KEY] = data
        return {"set": len(wanted["data"]), "removed": len(removed), "count": len(data)}

    @handler
    def shutdown(self, request: Any) -> dict[str, Any]:
        """Ends this worker after its reply; the supervisor starts another."""
        read("shutdown", request, {})
        lifetime.end_worker()
        return {"status": "ending", "pid": os.getpid()}

    def _kept(self, command: str, scope: str, name: str, ctx: Any) -> Definitions:
        """Where a command changes definitions."""
        if scope == "global":
            key = GLOBAL_PREFIX + name
            if ctx.broadcast_key is None:
                raise CallError(
                    f"{command}: a global program is for all workers of the pool: broadcast the "
                    f"call, with the key {key!r}",
                    ErrorCode.BROADCAST_ONLY,
                )
            # With another one it would take the place of a broadcast about something else.
            if ctx.broadcast_key != key:
                raise invalid(
                    f"{command}: it was broadcast with the key {ctx.broadcast_key!r}; of this "
                    f"program it has to be {key!r}"
                )
            return GlobalDefinitions()
        if scope != "session":
            raise invalid(f"{command}: the scope is {scope!r}; it is session or global")
        return SessionDefinitions(_session(f"{command}: a program of the scope 'session'", ctx))

    def _places(self, ctx: Any) -> Iterator[Definitions]:
        """Where programs are looked for, in this order."""
        if ctx.session is not None:
            yield SessionDefinitions(ctx.session)
        yield GlobalDefinitions()

    def _find(self, name: str, ctx: Any) -> tuple[Record, str]:
        """A program by its name, and its owner."""
        for kept in self._places(ctx):
            record = kept.find(name)
            if record is not None:
                return record, kept.owner
        raise not_found(name, [n for kept in self._places(ctx) for n in kept.names()])


def _session(what: str, ctx: Any) -> Session:
    """The call's session, which ``what`` needs."""
    session: Session | None = ctx.session
    if session is None:
        raise invalid(f"{what}: needs a session, and this call is in none")
    return session


def _data(session: Session) -> dict[str, Any]:
    return map_in(session, DATA_KEY, "data")
