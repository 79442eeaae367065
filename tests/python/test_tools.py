"""Handlers that call functions of their caller, and calls that those make meanwhile."""

from __future__ import annotations

import threading

import pytest

from expected_errors import failure_of
from worker_pool import WATCHDOG_S, WorkerPool, wait_until

MODULE = """
    import asyncio
    import slotring
    from slotring import CallError, ErrorCode

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def ask(request, ctx):
        answer = ctx.tools.search(request)
        return bytes(answer) if isinstance(answer, memoryview) else answer

    @slotring.handler
    async def ask_async(request, ctx):
        answer = await ctx.tools["search"](request)
        return bytes(answer) if isinstance(answer, memoryview) else answer

    @slotring.handler
    async def ask_two_at_once(request, ctx):
        return await asyncio.gather(ctx.tools.search(1), ctx.tools.search(2))

    @slotring.handler
    def catch(request, ctx):
        try:
            ctx.tools.fail()
        except CallError as error:
            return [error.code.name, str(error), error.python_type]

    @slotring.handler
    def late(request, ctx):
        try:
            ctx.tools.wait(timeout=0.01)
        except CallError as error:
            print("given up", flush=True)
            raise

    @slotring.handler
    def describe(request, ctx):
        return [ctx.method, ctx.session, ctx.remaining_s > 0, ctx.cancelled, list(ctx.incoming)]

    @slotring.handler
    async def describe_async(request, ctx):
        await asyncio.sleep(0)
        return ctx.method

    @slotring.handler
    def descend(request, ctx):
        return ctx.tools.descend(request) if request > 0 else "the bottom"

    @slotring.handler
    def fail(request):
        raise LookupError("nothing there")

    @slotring.handler
    def stream(request, ctx):
        for i in range(3):
            yield ctx.tools.search(i)

    @slotring.handler
    async def stream_async(request, ctx):
        for i in range(3):
            yield await ctx.tools.search(i)

    @slotring.handler
    def ask_of_arrays(request, ctx):
        import numpy as np
        array = np.arange(6, dtype="i2").reshape(2, 3)
        back = ctx.tools.search(array.T)
        both = ctx.tools.search({"image": array, "what": "digits"})
        kept = [bool((back == array.T).all()), back.dtype.name, back.flags.writeable]
        return [*kept, both["what"], both["image"].tolist()]

    @slotring.handler
    def unsendable(request, ctx):
        return ctx.tools.search(object())
"""

ASKING = pytest.mark.parametrize("method", ["ask", "ask_async"])


@pytest.fixture
def tools(pool) -> WorkerPool:
    pool.start_worker(MODULE)
    return pool


@ASKING
@pytest.mark.parametrize("value", [None, b"bytes", b"", {"a": [1, "x"]}])
def test_a_tool_gets_what_it_is_asked_and_the_handler_what_it_answers(tools, method, value):
    asked = []

    @tools.tool
    def search(question):
        asked.append(question)
        return question

    assert tools.call(method, value) == value
    assert asked == [value]


def test_answers_find_their_questions(tools):
    @tools.tool
    def search(question):
        return question * 10

    assert tools.call("ask_two_at_once") == [10, 20]


@ASKING
def test_a_caller_without_tools_is_told_what_is_missing(tools, method):
    error = failure_of(tools.call, method)
    assert error.code == "STREAM_REQUIRED"
    assert "no tools" in error.message


@ASKING
def test_a_tool_that_there_is_not_is_an_error_of_its_own(tools, method):
    @tools.tool
    def other(question):
        return None

    assert failure_of(tools.call, method).code == "TOOL_NOT_FOUND"


def test_a_tools_error_is_raised_in_the_handler_and_ends_its_call_if_it_is_not_caught(tools):
    @tools.tool
    def fail(question):
        raise LookupError("nothing there")

    @tools.tool
    def search(question):
        raise LookupError("nothing there")

    code, message, python_type = tools.call("catch")
    assert (code, message, python_type) == ("HANDLER_RAISED", "nothing there", "LookupError")
    error = failure_of(tools.call, "ask")
    assert (error.code, error.python_type) == ("HANDLER_RAISED", "LookupError")


def test_what_cannot_be_sent_is_not_asked(tools):
    @tools.tool
    def search(question):
        raise AssertionError("asked")

    assert failure_of(tools.call, "unsendable").code == "REPLY_NOT_CONVERTIBLE"


def test_a_tool_that_is_late_is_given_up_and_its_answer_dropped(tools):
    @tools.tool
    def wait(question):
        wait_until(lambda: "given up" in tools.worker.stdout, "the handler")
        return b"too late"

    error = failure_of(tools.call, "late")
    assert error.code == "DEADLINE_EXCEEDED"
    assert "'wait'" in error.message
    assert tools.call("echo", b"next") == b"next"


def test_a_call_that_a_tool_makes_is_served_inside_though_every_slot_is_busy(tools):
    inside = []

    @tools.tool
    def search(question):
        inside.append(tools.nested("describe"))
        inside.append(tools.nested("describe_async"))
        inside.append(tools.nested("echo", b"x" * 1000))
        return b"answered"

    callers = [threading.Thread(target=tools.call, args=("ask", b"")) for _ in range(4)]
    for caller in callers:  # more than there are slots
        caller.start()
    assert tools.call("ask", b"") == b"answered"
    for caller in callers:
        caller.join(WATCHDOG_S)
    assert len(inside) == 3 * 5
    described, described_async, echoed = inside[:3]
    assert described == ["describe", None, True, False, []]
    assert described_async == "describe_async"
    assert echoed == b"x" * 1000


def test_a_coroutine_that_waits_for_a_tool_has_coroutines_run_inside(tools):
    @tools.tool
    def search(question):
        return tools.nested("describe_async")

    assert tools.call("ask_async") == "describe_async"


def test_errors_of_calls_inside_reach_the_tool(tools):
    errors = []

    @tools.tool
    def search(question):
        for method in ("fail", "no_such_method", "stream"):
            errors.append(failure_of(tools.nested, method))
        return None

    assert tools.call("ask") is None
    assert [e.code for e in errors] == ["HANDLER_RAISED", "METHOD_NOT_FOUND", "STREAM_REQUIRED"]
    assert errors[0].python_type == "LookupError"


def test_tools_and_calls_nest_to_a_depth(tools):
    @tools.tool
    def descend(depth):
        return tools.nested("descend", depth - 1)

    assert tools.call("descend", 10) == "the bottom"
    # The tool that was refused, and each tool and handler around it, passes the error on.
    assert "INVALID_ARGUMENT" in failure_of(tools.call, "descend", 100).message
    assert tools.call("descend", 1) == "the bottom"


@pytest.mark.parametrize("inside", ["", "echo"], ids=["in_the_tool", "in_a_nested_call"])
def test_arrays_go_to_tools_and_nested_calls_and_back(tools, inside):
    pytest.importorskip("numpy")
    tools.mirror("search", inside)
    whole = [[0, 1, 2], [3, 4, 5]]
    assert tools.call("ask_of_arrays") == [True, "int16", False, "digits", whole]


@pytest.mark.parametrize("method", ["stream", "stream_async"])
def test_a_generator_calls_tools_between_its_items(tools, method):
    @tools.tool
    def search(question):
        return question + 1

    assert list(tools.stream(method)) == [1, 2, 3]
