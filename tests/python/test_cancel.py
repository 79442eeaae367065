"""Calls whose caller has gone: what a real worker's handlers see of it."""

from __future__ import annotations

import contextlib
import time

import pytest

from slotring.coroutines import Coroutines
from worker_pool import CallFailed, wait_until

COROUTINES = """
    import asyncio
    import pathlib
    import slotring

    FOLDER = pathlib.Path(__file__).parent

    @slotring.handler
    async def wait(request):
        print("waits", flush=True)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            raise

    @slotring.handler
    async def stubborn(request):
        print("waits", flush=True)
        while not (FOLDER / "go").exists():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                print("swallowed", flush=True)
        return "nobody reads this"

    @slotring.handler
    async def short(request):
        for _ in range(request):
            await asyncio.sleep(0)
        return request

    @slotring.handler
    def sync(request, ctx):
        print("waits", flush=True)
        while not ctx.cancelled:
            pass
"""


def abandon_running(pool, method):
    printed = pool.worker.stdout.count("waits")
    ticket = pool.start(method)
    wait_until(lambda: pool.worker.stdout.count("waits") > printed, "the handler")
    pool.harness.abandon(ticket)


def test_a_coroutine_is_cancelled_at_its_next_await_and_its_slot_comes_back(pool):
    worker = pool.start_worker(COROUTINES)
    abandon_running(pool, "wait")
    wait_until(pool.is_idle, "the slot to come back")
    wait_until(lambda: worker.stdout == "waits\ncancelled\n", "its output")
    assert pool.call("short", 3) == 3


def test_a_deadline_cancels_a_coroutine_too(pool):
    pool.start_worker(COROUTINES)
    with pytest.raises(CallFailed) as failed:
        pool.call("wait", timeout_s=0.05)
    assert failed.value.code == "DEADLINE_EXCEEDED"
    wait_until(pool.is_idle, "the slot to come back")


def test_a_coroutine_that_swallows_its_cancellation_keeps_its_slot_until_it_ends(pool):
    worker = pool.start_worker(COROUTINES)
    abandon_running(pool, "stubborn")
    wait_until(lambda: "swallowed" in worker.stdout, "the cancellation")
    # Long enough for another tick: it is told once.
    wait_until(lambda: pool.harness.running()[0] > 2.2, "time to pass")
    assert pool.harness.states().count("abandoned") == 1
    (pool.folder / "go").touch()
    wait_until(pool.is_idle, "the slot to come back")
    assert worker.stdout.count("swallowed") == 1
    assert pool.call("short", 1) == 1


def test_no_cancellation_hits_the_call_after_it(pool):
    pool.start_worker(COROUTINES)
    for steps in range(300):
        ticket = pool.start("short", steps % 30)
        wait_until(lambda: "requested" not in pool.harness.states(), "the call to start")
        pool.harness.abandon(ticket)
        assert pool.call("short", 20) == 20
    assert pool.worker.stderr == ""


def test_a_plain_handler_sees_it_in_its_context_and_later_coroutines_do_not(pool):
    pool.start_worker(COROUTINES)
    for _ in range(20):
        abandon_running(pool, "sync")
        assert pool.call("short", 5) == 5


def test_calls_in_a_row_wake_the_second_thread_once(pool):
    echo = "echo = slotring.handler('echo')(lambda request: request)"
    pool.start_worker(f"{COROUTINES}\n    {echo}\n")
    begin = time.monotonic()
    rings = pool.harness.cancel_rings()
    pool.harness.round_trips("echo", b"x", 2000)
    # Once more for each second that a loaded machine may have left it without calls.
    assert pool.harness.cancel_rings() - rings <= 1 + (time.monotonic() - begin)


def test_a_hung_interpreter_is_told_from_a_busy_one(pool):
    pool.start_worker(
        """
        import ctypes
        import time
        import slotring

        @slotring.handler
        def busy(request):
            time.sleep(request)

        @slotring.handler
        def spin(request):
            end = time.monotonic() + request
            while time.monotonic() < end:
                pass

        @slotring.handler
        def hung(request):
            ctypes.PyDLL(None).sleep(request)  # keeps the GIL
        """
    )
    ticket = pool.start("hung", 4)
    wait_until(lambda: (pool.harness.running() or (0, 0, False))[2], "it to look hung")
    assert pool.harness.running()[0] >= 2
    pool.finish(ticket)
    for method in ("busy", "spin"):
        ticket = pool.start(method, 4)
        wait_until(lambda: (pool.harness.running() or (0,))[0] >= 3, "it to run long")
        assert not pool.harness.running()[2], method
        pool.finish(ticket)
    assert pool.harness.running() is None


def test_coroutines_cancel_only_the_call_that_is_named():
    running, other = 7 << 16 | 1, 6 << 16  # that of a running call says its method, too
    with contextlib.ExitStack() as tear_downs:
        coroutines = Coroutines(tear_downs, lambda: running)

        async def cancels(call):
            import asyncio

            assert coroutines.cancel(call)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "went on"

        run = coroutines.plain(cancels)
        assert not coroutines.cancel(7 << 16), "nothing runs"
        assert run(other) == "went on"
        with pytest.raises(BaseException) as cancelled:
            run(7 << 16)
        assert type(cancelled.value).__name__ == "CancelledError"
    assert not coroutines.cancel(7 << 16), "the loop is closed"
