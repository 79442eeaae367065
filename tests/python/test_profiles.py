"""Workers that serve several calls at once: the profiles threads and asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import types

import pytest

from expected_errors import failure_of
from slotring.loop import LoopServer
from worker_pool import WATCHDOG_S, CallFailed, WorkerPool, wait_until

THREADS = ("--profile", "threads", "--threads", "3")
ASYNCIO = ("--profile", "asyncio")

HANDLERS = """
    import asyncio
    import pathlib
    import time
    import slotring
    import slotring.lifetime

    FOLDER = pathlib.Path(__file__).parent
    RUNNING = 0
    SET = []

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def meet(request):
        "Returns when as many calls of it run as the request says."
        global RUNNING
        RUNNING += 1
        while RUNNING < request:
            time.sleep(0.001)
        return RUNNING

    @slotring.handler
    async def meet_async(request):
        global RUNNING
        RUNNING += 1
        while RUNNING < request:
            await asyncio.sleep(0)
        return RUNNING

    @slotring.handler
    async def wait(request, ctx):
        print("waits", request, flush=True)
        try:
            while not (FOLDER / "go").exists():
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            print("cancelled", request, flush=True)
            raise
        return [request, ctx.cancelled, ctx.remaining_s > 0]

    @slotring.handler
    def wait_here(request, ctx):
        print("waits", request, flush=True)
        while not (FOLDER / "go").exists() and not ctx.cancelled:
            time.sleep(0.001)
        return [request, ctx.cancelled, ctx.remaining_s > 0]

    @slotring.handler
    def fails(request):
        raise ValueError("no " + bytes(request).decode())

    @slotring.handler
    async def fails_async(request):
        await asyncio.sleep(0)
        raise ValueError("no " + bytes(request).decode())

    @slotring.handler
    async def kept(request):
        await asyncio.sleep(0)
        return request

    @slotring.handler
    def end(request):
        slotring.lifetime.end_worker()

    @slotring.handler
    async def count(request, ctx):
        seen = ctx.session.get("n", 0)
        await asyncio.sleep(0.001)
        ctx.session["n"] = seen + 1
        return seen

    @slotring.handler
    def count_here(request, ctx):
        seen = ctx.session.get("n", 0)
        time.sleep(0.001)
        ctx.session["n"] = seen + 1
        return seen

    @slotring.handler(broadcast=True)
    async def configure(request):
        await asyncio.sleep(0)
        SET.append(request)

    @slotring.handler
    def configured(request):
        return SET
"""

PROFILES = pytest.mark.parametrize(
    "profile", [(), THREADS, ASYNCIO], ids=["single", "threads", "asyncio"]
)
CONCURRENT = pytest.mark.parametrize("profile", [THREADS, ASYNCIO], ids=["threads", "asyncio"])


def waiting(pool, count, method):
    """Starts so many calls that wait, and waits for them."""
    tickets = [pool.start(method, number) for number in range(count)]
    wait_until(lambda: pool.worker.stdout.count("waits") == count, "the handlers")
    return tickets


def let_go(pool):
    (pool.folder / "go").touch()


def method_of(profile, name):
    return name + "_here" if profile == THREADS else name


@PROFILES
def test_each_call_gets_its_own_reply(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    for _ in range(20):
        tickets = [wide.start("echo", number) for number in range(8)]
        assert [wide.finish(ticket) for ticket in tickets] == list(range(8))
    assert wide.call("echo", b"bytes") == b"bytes"
    assert wide.call("kept", b"more bytes") == b"more bytes"


def test_as_many_handlers_run_at_once_as_there_are_threads(wide):
    wide.start_worker(HANDLERS, *THREADS)
    tickets = [wide.start("meet", 3) for _ in range(3)]
    assert sorted(wide.finish(ticket) for ticket in tickets)[-1] == 3


def test_all_slots_are_served_at_once_from_one_loop(wide):
    wide.start_worker(HANDLERS, *ASYNCIO)
    tickets = [wide.start("meet_async", 8) for _ in range(8)]
    assert max(wide.finish(ticket) for ticket in tickets) == 8


@PROFILES
@pytest.mark.parametrize("method", ["fails", "fails_async"])
def test_what_a_handler_raises_fails_its_call_alone(wide, profile, method):
    wide.start_worker(HANDLERS, *profile)
    failing, good = wide.start(method, b"way"), wide.start("echo", 1)
    with pytest.raises(CallFailed, match="no way") as failed:
        wide.finish(failing)
    assert failed.value.python_type == "ValueError"
    assert method in failed.value.traceback
    assert wide.finish(good) == 1


def test_only_the_task_of_the_abandoned_call_is_cancelled(wide):
    worker = wide.start_worker(HANDLERS, *ASYNCIO)
    tickets = waiting(wide, 5, "wait")
    for number in (3, 1):
        wide.harness.abandon(tickets[number])
        wait_until(lambda: f"cancelled {number}" in worker.stdout, "the cancellation")
    let_go(wide)
    for number in (0, 2, 4):
        assert wide.finish(tickets[number]) == [number, False, True]
    assert worker.stdout.count("cancelled") == 2


@CONCURRENT
def test_each_handler_sees_that_its_own_caller_has_gone(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    tickets = waiting(wide, 3, "wait_here" if profile == THREADS else "wait")
    wide.harness.abandon(tickets[1])
    wait_until(lambda: wide.harness.states().count("free") == 6, "its slot")
    let_go(wide)
    assert wide.finish(tickets[0]) == [0, False, True]
    assert wide.finish(tickets[2]) == [2, False, True]


@CONCURRENT
def test_calls_of_one_session_follow_each_other(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    method = method_of(profile, "count")
    slots = [wide.start_in("s", method) for _ in range(6)]
    others = [wide.start_in("t", method) for _ in range(2)]
    assert sorted(wide.finish_in(slot) for slot in slots) == list(range(6))
    assert sorted(wide.finish_in(slot) for slot in others) == [0, 1]


@PROFILES
def test_a_broadcast_is_made_before_the_next_call(wide, profile):
    wide.start_worker(HANDLERS, *profile)
    assert wide.call("configured") == []
    wide.harness.record_setting("k", "configure", 2, bytes(b"\x01\x04\x01"), False)
    assert wide.call("configured") == [1]
    tickets = [wide.start("configured") for _ in range(6)]
    assert all(wide.finish(ticket) == [1] for ticket in tickets)


@CONCURRENT
def test_a_drained_worker_ends_what_runs_first(wide, profile):
    worker = wide.start_worker(HANDLERS, *profile)
    tickets = waiting(wide, 3, method_of(profile, "wait"))
    wide.drain()
    let_go(wide)
    assert [wide.finish(ticket)[0] for ticket in tickets] == [0, 1, 2]
    wide.expect_exit(0, worker)


class WorkerToldDuringItsCall:
    """A _native.Worker with one call. While that runs, it learns that it is to leave; then it hears
    of something that turns out to be no call."""

    def __init__(self):
        self.event_fd = os.eventfd(0)
        self.stopped = self.draining = self.may_leave = self.pending = False
        self.wants_context = False
        self.calls = [self]
        self.listening = threading.Event()

    def listen(self):
        self.listening.wait(WATCHDOG_S)

    def end_listening(self):
        self.listening.set()

    def heard(self):
        return 0

    def next_call(self):
        return self.calls.pop() if self.calls else None

    def handler(self, request):
        raise AssertionError("run() calls it")

    def run(self):
        self.draining = self.may_leave = self.pending = True


def test_a_loop_that_was_told_to_leave_leaves_though_it_has_heard_of_something_more():
    worker = WorkerToldDuringItsCall()
    loop = asyncio.new_event_loop()
    watchdog = loop.call_later(WATCHDOG_S, loop.stop)  # serve() raises then
    try:
        LoopServer(worker, loop, types.SimpleNamespace()).serve()
        assert not worker.calls
    finally:
        watchdog.cancel()
        loop.close()
        os.close(worker.event_fd)


@PROFILES
def test_a_handler_may_end_its_worker(wide, profile):
    worker = wide.start_worker(HANDLERS, *profile)
    assert wide.call("end") is None
    wide.expect_exit(0, worker)


@CONCURRENT
def test_a_told_worker_ends_its_handlers(wide, profile):
    worker = wide.start_worker(HANDLERS, *profile)
    tickets = waiting(wide, 3, method_of(profile, "wait"))
    worker.process.send_signal(signal.SIGTERM)
    for ticket in tickets:
        with contextlib.suppress(CallFailed):
            wide.finish(ticket)
    wide.expect_exit(143, worker)


@CONCURRENT
def test_its_successor_serves_what_a_killed_worker_had_not_started(wide, profile):
    worker = wide.start_worker(HANDLERS, *profile)
    worker.process.send_signal(signal.SIGSTOP)
    tickets = [wide.start("echo", number) for number in range(8)]
    wide.kill_worker(worker)
    wide.start_worker(HANDLERS, *profile)
    assert [wide.finish(ticket) for ticket in tickets] == list(range(8))


NESTING = """
    import asyncio

    import slotring

    @slotring.handler
    async def descend(request, ctx):
        if request == 0:
            return "the bottom"
        answer = await ctx.tools.descend(request)
        await asyncio.sleep(0.0001)  # on the loop that runs this call, whatever nested in it
        return answer
"""


@PROFILES
def test_a_coroutine_that_a_tool_calls_waits_for_tools_itself(wide, profile):
    wide.start_worker(NESTING, *profile)

    @wide.tool
    def descend(depth):
        return wide.nested("descend", depth - 1)

    for _ in range(20):  # each of them waits, unless the answer is there at once
        assert wide.call("descend", 10) == "the bottom"


ASKING = """
    import asyncio

    import slotring

    @slotring.handler
    async def ask_at_once(request, ctx):
        return await asyncio.gather(*(ctx.tools.back(number) for number in range(request)))

    @slotring.handler
    async def later(request):
        await asyncio.sleep(0.0001)
        return request

    @slotring.handler
    async def deeper(request, ctx):
        return sum(await asyncio.gather(*(ctx.tools.back(number) for number in range(request))))
"""


@PROFILES
def test_tools_that_are_asked_at_once_may_each_make_a_call_however_many(wide, profile):
    wide.start_worker(ASKING, *profile)
    within = []

    @wide.tool
    def back(number):
        within.append(number)
        assert within == [number], "one at a time"
        try:
            return wide.nested("later", number)
        finally:
            within.pop()

    assert wide.call("ask_at_once", 40) == list(range(40))


@PROFILES
def test_tools_that_are_asked_at_once_may_make_calls_that_ask_as_many(wide, profile):
    wide.start_worker(ASKING, *profile)
    outermost = [True]

    @wide.tool
    def back(number):
        if not outermost[0]:
            return wide.nested("later", number)
        outermost[0] = False
        try:
            return wide.nested("deeper", 20) + number
        finally:
            outermost[0] = True

    assert wide.call("ask_at_once", 20) == [190 + number for number in range(20)]


ENDING = """
    import slotring

    @slotring.handler
    def unsendable(request):
        yield b"first"
        yield object()

    @slotring.handler
    def too_large(request):
        yield b"first"
        yield bytes(1 << 17)

    @slotring.handler
    def refuses(request):
        yield b"first"
        raise slotring.CallError("no more", slotring.ErrorCode.PROGRAM_FAILED)

    @slotring.handler
    def asks(request, ctx):
        yield b"first"
        ctx.tools.nobody()

    @slotring.handler
    def raises(request):
        yield b"first"
        raise KeyError("nothing")
"""
ASYNC_ENDING = ENDING.replace("    def ", "    async def ").replace("ctx.tools", "await ctx.tools")


@PROFILES
@pytest.mark.parametrize("module", [ENDING, ASYNC_ENDING], ids=["generator", "async_generator"])
def test_what_ends_a_stream_reads_alike_in_every_profile(wide, profile, module):
    wide.start_worker(module, *profile)
    ends = {
        "unsendable": ("REPLY_NOT_CONVERTIBLE", "an object of type object cannot be sent", ""),
        "too_large": ("PAYLOAD_TOO_LARGE", "", ""),
        "refuses": ("PROGRAM_FAILED", "no more", ""),
        "asks": ("STREAM_REQUIRED", "the caller has no tools", ""),
        "raises": ("HANDLER_RAISED", "'nothing'", "KeyError"),
    }
    for method, (code, message, python_type) in ends.items():
        stream = wide.stream(method)
        assert next(stream) == b"first"
        failure = failure_of(stream.finish)
        assert (failure.code, failure.python_type) == (code, python_type)
        assert failure.message.startswith(message)
        assert bool(failure.traceback) == (method == "raises")
        unread = failure_of(wide.call, method)
        assert (unread.code, unread.python_type, unread.traceback) == ("STREAM_REQUIRED", "", "")
        assert unread.message.startswith("the handler streams, and its caller reads no stream")


HOLDING = """
    import asyncio
    import slotring

    @slotring.handler
    async def hold(request):
        print("waits", flush=True)
        await asyncio.get_running_loop().create_future()
"""


def test_a_told_worker_ends_quietly_though_its_tasks_end_at_once(wide):
    worker = wide.start_worker(HOLDING, *ASYNCIO)
    tickets = waiting(wide, 3, "hold")
    worker.process.send_signal(signal.SIGTERM)
    for ticket in tickets:
        with pytest.raises(CallFailed):
            wide.finish(ticket)
    wide.expect_exit(143, worker)
    assert worker.stderr == ""


LATE_START = """
    import asyncio
    import sys
    import slotring

    told = []
    tell = asyncio.BaseEventLoop.call_soon_threadsafe

    def told_first(self, *arguments, **keywords):
        told.append(arguments)
        return tell(self, *arguments, **keywords)

    asyncio.BaseEventLoop.call_soon_threadsafe = told_first

    class SlowNumpy:
        "Its import takes until the call is cancelled."

        def find_spec(self, name, path, target=None):
            if name == "numpy":
                print("imports", flush=True)
                while not told:
                    pass

    sys.meta_path.insert(0, SlowNumpy())

    @slotring.handler
    async def hold(request):
        await asyncio.get_running_loop().create_future()

    @slotring.handler
    def echo(request):
        return request
"""


def test_a_call_that_is_cancelled_before_its_task_starts_is_ended_too(wide):
    worker = wide.start_worker(LATE_START, *ASYNCIO)
    ticket = wide.start_tensors("hold", [("|u1", (1,), b"x", "")])
    wait_until(lambda: "imports" in worker.stdout, "the request's conversion")
    wide.harness.abandon(ticket)
    assert wide.call("echo", 1) == 1
    wide.end_worker(worker)
