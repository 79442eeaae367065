"""Marking what a worker serves. The decorators only leave a mark; there is no registry.

What a worker makes of the marks is in methods.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from slotring._native import MAX_NAME_BYTES
from slotring.batches import Batch
from slotring.tables import Table

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)

_MARK = "__slotring__"


class Mark(NamedTuple):
    """What a decorator says of a function, or of a class."""

    role: str  # the decorator's name
    name: str
    broadcast: bool = False
    request: Table | None = None
    reply: Table | None = None
    batch: Batch | None = None


@overload
def handler(function: Function, /) -> Function: ...
@overload
def handler(
    name: str | None = None,
    /,
    *,
    broadcast: bool = False,
    batch: Batch | None = None,
    request: Table | None = None,
    reply: Table | None = None,
) -> Callable[[Function], Function]: ...
def handler(
    function_or_name: Any = None,
    /,
    *,
    broadcast: bool = False,
    batch: Batch | None = None,
    request: Table | None = None,
    reply: Table | None = None,
) -> Any:
    """Makes a function a method of the pool, by its own name or the one given.

    It is called as ``f(request)``. It gets the call's :class:`slotring.Context` too when it has a
    second positional parameter that has no default, or is named ``ctx``. A coroutine function, in
    the profile ``single``, runs to its end before the next call; when its call is cancelled,
    ``asyncio.CancelledError`` is raised at its next ``await``.

    A generator function, plain or asynchronous, streams: each object that it yields goes to the
    caller at once, and waits while the caller lags behind; what a plain one returns is the final
    reply. When the caller wants no more, ``GeneratorExit`` is raised at its ``yield``. A function
    that returns a generator does the same. ``ctx.incoming`` iterates what the caller sends
    meanwhile, ``ctx.tools`` calls functions of the caller. See docs/streams.md.

    With ``broadcast=True`` it is for configuration that all workers must share: it is called by
    broadcasts only, once in each worker of the pool, and in each later one before it serves. A
    plain call of it is refused with BROADCAST_ONLY, and the handler does not run.

    With ``batch=slotring.Batch(max_size, max_wait_s)`` it is called as ``f(requests)``, with a list
    of the requests that wait at its worker, and returns a list of as many replies. An exception in
    that list fails its own call, one that is raised fails all. It has no context; its calls have
    no session and no stream.

    With ``request=`` a :func:`slotring.table`, it takes tables of that type: they are verified
    before it sees them, and a call with anything else ends with TABLE_INVALID. With ``reply=`` one,
    it returns finished buffers of that type, as ``builder.Output()`` gives them, which are verified
    too.
    """
    for table in (request, reply):
        if table is not None and not isinstance(table, Table):
            raise TypeError(f"request= and reply= take a slotring.table(...), not {table!r}")
    if broadcast and (request or reply):
        raise TypeError("a broadcast carries bytes or a value, and no table")
    if batch is not None:
        if not isinstance(batch, Batch):
            raise TypeError(f"batch= takes a slotring.Batch, not {batch!r}")
        batch.check()
        if broadcast:
            raise TypeError("a broadcast is one call: it cannot be a batch")
    options = {"broadcast": broadcast, "batch": batch, "request": request, "reply": reply}
    if function_or_name is None or isinstance(function_or_name, str):
        return lambda function: _mark(function, "handler", function_or_name, **options)
    return _mark(function_or_name, "handler", None, **options)


def setup(function: Function) -> Function:
    """Makes a function run, without arguments, before the worker takes calls."""
    return _mark(function, "setup", None)


def teardown(function: Function) -> Function:
    """Makes a function run, without arguments, after the worker's last call."""
    return _mark(function, "teardown", None)


def session_start(function: Function) -> Function:
    """Makes a function run as ``f(session)`` when a session is first touched that has no state yet.

    What it raises fails the call; then the session has not started, and the next one tries again.
    """
    return _mark(function, "session_start", None)


def session_end(function: Function) -> Function:
    """Makes a function run as ``f(session)`` after a session has ended, with its last state."""
    return _mark(function, "session_end", None)


def service(cls: Class) -> Class:
    """Makes a class a service: one object a worker, whose ``@handler`` methods are served."""
    return _mark(cls, "service", None)


def _mark(thing: Any, role: str, name: str | None, **options: Any) -> Any:
    if role == "service" and not isinstance(thing, type):
        raise TypeError(f"@slotring.service is for classes, not for {thing!r}")
    if role != "service" and (isinstance(thing, type) or not callable(function_of(thing))):
        raise TypeError(f"@slotring.{role} is for functions, not for {thing!r}")
    name = getattr(function_of(thing), "__name__", None) if name is None else name
    if not isinstance(name, str):
        raise TypeError(f"{thing!r} has no name: give one, as in @slotring.handler('name')")
    if not 1 <= len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES:
        raise ValueError(f"a method's name takes 1 to {MAX_NAME_BYTES} bytes: {name!r}")
    try:
        setattr(thing, _MARK, Mark(role, name, **options))
    except AttributeError:
        raise TypeError(f"{thing!r} cannot be marked; wrap it in a function of yours") from None
    return thing


def mark_of(thing: Any) -> Mark | None:
    """The mark that was left on this very thing, if one was."""
    # Not getattr(): a class must not inherit its base's mark, and a module's globals may be
    # anything.
    try:
        mark = object.__getattribute__(thing, "__dict__").get(_MARK)
    except (AttributeError, TypeError):
        return None
    return mark if isinstance(mark, Mark) else None


def function_of(thing: Any) -> Any:
    """What a static or class method of a class body wraps; else the thing itself."""
    return thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
