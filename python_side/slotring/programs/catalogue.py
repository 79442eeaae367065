"""Where definitions are kept, and the programs that this worker has made of them.

Definitions are plain values. Those of a session stand in its state, and are kept and lost with it;
global ones come by broadcast, to every worker and each later one, which puts them in its store.
Programs made of them never leave the worker: another one makes its own when it is asked to execute.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slotring.errors import CallError, ErrorCode
from slotring.programs.definition import Definition, Program
from slotring.programs.signature import Signature
from slotring.sessions import Session
from slotring.worker_sessions import store

SESSION_KEY = "slotring.programs"  # in a session's state: {name: record}
GLOBAL_PREFIX = "program/"  # in the worker's store, and of a broadcast's key
MAX_BUILT = 512  # programs that a worker keeps made, the last used ones


class Definitions(ABC):
    """Programs by name, of one scope."""

    scope: str
    owner: str  # whose programs they are, for BuiltPrograms: a session's name; "" of global ones

    @abstractmethod
    def names(self) -> list[str]: ...
    @abstractmethod
    def _read(self, name: str) -> Any: ...
    @abstractmethod
    def _write(self, name: str, value: dict[str, Any]) -> None: ...
    @abstractmethod
    def remove(self, name: str) -> bool:
        """Whether it was there."""

    def find(self, name: str) -> Record | None:
        value = self._read(name)
        return None if value is None else Record.restore(self.scope, name, value)

    def records(self) -> Iterator[Record]:
        for name in self.names():
            record = self.find(name)
            if record is not None:
                yield record

    def admits(self, record: Record, replace: bool) -> bool:
        """Whether it has to be put. Not when it is there: a create can be repeated.

        Raises CallError, ALREADY_EXISTS, for another definition of that name.
        """
        name = record.definition.name
        present = self.find(name)
        if present is not None and present.definition != record.definition and not replace:
            raise CallError(
                f"there is a program {name!r} with another definition; "
                "delete it first, or say 'replace'",
                ErrorCode.ALREADY_EXISTS,
            )
        return present is None or present.definition != record.definition

    def put(self, record: Record) -> None:
        value = {**record.definition.as_value(), "created_at": record.created_at}
        self._write(record.definition.name, value)


class SessionDefinitions(Definitions):
    """Those in a session's state: one map, which is replaced by each change.

    What keeps the state need not look inside for a change.
    """

    scope = "session"

    def __init__(self, session: Session) -> None:
        self.owner = session.name
        self._session = session

    def names(self) -> list[str]:
        return sorted(self._all())

    def remove(self, name: str) -> bool:
        rest = {n: value for n, value in self._all().items() if n != name}
        found = name in self._all()
        if found:
            self._session[SESSION_KEY] = rest
        return found

    def clear(self) -> int:
        return len(self._session.pop(SESSION_KEY, {}))

    def _read(self, name: str) -> Any:
        return self._all().get(name)

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._session[SESSION_KEY] = {**self._all(), name: value}

    def _all(self) -> dict[str, Any]:
        return map_in(self._session, SESSION_KEY, "programs")


class GlobalDefinitions(Definitions):
    """Those in the worker's store: in its memory, or in the file that all workers share.

    Every worker writes what a broadcast tells it; with a shared file they all write the same.
    """

    scope = "global"
    owner = ""

    def names(self) -> list[str]:
        return [key.removeprefix(GLOBAL_PREFIX) for key in store().list_global(GLOBAL_PREFIX)]

    def remove(self, name: str) -> bool:
        return store().delete_global(GLOBAL_PREFIX + name)

    def _read(self, name: str) -> Any:
        return store().get_global(GLOBAL_PREFIX + name)

    def _write(self, name: str, value: dict[str, Any]) -> None:
        store().put_global(GLOBAL_PREFIX + name, value)


@dataclass(frozen=True)
class Record:
    """A definition where it is kept."""

    scope: str
    definition: Definition
    created_at: float  # seconds since 1970

    @staticmethod
    def restore(scope: str, name: str, value: Any) -> Record:
        try:
            definition = Definition(
                name,
                value["type"],
                Signature.parse(value["signature"]),
                value["options"],
                value["description"],
            )
            return Record(scope, definition, float(value["created_at"]))
        except (KeyError, TypeError, ValueError, CallError) as error:
            raise CallError(
                f"the kept definition of the program {name!r} cannot be read: {error!r}",
                ErrorCode.SESSION_STATE_INVALID,
            ) from error

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.definition.name,
            "type": self.definition.type,
            "scope": self.scope,
            "signature": str(self.definition.signature),
        }


@dataclass
class Figures:
    """What was counted of executions."""

    executions: int = 0
    failures: int = 0
    seconds: float = 0.0

    def count(self, seconds: float, failed: bool) -> None:
        self.executions += 1
        self.failures += failed
        self.seconds += seconds

    def as_value(self) -> dict[str, Any]:
        return {
            "executions": self.executions,
            "failures": self.failures,
            "mean_execution_time": self.seconds / self.executions if self.executions else 0.0,
        }


@dataclass
class Built:
    """A program that this worker made."""

    program: Program
    figures: Figures


class BuiltPrograms:
    """Programs that were made, by owner, name and definition; the last used ones."""

    def __init__(self, most: int = MAX_BUILT) -> None:
        self._most = most
        self._built: OrderedDict[tuple[str, str, str], Built] = OrderedDict()

    def __len__(self) -> int:
        return len(self._built)

    def find(self, owner: str, record: Record) -> Built | None:
        return self._built.get(_key(owner, record))

    def get(self, owner: str, record: Record) -> Built:
        """The program of ``record``, made if it is not there. Raises CallError."""
        key = _key(owner, record)
        built = self._built.get(key)
        if built is None:
            built = self._built[key] = Built(record.definition.build(), Figures())
            if len(self._built) > self._most:
                self._built.popitem(last=False)
        else:
            self._built.move_to_end(key)
        return built

    def drop(self, owner: str, name: str | None = None) -> None:
        """Drops an owner's programs, or the one of a name."""
        for key in list(self._built):
            if key[0] == owner and name in (None, key[1]):
                del self._built[key]

    def clear(self) -> int:
        count = len(self._built)
        self._built.clear()
        return count


def _key(owner: str, record: Record) -> tuple[str, str, str]:
    return owner, record.definition.name, record.definition.digest


def map_in(session: Session, key: str, what: str) -> dict[str, Any]:
    """The map that the state has under ``key``; an empty one when there is none."""
    kept = session.get(key, {})
    if not isinstance(kept, dict):
        raise CallError(
            f"the state's key {key!r} holds no {what}: something else wrote it",
            ErrorCode.SESSION_STATE_INVALID,
        )
    return kept


def not_found(name: str, known: list[str]) -> CallError:
    text = f"there is no program {name!r}"
    if 1 <= len(known) <= 12:
        text += f"; there are {', '.join(map(repr, known))}"
    return CallError(text, ErrorCode.PROGRAM_NOT_FOUND)
