"""Sessions as handlers see them: ``ctx.session``, and the hooks at a session's start and end."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

from slotring.errors import CallError, ErrorCode, Terminated

Hook = Callable[["Session"], Any]


class Loaded(NamedTuple):
    """A session's state, as a keeper hands it out for one call."""

    values: dict[str, Any]
    created: bool  # the session starts with this call
    origin: Any = None  # of the keeper that loaded it: what it replaces


class Session(MutableMapping[str, Any]):
    """The session of a call: a mapping of str to what the handler keeps in it.

    Its state is loaded when it is first touched; what the call has changed is kept before the reply
    is published, when the handler returned and not when it raised. Ends with its call, and is for
    the handler's thread.

    An empty session is false, as every empty mapping is: ``ctx.session is None`` tells whether the
    call has one.
    """

    __slots__ = ("_deadline", "_failure", "_hooks", "_load", "_loaded", "_over", "name", "place")

    def __init__(
        self,
        name: str,
        load: Callable[[Session], Loaded],
        hooks: Hooks,
        deadline: float | None = None,
    ) -> None:
        self.name = name
        self.place: Any = None  # of its keeper
        self._load = load
        self._hooks = hooks
        self._deadline = deadline
        self._loaded: Loaded | None = None
        self._over = ""
        self._failure: BaseException | None = None

    @property
    def created(self) -> bool:
        """Whether the session has started in this call. Touches it."""
        return self._touch().created

    @property
    def loaded(self) -> Loaded | None:
        """What was loaded, if it was."""
        return self._loaded

    @property
    def failure(self) -> BaseException | None:
        """Why the start of the session failed, if it did: the call must not succeed."""
        return self._failure

    def remaining_s(self, most: float) -> float:
        """Seconds until the call's deadline, from 0 to ``most``."""
        if self._deadline is None:
            return most
        return min(max(self._deadline - time.monotonic(), 0.0), most)

    def finish(self, why: str) -> None:
        """From now on touching it raises SESSION_NOT_FOUND, with this text."""
        self._over = why
        self._loaded = None

    def __getitem__(self, key: str) -> Any:
        return self._touch().values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are str, not {type(key).__name__}")
        self._touch().values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._touch().values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._touch().values)

    def __len__(self) -> int:
        return len(self._touch().values)

    def __contains__(self, key: object) -> bool:
        return key in self._touch().values

    def __repr__(self) -> str:
        return f"<slotring.Session {self.name!r}>"

    def _touch(self) -> Loaded:
        if self._loaded is not None:
            return self._loaded
        if self._over:
            raise CallError(
                f"the session {self.name!r} {self._over}", ErrorCode.SESSION_NOT_FOUND
            )
        if self._failure is not None:
            raise self._failure
        loaded = self._loaded = self._load(self)
        if loaded.created:
            try:
                self._hooks.run_start(self)
            except BaseException as failure:
                self._loaded = None
                self._failure = failure
                raise
        return loaded


class Hooks:
    """What the user's module wants to know of sessions."""

    def __init__(self) -> None:
        self.start: list[Hook] = []
        self.end: list[Hook] = []

    def run_start(self, session: Session) -> None:
        """Raises what the first hook raises that does; it is logged, too."""
        for hook in self.start:
            try:
                hook(session)
            except Terminated:  # meant for the worker, not for the hook
                raise
            except BaseException:  # also sys.exit(): as in a handler, it fails the call
                _log_failed("session_start", session)
                raise

    def run_end(self, name: str, values: dict[str, Any]) -> None:
        """Runs all, with a session of this last state. What they raise is logged."""
        session = Session(name, lambda _: Loaded(values, created=False), self)
        for hook in self.end:
            try:
                hook(session)
            except Terminated:
                raise
            except BaseException:  # also sys.exit(): it would take all other sessions along
                _log_failed("session_end", session)
        session.finish("has ended")


def _log_failed(kind: str, session: Session) -> None:
    sys.stderr.write(f"slotring: a {kind} hook failed for the session {session.name!r}:\n")
    traceback.print_exc()
