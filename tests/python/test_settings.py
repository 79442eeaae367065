"""Settings: calls that each worker makes before it serves, and what becomes of their errors."""

from __future__ import annotations

import pytest

from expected_errors import failure_of
from payloads import as_payload
from worker_pool import wait_until

MODULE = '''
    import asyncio
    import sys
    import slotring

    made = []

    @slotring.handler(broadcast=True)
    def configure(request):
        """For all workers."""
        request = bytes(request).decode() if isinstance(request, memoryview) else request
        if request == "bad":
            raise ValueError("no such model")
        if request == "worse":
            return slotring.CallError("refused", slotring.ErrorCode.PROGRAM_FAILED)
        made.append(request)

    @slotring.handler
    def also(request, ctx):
        made.append([ctx.method, ctx.call_id, ctx.cancelled, ctx.remaining_s])

    @slotring.handler
    async def later(request):
        await asyncio.sleep(0)
        made.append("later")

    @slotring.handler
    def streams(request):
        made.append("streams")
        yield request

    @slotring.handler
    async def streams_later(request):
        made.append("streams later")
        yield request

    @slotring.handler
    def returns_a_generator(request):
        return streams(request)

    @slotring.handler
    def returns_a_coroutine(request):
        return later(request)

    @slotring.handler
    def seen(request):
        return made
'''


def broadcast(pool, method, payload=None, *, key=None, retract=False) -> int:
    """What the supervisor does with a broadcast."""
    return pool.harness.record_setting(key or method, method, *as_payload(payload), retract)


def test_a_setting_is_made_before_the_next_call_and_once(pool):
    pool.start_worker(MODULE)
    assert pool.call("seen") == []
    assert broadcast(pool, "configure", {"model": "small"}) == 1
    assert pool.call("seen") == [{"model": "small"}]
    assert pool.call("seen") == [{"model": "small"}]
    assert pool.harness.settings_told() == (1, 0)


def test_settings_are_made_after_the_start_before_the_first_call(pool):
    broadcast(pool, "configure", b"first", key="a")
    broadcast(pool, "configure", key="b")
    broadcast(pool, "configure", [1, 2], key="c")
    pool.start_worker(MODULE)
    wait_until(lambda: pool.harness.settings_told() == (3, 0), "the settings, without any call")
    assert pool.call("seen") == ["first", None, [1, 2]]


def test_only_the_newest_of_a_key_is_made_and_by_a_successor_too(pool):
    pool.start_worker(MODULE)
    broadcast(pool, "configure", "one", key="lm")
    assert pool.call("seen") == ["one"]
    broadcast(pool, "configure", "two", key="lm")
    broadcast(pool, "configure", "three", key="lm")
    assert pool.call("seen") == ["one", "three"]
    pool.end_worker()
    pool.start_worker(MODULE)
    assert pool.call("seen") == ["three"]


def test_handlers_of_all_sorts_can_be_broadcast_to(pool):
    pool.start_worker(MODULE)
    broadcast(pool, "also")
    broadcast(pool, "later")
    assert pool.call("seen") == [["also", 0, False, None], "later"]


def test_a_failing_setting_is_told_and_the_worker_serves_on(pool):
    worker = pool.start_worker(MODULE)
    broadcast(pool, "configure", "good", key="good")
    epoch = broadcast(pool, "configure", "bad", key="lm")
    assert pool.call("seen") == ["good"]
    assert pool.harness.settings_told() == (2, 2)
    failure = failure_of(pool.call, "settings", "lm")
    assert (failure.code, failure.message) == ("HANDLER_RAISED", "no such model")
    assert failure.python_type == "ValueError" and "in configure" in failure.traceback
    assert pool.call("settings", b"good")["ok"]
    assert [(s["key"], s["epoch"], s["ok"]) for s in pool.call("settings")] == [
        ("good", 1, True),
        ("lm", epoch, False),
    ]
    broadcast(pool, "configure", "mended", key="lm")
    assert pool.call("settings", "lm")["ok"]
    assert pool.harness.settings_told() == (3, 0)
    pool.end_worker()
    assert "the setting 'lm' (configure, epoch 2) failed" in worker.stderr
    assert "ValueError: no such model" in worker.stderr


def test_an_exception_that_a_setting_returns_is_its_failure(pool):
    pool.start_worker(MODULE)
    broadcast(pool, "configure", "worse")
    assert failure_of(pool.call, "settings", "configure").code == "PROGRAM_FAILED"


@pytest.mark.parametrize(
    "method, code, message",
    [
        ("streams", "STREAM_REQUIRED", "the method 'streams' returned a generator"),
        ("streams_later", "STREAM_REQUIRED", "reads no stream"),
        ("returns_a_generator", "STREAM_REQUIRED", "nobody reads its items"),
        ("returns_a_coroutine", "REPLY_NOT_CONVERTIBLE", "define its handler with `async def`"),
    ],
)
def test_a_setting_whose_handler_would_not_run_has_failed(pool, method, code, message):
    worker = pool.start_worker(MODULE)
    broadcast(pool, method, "x")
    assert pool.call("seen") == []
    assert pool.harness.settings_told() == (1, 1)
    failure = failure_of(pool.call, "settings", method)
    assert failure.code == code and message in failure.message
    pool.end_worker()
    assert "never awaited" not in worker.stderr


def test_a_setting_of_an_unknown_method_is_not_found(pool):
    pool.start_worker(MODULE)
    broadcast(pool, "configrue", "x")
    failure = failure_of(pool.call, "settings", "configrue")
    assert failure.code == "METHOD_NOT_FOUND" and "did you mean 'configure'" in failure.message


def test_a_retraction_is_a_last_call_for_those_that_are_there(pool):
    pool.start_worker(MODULE)
    broadcast(pool, "configure", "on", key="lm")
    assert pool.call("seen") == ["on"]
    broadcast(pool, "configure", "off", key="lm", retract=True)
    assert pool.call("seen") == ["on", "off"]
    pool.end_worker()
    pool.start_worker(MODULE)
    assert pool.call("seen") == []
    assert pool.call("settings", "lm") is None


def test_a_plain_call_of_a_broadcast_handler_is_refused_and_does_not_run(pool):
    pool.start_worker(MODULE)
    failure = failure_of(pool.call, "configure", "x")
    assert failure.code == "BROADCAST_ONLY" and not failure.retryable
    assert "Client::broadcast" in failure.message and "--broadcast" in failure.message
    assert pool.call("seen") == []


def test_every_worker_has_the_method_settings(pool):
    pool.launch("import slotring\n@slotring.handler\ndef settings(request): ...\n")
    pool.publish()
    assert pool.worker.outcome[0] == "setup_failed"
    pool.expect_exit(3)
