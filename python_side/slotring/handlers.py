"""Marking what a worker serves, and collecting it from the user's module.

The decorators only leave a mark; there is no registry. A worker serves what the top level of its
module holds, in the order in which it stands there:

- ``@handler`` functions, imported ones too,
- ``@service`` classes: made once, with no arguments; their ``@handler`` methods are served,
- ``@setup`` functions are called before the first call, ``@teardown`` functions after the last,
- ``@session_start`` and ``@session_end`` functions, a service's methods too, around each session.

Making a service is its set-up, its ``close()``, if it has one, its tear-down. Tear-downs run in
reverse order, those of what was set up only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple, TypeVar, overload

from slotring._native import MAX_NAME_BYTES
from slotring.batches import Batch, BatchHandler
from slotring.coroutines import Coroutines
from slotring.sessions import Hooks
from slotring.tables import Table

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)

_MARK = "__slotring__"
_HOOKS = ("session_start", "session_end")


class _Mark(NamedTuple):
    role: str
    name: str
    broadcast: bool = False
    request: Table | None = None
    reply: Table | None = None
    batch: Batch | None = None


class Method(NamedTuple):
    """One callable method. ``call(request)``, or ``call(request, context)``."""

    name: str
    call: Callable[..., Any]
    wants_context: bool
    signature: str
    summary: str  # the first line of its docstring
    broadcast: bool = False  # for all workers, refused to plain calls
    request: Table | None = None  # the tables that it takes
    reply: Table | None = None

    def served(self) -> tuple[Any, ...]:
        """As Worker.publish() takes it."""
        tables = (table and table.schema for table in (self.request, self.reply))
        return (self.name, self.call, self.wants_context, self.broadcast, self.takes_calls, *tables)

    @property
    def takes_calls(self) -> bool:
        """Whether it is called as ``call(a _native.Call)``, and ends it."""
        return isinstance(self.call, BatchHandler)


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


def collect(
    module: ModuleType,
    tear_downs: contextlib.ExitStack,
    loop: Coroutines | None = None,
    hooks: Hooks | None = None,
) -> list[Method]:
    """Sets up what ``module`` holds; returns its methods. ``tear_downs`` learns how to undo it.

    ``loop`` runs its coroutine functions; without one, they run on one of their own. ``hooks``
    learns what it wants to know of sessions.
    """
    if loop is None:
        loop = Coroutines(tear_downs)
    if hooks is None:
        hooks = Hooks()
    methods: dict[str, Method] = {}
    seen: set[int] = set()
    for thing in list(vars(module).values()):
        mark = _mark_of(thing)
        if mark is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if mark.role == "handler":
            _add(methods, _method(mark, thing, loop))
        elif mark.role == "service":
            for method in _make_service(thing, tear_downs, loop, hooks):
                _add(methods, method)
        elif mark.role == "setup":
            loop.plain(thing)()
        elif mark.role in _HOOKS:
            _add_hook(hooks, mark, loop.plain(thing))
        else:
            tear_downs.callback(loop.plain(thing))
    return list(methods.values())


def as_method(name: str, function: Callable[..., Any]) -> Method:
    """A plain function as a method."""
    return _method(_Mark("handler", name), function, None)


def _mark(thing: Any, role: str, name: str | None, **options: Any) -> Any:
    if role == "service" and not isinstance(thing, type):
        raise TypeError(f"@slotring.service is for classes, not for {thing!r}")
    if role != "service" and (isinstance(thing, type) or not callable(_function_of(thing))):
        raise TypeError(f"@slotring.{role} is for functions, not for {thing!r}")
    name = getattr(_function_of(thing), "__name__", None) if name is None else name
    if not isinstance(name, str):
        raise TypeError(f"{thing!r} has no name: give one, as in @slotring.handler('name')")
    if not 1 <= len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES:
        raise ValueError(f"a method's name takes 1 to {MAX_NAME_BYTES} bytes: {name!r}")
    try:
        setattr(thing, _MARK, _Mark(role, name, **options))
    except AttributeError:
        raise TypeError(f"{thing!r} cannot be marked; wrap it in a function of yours") from None
    return thing


def _mark_of(thing: Any) -> _Mark | None:
    # Not getattr(): a class must not inherit its base's mark, and a module's globals may be
    # anything.
    try:
        mark = object.__getattribute__(thing, "__dict__").get(_MARK)
    except (AttributeError, TypeError):
        return None
    return mark if isinstance(mark, _Mark) else None


def _function_of(thing: Any) -> Any:
    return thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing


def _make_service(
    cls: type, tear_downs: contextlib.ExitStack, loop: Coroutines, hooks: Hooks
) -> Iterator[Method]:
    instance = cls()
    close = getattr(instance, "close", None)
    if callable(close):
        tear_downs.callback(loop.plain(close))
    for name, attribute in _attributes(cls):
        mark = _mark_of(attribute)
        if mark is None and attribute is not _function_of(attribute):
            mark = _mark_of(_function_of(attribute))
        if mark is not None and mark.role == "handler":
            yield _method(mark, getattr(instance, name), loop)
        elif mark is not None and mark.role in _HOOKS:
            _add_hook(hooks, mark, loop.plain(getattr(instance, name)))


def _add_hook(hooks: Hooks, mark: _Mark, hook: Callable[..., Any]) -> None:
    (hooks.start if mark.role == "session_start" else hooks.end).append(hook)


def _attributes(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class and its bases define, the bases' first, each name once."""
    import inspect

    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    for name in names:
        yield name, inspect.getattr_static(cls, name)


def _add(methods: dict[str, Method], method: Method) -> None:
    other = methods.get(method.name)
    if other is not None:
        raise ValueError(
            f"two handlers are named {method.name!r}: {other.call!r} and {method.call!r}"
        )
    methods[method.name] = method


def _method(mark: _Mark, function: Callable[..., Any], loop: Coroutines | None) -> Method:
    import inspect

    name = mark.name
    streams = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if streams and mark.broadcast:
        raise TypeError(f"the handler {name!r} streams: nobody reads what a broadcast yields")
    if streams and mark.reply:
        raise TypeError(f"the handler {name!r} is a generator: what it yields is no table")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions written in C
        signature = None
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    wants_context = signature is not None and _wants_context(name, signature)
    call = function
    if mark.batch is not None:
        if wants_context or streams:
            raise TypeError(
                f"the batch handler {name!r} is called as f(requests), and returns a list"
            )
        run = None
        if inspect.iscoroutinefunction(function):
            run = (loop or Coroutines(contextlib.ExitStack())).run_shielded
        call = BatchHandler(name, function, mark.batch, run)
    elif loop is not None and inspect.isasyncgenfunction(function):
        call, wants_context = loop.streaming(function, wants_context), True
    elif loop is not None:
        call = loop.plain(function)
    return Method(
        name,
        call,
        wants_context,
        f"{name}{signature if signature is not None else '(...)'}",
        summary,
        mark.broadcast,
        mark.request,
        mark.reply,
    )


def _wants_context(name: str, signature: Any) -> bool:
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    more = [
        p.name
        for p in positional[2:] + [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        if p.default is p.empty
    ]
    takes_request = positional or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if more or not takes_request:
        raise TypeError(
            f"the handler {name!r} is called as f(request) or f(request, ctx); "
            f"it is {name}{signature}"
        )
    if len(positional) < 2:
        return False
    return positional[1].name == "ctx" or positional[1].default is positional[1].empty
