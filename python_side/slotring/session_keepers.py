"""Who keeps the state of sessions between calls: the worker itself, or the pool's store.

What a record in the control segment says of a session (schemas/session_layout.h) is the truth about
where its state is; a state that the record does not speak of is dropped, never served.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple

from slotring import _native
from slotring.errors import CallError, ErrorCode
from slotring.memory_store import PATIENCE_S
from slotring.sessions import Loaded, Session
from slotring.stored_value import decode, encode

if TYPE_CHECKING:
    from slotring.session_store import SqliteStore, StoredSession

# SessionTable.look() says one of these of a session's state in memory.
NO_STATE, HERE, ELSEWHERE, LOST = range(4)

# Called with the name and the last state of a session that was ended.
Ended = Callable[[str, dict[str, Any]], None]

_FEW = 64


class Place(NamedTuple):
    """A session's record, as it was when it was looked up."""

    index: int
    incarnation: int


class MemoryKeeper:
    """Keeps states as the objects that they are, in this worker, and loses them with it.

    A call that raised leaves the keys as they were; objects that it changed in place stay changed.
    """

    def __init__(self, table: _native.SessionTable) -> None:
        self._table = table
        self._states: dict[str, tuple[Place, dict[str, Any]]] = {}
        self._prune_at = _FEW

    def begin(self, session: Session) -> None:
        """SESSION_LOST, once, when the state died with its worker: before the handler runs."""
        session.place = Place(*self._table.open(session.name))
        self._settle(session)

    def load(self, session: Session) -> Loaded:
        _, standing = self._settle(session)
        if standing == ELSEWHERE:
            raise _elsewhere(session.name)
        if standing == HERE:
            return Loaded(dict(self._states[session.name][1]), created=False)
        self._states.pop(session.name, None)  # of one that was ended by somebody else
        return Loaded({}, created=True)

    def keep(self, session: Session, loaded: Loaded) -> None:
        word, standing = self._settle(session)
        # Calls of one worker do not overlap; others may have been first, or took it for lost.
        if standing != (NO_STATE if loaded.created else HERE):
            raise _elsewhere(session.name)
        if standing == NO_STATE and not self._table.hold(session.place.index, word):
            raise _elsewhere(session.name)
        self._states[session.name] = (session.place, loaded.values)
        if len(self._states) >= self._prune_at:
            self._prune()

    def end(self, session: Session, ended: Ended) -> bool:
        """Ends the session; whether there was one."""
        place = session.place
        while True:
            word, standing = self._settle(session)
            if standing == ELSEWHERE:
                raise _elsewhere(session.name)
            used = standing == HERE or self._table.calls(place.index) > 0
            if self._table.end(place.index, word):
                self._end_here(session.name, standing, ended)
                return used

    def expire(
        self, ttl_s: float, ended: Ended, in_use: Container[str] = ()
    ) -> float | None:
        """Ends what was not used for so long, but what runs. Seconds until the next may be due."""
        due, next_s = self._table.due(ttl_s)
        for name, *place in due:
            if name in in_use:
                continue
            standing = _end_unless_elsewhere(self._table, Place(*place))
            if standing is not None:
                self._end_here(name, standing, ended)
        self._prune()
        return next_s

    def list_stored(self, most: int) -> list[tuple[str, float, float]]:
        return []

    def _end_here(self, name: str, standing: int, ended: Ended) -> None:
        _, values = self._states.pop(name, (None, {}))
        if standing == HERE:
            ended(name, values)

    def _settle(self, session: Session) -> tuple[int, int]:
        held, _ = self._states.get(session.name, (None, {}))
        return _settle(self._table, session, held)

    def _prune(self) -> None:
        """Drops what others have ended, or took for lost."""
        for name, (place, _) in list(self._states.items()):
            seen = self._table.look(*place)
            if seen is None or seen[1] != HERE:
                del self._states[name]
        self._prune_at = 2 * len(self._states) + _FEW


class DurableKeeper:
    """Keeps states in the pool's store: any worker finds them, and each checks the revision."""

    def __init__(self, table: _native.SessionTable, store: SqliteStore, ttl_s: float) -> None:
        self._table = table
        self._store = store
        # How old the stored time of use may get before a call that changes nothing renews it.
        self._renew_s = ttl_s / 4 if ttl_s > 0 else float("inf")

    def begin(self, session: Session) -> None:
        """Notes which session of the name it is. Does not look into the store.

        SESSION_LOST, once, when its state was in the memory of a worker of before the pool had a
        durable store.
        """
        # Made anew if it was ended just now: while there is a record, nobody of this pool takes the
        # state for unused.
        session.place = Place(*self._table.open(session.name))
        _settle(self._table, session, None)

    def load(self, session: Session) -> Loaded:
        row = self._store.load(session.name, session.remaining_s(PATIENCE_S))
        # Whoever ends an unused session ends its record first: where a row is missing because of
        # that, the record tells.
        self._check(session)
        if row is None:
            return Loaded({}, created=True)
        return Loaded(_values(session.name, row.state), created=False, origin=row)

    def keep(self, session: Session, loaded: Loaded) -> None:
        name, row = session.name, loaded.origin
        self._check(session)
        data = encode(loaded.values, "session", None if row is None else row.state)
        patience_s = session.remaining_s(PATIENCE_S)
        if row is None:
            kept = self._store.insert(name, data, patience_s)
        elif data is not row.state:
            kept = self._store.replace(name, row.revision, data, patience_s)
        else:
            kept = True
            if time.time() - row.used > self._renew_s:
                kept = self._store.mark_used(name, patience_s)
        if not kept:
            raise CallError(
                f"another call of the session {name!r} has changed or ended it meanwhile; "
                "nothing of this one was kept",
                ErrorCode.SESSION_CONFLICT,
                retryable=True,
            )

    def end(self, session: Session, ended: Ended) -> bool:
        """Ends the session; whether there was one."""
        self._check(session)
        name, place = session.name, session.place
        used = self._table.calls(place.index) > 0
        patience_s = session.remaining_s(PATIENCE_S)
        while row := self._store.load(name, patience_s):
            if self._store.delete(name, row.revision, patience_s):
                _end_row(name, row, ended)
                used = True
        while True:
            seen = self._table.look(*place)
            if seen is None or self._table.end(place.index, seen[0]):
                break
        return used

    def expire(
        self, ttl_s: float, ended: Ended, in_use: Container[str] = ()
    ) -> float | None:
        """Ends what was not used for so long, but what runs. Seconds until the next may be due."""
        due, next_s = self._table.due(ttl_s)
        for name, *place in due:
            if name not in in_use:
                _end_unless_elsewhere(self._table, Place(*place))
        # What was stored, and what a pool left behind that is no more. A session that is in the
        # table was used since it was stored.
        moment = time.time() - ttl_s
        names, next_used = self._store.unused_since(moment)
        for name in names:
            if name in in_use or self._table.find(name) is not None:
                continue
            row = self._store.load(name)
            # It may have been used since: this worker may have stopped for long at any point here.
            if row is not None and self._store.delete_unused(name, row.revision, moment):
                _end_row(name, row, ended)
        if next_used is not None:
            stored_next_s = next_used - moment
            next_s = stored_next_s if next_s is None else min(next_s, stored_next_s)
        return next_s

    def list_stored(self, most: int) -> list[tuple[str, float, float]]:
        return self._store.list_sessions(most)

    def _check(self, session: Session) -> None:
        """Raises when the session was ended since the call began, or its state is in memory."""
        _, standing = _settle(self._table, session, None)
        if standing == ELSEWHERE:
            raise _elsewhere(session.name)


def _settle(table: _native.SessionTable, session: Session, held: Place | None) -> tuple[int, int]:
    """(word, standing) of the session now, when its state is not lost.

    ``held``: which session of the name this worker has a state of.
    """
    name, place = session.name, session.place
    while True:
        seen = table.look(*place)
        if seen is None:
            raise CallError(
                f"the session {name!r} was ended while a call of it ran",
                ErrorCode.SESSION_CONFLICT,
                retryable=True,
            )
        word, standing = seen
        missing = standing == HERE and held != place
        if standing != LOST and not missing:
            return word, standing
        if table.declare_lost(place.index, word):
            raise CallError(
                f"the state of the session {name!r} was lost with its worker; "
                "the next call starts it afresh",
                ErrorCode.SESSION_LOST,
            )


def _end_unless_elsewhere(table: _native.SessionTable, place: Place) -> int | None:
    """Ends an unused session; its standing then. None where it is not, or not by this worker."""
    seen = table.look(*place)
    # Another worker's is for that one to end.
    if seen is None or seen[1] == ELSEWHERE:
        return None
    word, standing = seen
    return standing if table.end(place.index, word) else None


def _end_row(name: str, row: StoredSession, ended: Ended) -> None:
    try:
        values = _values(name, row.state)
    except CallError as failure:  # gone all the same
        sys.stderr.write(f"slotring: no session_end hook could be called: {failure}\n")
        return
    ended(name, values)


def _values(name: str, state: bytes) -> dict[str, Any]:
    values = decode(state, f"the session {name!r}")
    if not isinstance(values, dict):
        raise CallError(
            f"the session {name!r} is stored wrongly: as a {type(values).__name__}",
            ErrorCode.SESSION_STORE_FAILED,
        )
    return values


def _elsewhere(name: str) -> CallError:
    return CallError(
        f"this worker does not hold the state of the session {name!r}, another may",
        ErrorCode.SESSION_CONFLICT,
        retryable=True,
    )
