"""What a handler may end: its worker, and the session of its call.

A worker process has one of each; it says here how, before it serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Ends(NamedTuple):
    worker: Callable[[], None]
    session: Callable[[Any], None]


_ends: Ends | None = None


def bind(ends: Ends) -> None:
    """For the worker's runtime."""
    global _ends
    _ends = ends


def end_worker() -> None:
    """Ends this worker after the running call, as if it had been drained: with exit status 0.

    Calls that wait for it are served by its successor. RuntimeError outside of a worker.
    """
    _bound().worker()


def end_session(session: Any) -> None:
    """Ends the session of the running call: its hooks run, and its state is gone.

    Raises CallError: SESSION_NOT_FOUND where it has not started, and those of its store;
    RuntimeError outside of a worker.
    """
    _bound().session(session)


def _bound() -> Ends:
    if _ends is None:
        raise RuntimeError("this process is no worker that serves")
    return _ends
