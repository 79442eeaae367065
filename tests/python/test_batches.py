"""Handlers that take several calls at once, in each profile."""

from __future__ import annotations

import pytest

from expected_errors import failure_of
from slotring import Batch, methods
from slotring.handlers import Mark, handler
from worker_pool import wait_until

PROFILES = pytest.mark.parametrize(
    "profile",
    [(), ("--profile", "threads", "--threads", "4"), ("--profile", "asyncio")],
    ids=["single", "threads", "asyncio"],
)

# Each batch but the one that shows max_wait_s is closed by being full.
HANDLERS = """
    import slotring

    @slotring.handler(batch=slotring.Batch(4, 20))
    def sizes(requests):
        return [len(requests)] * len(requests)

    @slotring.handler(batch=slotring.Batch(4, 20))
    async def doubled(requests):
        return [2 * request for request in requests]

    @slotring.handler(batch=slotring.Batch(4, 20))
    def odd_fail(requests):
        return [ValueError(f"odd {n}") if n % 2 else n for n in requests]

    @slotring.handler(batch=slotring.Batch(2, 20))
    def raises(requests):
        raise KeyError("all")

    @slotring.handler(batch=slotring.Batch(2, 20))
    def too_few(requests):
        return [1]

    @slotring.handler(batch=slotring.Batch(2, 20))
    def no_list(requests):
        return None

    @slotring.handler(batch=slotring.Batch(8, 0.01))
    def short(requests):
        return [len(requests)] * len(requests)

    @slotring.handler(batch=slotring.Batch(8, 0))
    def at_once(requests):
        return [len(requests)] * len(requests)

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def asks(request, ctx):
        return ctx.tools.ask(request)
"""


def start_all(pool, method, requests):
    return [pool.start(method, request) for request in requests]


@PROFILES
def test_a_full_batch_is_one_call_and_each_of_it_gets_its_reply(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    tickets = start_all(wide, "sizes", [None] * 4)
    assert [wide.finish(ticket) for ticket in tickets] == [4] * 4
    tickets = start_all(wide, "doubled", range(8))
    assert [wide.finish(ticket) for ticket in tickets] == [2 * n for n in range(8)]


@PROFILES
def test_an_exception_in_the_list_fails_its_call_alone(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    tickets = start_all(wide, "odd_fail", range(4))
    assert wide.finish(tickets[0]) == 0
    assert failure_of(wide.finish, tickets[1]).python_type == "ValueError"
    assert wide.finish(tickets[2]) == 2
    assert "odd 3" in failure_of(wide.finish, tickets[3]).message


@PROFILES
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("raises", "all"),
        ("too_few", "returned 1 replies to 2 requests"),
        ("no_list", "returned a NoneType in place of a list of 2 replies"),
    ],
)
def test_what_is_wrong_with_a_batch_fails_all_of_it(wide, profile, method, message):
    wide.start_worker(HANDLERS, *profile)
    for ticket in start_all(wide, method, [1, 2]):
        assert message in failure_of(wide.finish, ticket).message
    assert wide.call("echo", 1) == 1


@PROFILES
def test_a_batch_waits_no_longer_than_it_may(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    assert wide.call("short") == 1
    assert wide.call("at_once") == 1
    # Not till a deadline either.
    assert wide.call("sizes", timeout_s=2) == 1


@PROFILES
def test_calls_of_other_methods_are_not_lost_meanwhile(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    batched = start_all(wide, "sizes", [None] * 2)
    others = start_all(wide, "echo", range(3))
    batched += start_all(wide, "sizes", [None] * 2)
    assert [wide.finish(ticket) for ticket in batched] == [4] * 4
    assert [wide.finish(ticket) for ticket in others] == [0, 1, 2]


@PROFILES
def test_a_call_of_a_batch_that_was_abandoned_disturbs_no_other(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    tickets = start_all(wide, "sizes", [None] * 3)
    wait_until(lambda: wide.harness.states().count("running") == 3, "the batch to collect")
    wide.harness.abandon(tickets.pop())
    tickets += start_all(wide, "sizes", [None])
    assert [wide.finish(ticket) for ticket in tickets] == [4] * 3
    wait_until(wide.is_idle, "all slots to come back")


@PROFILES
def test_a_batch_is_of_no_session(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    failed = failure_of(wide.call_in, "s", "sizes")
    assert failed.code == "INVALID_ARGUMENT"
    assert "no session" in failed.message


@PROFILES
def test_a_call_that_a_tool_makes_is_in_no_batch(wide, profile):
    wide.start_worker(HANDLERS, *profile)

    @wide.tool
    def ask(argument):
        return wide.nested("sizes", argument)

    failed = failure_of(wide.call, "asks", "x")  # what the tool raised
    assert "INVALID_ARGUMENT: the method 'sizes' takes batches" in failed.message


def test_what_makes_no_batch_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        handler(batch=Batch(0))(print)
    with pytest.raises(ValueError, match="0 to 60"):
        handler(batch=Batch(2, -1))(print)
    with pytest.raises(TypeError, match=r"slotring\.Batch"):
        handler(batch=4)(print)
    with pytest.raises(TypeError, match="broadcast"):
        handler(broadcast=True, batch=Batch())(print)
    mark = Mark("handler", "f", batch=Batch())
    with pytest.raises(TypeError, match=r"f\(requests\)"):
        methods.method_of(mark, lambda requests, ctx: [], None)
