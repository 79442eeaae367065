"""The sessions of one worker: opened before a call's handler, kept after it, ended when unused."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slotring import _native
from slotring.errors import CallError, ErrorCode
from slotring.memory_store import MemoryStore, StoreRefused
from slotring.session_keepers import HERE, NO_STATE, DurableKeeper, MemoryKeeper
from slotring.sessions import Hooks, Loaded, Session

if TYPE_CHECKING:
    from slotring.session_store import SqliteStore

# An alarm looks at all sessions, so there are at most so many in the time of a life.
_ALARMS_IN_TTL = 16
_FIRST_RETRY_S = 1.0

_store: MemoryStore | SqliteStore | None = None


def store() -> MemoryStore | SqliteStore:
    """This worker's store, for global values. RuntimeError outside of a worker."""
    if _store is None:
        raise RuntimeError("this process is no worker: it has no session store")
    return _store


def open_store(spec: str) -> MemoryStore | SqliteStore:
    """Opens what ``--session-store`` names, for this process. Raises StoreRefused."""
    global _store
    kind, _, path = spec.partition(":")
    if spec == "memory":
        _store = MemoryStore()
    elif kind == "sqlite" and path:
        from slotring.session_store import SqliteStore

        _store = SqliteStore(path)
    else:
        raise StoreRefused(f"a session store is 'memory' or 'sqlite:/absolute/path': {spec!r}")
    return _store


class WorkerSessions:
    """What the serving loop calls for sessions: open(), close() and alarm(), all on its thread."""

    def __init__(
        self,
        worker: _native.Worker,
        store: MemoryStore | SqliteStore,
        hooks: Hooks,
        ttl_s: float,
    ) -> None:
        self._table = worker.sessions
        self._keeper: MemoryKeeper | DurableKeeper
        if isinstance(store, MemoryStore):
            self._keeper = MemoryKeeper(self._table)
        else:
            self._keeper = DurableKeeper(self._table, store, ttl_s)
        self._hooks = hooks
        self._ttl_s = ttl_s
        self._armed = False
        # Where threads serve: handlers touch their sessions on these.
        self._lock = threading.RLock()
        self._in_use: dict[str, int] = {}
        #: Has alarm() called after so many seconds; whoever serves may replace it.
        self.set_alarm: Callable[[float | None], None] = worker.set_alarm

    def start(self) -> None:
        """Before the first call: ends what nobody has used since before this worker was."""
        if self._ttl_s > 0:
            self._arm(0.0)

    def open(self, name: str, deadline: float | None) -> Session:
        """The session of a call that begins; ``deadline`` as of time.monotonic()."""
        if self._ttl_s > 0 and not self._armed:
            self._arm(self._ttl_s)
        session = Session(name, self._load, self._hooks, deadline)
        try:
            with self._lock:
                self._keeper.begin(session)
                self._in_use[name] = self._in_use.get(name, 0) + 1
        except _native.Failure as failure:
            message, code = failure.args
            raise CallError(message, ErrorCode(code)) from None
        return session

    def _load(self, session: Session) -> Loaded:
        with self._lock:
            return self._keeper.load(session)

    def close(self, session: Session, succeeded: bool) -> None:
        """The call's end, before its reply is published. When it raises, the call fails."""
        loaded = session.loaded
        try:
            if succeeded:
                if session.failure is not None:
                    raise session.failure
                if loaded is not None:
                    with self._lock:
                        self._keeper.keep(session, loaded)
        finally:
            with self._lock:
                self._in_use[session.name] -= 1
                if self._in_use[session.name] == 0:
                    del self._in_use[session.name]
            session.finish("belongs to a call that is over")

    def end(self, session: Session) -> None:
        """Ends the session of the running call, whatever the call has changed in it."""
        name = session.name
        session.finish("was ended in this call")
        with self._lock:
            was_there = self._keeper.end(session, self._hooks.run_end)
        if not was_there:
            raise CallError(f"there is no session {name!r}", ErrorCode.SESSION_NOT_FOUND)

    def listing(self, most: int) -> list[dict[str, Any]]:
        """Sessions in the pool's table or its store, those used last first."""
        now = time.time()
        rows = {
            name: {
                "name": name,
                "created": created,
                "last_used": now - idle_s,
                "has_state": standing != NO_STATE,
                "here": standing == HERE,
            }
            for name, created, idle_s, standing in self._table.list()
        }
        for name, created, used in self._keeper.list_stored(most):
            row = rows.setdefault(name, {"name": name, "last_used": used, "here": False})
            row["created"] = created
            row["has_state"] = True
        return sorted(rows.values(), key=lambda row: -row["last_used"])[:most]

    def alarm(self) -> None:
        """Ends sessions that were unused for too long, and sets the next alarm."""
        if self._ttl_s <= 0:
            return
        shortest_s = self._ttl_s / _ALARMS_IN_TTL
        try:
            with self._lock:
                next_s = self._keeper.expire(self._ttl_s, self._hooks.run_end, self._in_use)
        except Exception:
            sys.stderr.write("slotring: cannot look for unused sessions:\n")
            traceback.print_exc()
            next_s = max(self._ttl_s, _FIRST_RETRY_S)
        self._arm(None if next_s is None else max(next_s, shortest_s))

    def _arm(self, after_s: float | None) -> None:
        self._armed = after_s is not None
        self.set_alarm(after_s)
