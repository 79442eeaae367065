"""Marking handlers, and collecting them from a module."""

from __future__ import annotations

import contextlib
import functools
import types

import pytest

import slotring
from slotring import methods


def module_of(**things):
    module = types.ModuleType("user_module")
    vars(module).update(things)
    return module


def collect(**things):
    with contextlib.ExitStack() as tear_downs:
        return {m.name: m for m in methods.collect(module_of(**things), tear_downs)}


def test_the_decorator_leaves_the_function_as_it_is():
    def f(request):
        return request

    assert slotring.handler(f) is f
    assert slotring.handler("other")(f) is f
    assert f(3) == 3


def test_methods_go_by_the_functions_name_or_the_given_one():
    @slotring.handler
    def a(request): ...

    @slotring.handler("named")
    def b(request): ...

    @slotring.handler()
    def c(request): ...

    assert list(collect(a=a, renamed=b, again=b, c=c, plain=len)) == ["a", "named", "c"]


def test_two_handlers_of_one_name_are_refused():
    def make():
        @slotring.handler
        def same(request): ...

        return same

    with pytest.raises(ValueError, match="two handlers are named 'same'"):
        collect(a=make(), b=make())


@pytest.mark.parametrize("name", ["", "x" * 64, "ä" * 32])
def test_names_have_1_to_63_bytes(name):
    with pytest.raises(ValueError, match="1 to 63 bytes"):
        slotring.handler(name)(lambda request: None)


def test_the_context_goes_to_a_second_parameter_that_asks_for_it():
    cases = {
        "one": (lambda request: 0, False),
        "two": (lambda request, context: 0, True),
        "ctx": (lambda request, ctx=None: 0, True),
        "default": (lambda request, scale=1: 0, False),
        "rest": (lambda *all: 0, False),
        "option": (lambda request, *, scale=1: 0, False),
        "partial": (functools.partial(lambda a, request, ctx: 0, 1), True),
        "builtin": (abs, False),
    }
    for name, (function, wanted) in cases.items():
        assert methods.as_method(name, function).wants_context is wanted, name


@pytest.mark.parametrize(
    "function",
    [lambda: 0, lambda a, b, c: 0, lambda a, *, b: 0],
)
def test_a_handler_of_another_shape_is_refused_at_once(function):
    with pytest.raises(TypeError, match=r"called as f\(request\) or f\(request, ctx\)"):
        collect(f=slotring.handler("odd")(function))


def test_a_generator_cannot_serve_a_broadcast():
    @slotring.handler(broadcast=True)
    def stream(request):
        yield 1

    with pytest.raises(TypeError, match="nobody reads what a broadcast yields"):
        collect(stream=stream)


def test_decorators_are_refused_where_they_mean_nothing():
    with pytest.raises(TypeError, match="for classes"):
        slotring.service(lambda: 0)
    with pytest.raises(TypeError, match="for functions"):
        slotring.handler(type("C", (), {}))
    with pytest.raises(TypeError, match="cannot be marked"):
        slotring.handler(abs)


def test_set_ups_run_in_order_and_tear_downs_in_reverse():
    order = []

    @slotring.service
    class Model:
        def __init__(self):
            order.append("model")

        @slotring.handler
        def use(self, request): ...

        def close(self):
            order.append("close model")

    first = slotring.setup(lambda: order.append("first"))
    last = slotring.teardown(lambda: order.append("tear down"))
    assert list(collect(first=first, Model=Model, last=last)) == ["use"]
    assert order == ["first", "model", "tear down", "close model"]


def test_only_what_was_set_up_is_torn_down():
    order = []

    @slotring.service
    class Good:
        def close(self):
            order.append("closed")

    @slotring.setup
    def bad():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        collect(Good=Good, bad=bad, never=slotring.teardown(lambda: order.append("never")))
    assert order == ["closed"]


def test_a_service_has_the_handlers_of_its_bases_but_not_their_being_services():
    @slotring.service
    class Base:
        @slotring.handler
        def a(self, request):
            return "base"

        @slotring.handler
        @classmethod
        def c(cls, request):
            return cls.__name__

    class Unmarked(Base):
        @slotring.handler
        def b(self, request): ...

    assert list(collect(Base=Base, Unmarked=Unmarked)) == ["a", "c"]
    marked = slotring.service(type("Marked", (Unmarked,), {}))
    methods = collect(Marked=marked)
    assert sorted(methods) == ["a", "b", "c"]
    assert methods["c"].call(None) == "Marked"


def test_coroutine_functions_become_plain_calls():
    @slotring.handler
    async def double(request):
        return 2 * request

    with contextlib.ExitStack() as tear_downs:
        (method,) = methods.collect(module_of(double=double), tear_downs)
        assert method.call(4) == 8
        assert method.signature == "double(request)"
