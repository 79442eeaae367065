"""Collecting what a worker serves from the user's module, where handlers.py has marked it.

A worker serves what the top level of its module holds, in the order in which it stands there:

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
from typing import Any, NamedTuple

from slotring.batches import BatchHandler
from slotring.coroutines import Coroutines
from slotring.handlers import Mark, function_of, mark_of
from slotring.sessions import Hooks
from slotring.tables import Table

_HOOKS = ("session_start", "session_end")


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
        mark = mark_of(thing)
        if mark is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if mark.role == "handler":
            _add(methods, method_of(mark, thing, loop))
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
    return method_of(Mark("handler", name), function, None)


def _make_service(
    cls: type, tear_downs: contextlib.ExitStack, loop: Coroutines, hooks: Hooks
) -> Iterator[Method]:
    instance = cls()
    close = getattr(instance, "close", None)
    if callable(close):
        tear_downs.callback(loop.plain(close))
    for name, attribute in _attributes(cls):
        mark = mark_of(attribute)
        if mark is None and attribute is not function_of(attribute):
            mark = mark_of(function_of(attribute))
        if mark is not None and mark.role == "handler":
            yield method_of(mark, getattr(instance, name), loop)
        elif mark is not None and mark.role in _HOOKS:
            _add_hook(hooks, mark, loop.plain(getattr(instance, name)))


def _add_hook(hooks: Hooks, mark: Mark, hook: Callable[..., Any]) -> None:
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


def method_of(mark: Mark, function: Callable[..., Any], loop: Coroutines | None) -> Method:
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
