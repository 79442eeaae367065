"""Calls to a real worker: payloads, replies, contexts, coroutines, built-in methods."""

from __future__ import annotations

import os

import pytest

from worker_pool import CallFailed, WorkerPool, wait_until

ECHO = """
    import slotring

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler("type")
    def type_of(request):
        return type(request).__name__
"""


def test_bytes_come_as_a_read_only_view_of_the_slot(pool):
    pool.start_worker(
        """
        import slotring

        @slotring.handler
        def look(request):
            maps = [line for line in open("/proc/self/maps") if "request" in line]
            import numpy
            address = numpy.frombuffer(request, "u1").ctypes.data
            inside = any(int(a, 16) <= address < int(b, 16)
                         for a, b in (line.split()[0].split("-") for line in maps))
            return [type(request).__name__, request.readonly, request.format, len(request), inside]
        """
    )
    assert pool.call("look", b"x" * 100) == ["memoryview", True, "B", 100, True]


def test_a_view_returned_is_the_payload_itself(pool):
    pool.start_worker(ECHO)
    for size in (0, 1, 64, 4000, 70_000, 1_000_000, 3):
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert pool.call("echo", payload) == payload


@pytest.mark.parametrize(
    "payload", [None, True, 7, -1.5, "text", "", [], {}, [1, [2, {"a": None}]], {"b": b"\0\xff"}]
)
def test_values_come_as_python_objects_and_go_back(pool, payload):
    pool.start_worker(ECHO)
    assert pool.call("echo", payload) == payload
    assert pool.call("type", payload) == type(payload).__name__


def test_a_slice_a_released_view_and_a_copy_can_be_returned(pool):
    pool.start_worker(
        """
        import slotring

        @slotring.handler
        def middle(request):
            return request[2:4]

        @slotring.handler
        def backwards(request):
            return request[::-1]

        @slotring.handler
        def released(request):
            request.release()
            return request

        @slotring.handler
        def copied(request):
            return bytearray(request)
        """
    )
    assert pool.call("middle", b"abcdef") == b"cd"
    assert pool.call("backwards", b"abcdef") == b"fedcba"
    assert pool.call("copied", b"abcdef") == b"abcdef"
    with pytest.raises(CallFailed) as failed:
        pool.call("released", b"abcdef")
    assert failed.value.code == "REPLY_NOT_CONVERTIBLE"
    assert "released memoryview" in failed.value.message


def test_buffers_go_as_their_bytes_and_scalars_as_values(pool):
    numpy = pytest.importorskip("numpy")
    pool.start_worker(
        """
        import array
        import numpy as np
        import slotring

        REPLIES = {
            "array": array.array("i", [1, 2]),
            "record": np.zeros(2, dtype=[("Offset", "i4"), ("x", "f8")]),
            "float64": np.float64(0.5),
            "float32": np.float32(0.5),
            "int8": np.int8(-3),
            "uint64": np.uint64(2**64 - 1),
            "bool": np.bool_(True),
            "nothing": np.array(4),
            "nested": {"a": [np.float32(0.25), np.int64(9)]},
            "objects": np.array([object()]),
            "dates": np.array(["2020-01-01"], dtype="M8[D]"),
            "inside": {"a": [np.zeros(3)]},
        }

        @slotring.handler
        def reply(request):
            return REPLIES[request]
        """
    )
    assert pool.call("reply", "array") == numpy.array([1, 2], "i4").tobytes()
    assert pool.call("reply", "record") == bytes(24)
    for name, value in {
        "float64": 0.5,
        "float32": 0.5,
        "int8": -3,
        "uint64": 2**64 - 1,
        "bool": True,
        "nothing": 4,
        "nested": {"a": [0.25, 9]},
    }.items():
        assert pool.call("reply", name) == value
    for name, hint in {"objects": "tolist", "dates": "astype('int64')", "inside": "tobytes"}.items():
        with pytest.raises(CallFailed) as failed:
            pool.call("reply", name)
        assert failed.value.code == "REPLY_NOT_CONVERTIBLE"
        assert hint in failed.value.message


def test_a_reply_that_cannot_be_converted_names_the_type_and_the_place(pool):
    pool.start_worker(
        """
        import slotring

        @slotring.handler
        def bad(request):
            return {"scores": [1, 2, {3}]}

        @slotring.handler
        def loop(request):
            loop = []
            loop.append(loop)
            return loop
        """
    )
    with pytest.raises(CallFailed) as failed:
        pool.call("bad")
    assert failed.value.code == "REPLY_NOT_CONVERTIBLE"
    assert "in reply['scores'][2]" in failed.value.message
    assert "type set" in failed.value.message
    with pytest.raises(CallFailed) as failed:
        pool.call("loop")
    assert "contains itself" in failed.value.message


def test_a_reply_larger_than_the_slot_is_a_typed_error(pool):
    pool.start_worker(
        """
        import slotring

        @slotring.handler
        def big(request):
            return bytes(2 << 20) if request else ["x" * 100] * (1 << 15)
        """
    )
    for bytes_not_value in (True, False):
        with pytest.raises(CallFailed) as failed:
            pool.call("big", bytes_not_value)
        assert failed.value.code == "PAYLOAD_TOO_LARGE"
    assert pool.call("ping")["status"] == "ok"


def test_the_context_knows_its_call(pool):
    pool.start_worker(
        """
        import slotring

        kept = []

        @slotring.handler
        def look(request, ctx):
            kept.append(ctx)
            return [ctx.method, ctx.call_id, ctx.remaining_s, ctx.cancelled, type(ctx).__name__]

        @slotring.handler
        def after(request):
            return [kept[0].method, kept[0].cancelled]

        @slotring.handler
        def with_default(request, scale=2):
            return scale
        """
    )
    method, call_id, remaining_s, cancelled, name = pool.call("look", timeout_s=25)
    assert (method, cancelled, name) == ("look", False, "Context")
    assert call_id > 0 and 20 < remaining_s <= 25
    assert pool.call("after") == ["look", True]
    assert pool.call("with_default") == 2


def test_a_handler_sees_that_its_caller_has_gone(pool):
    pool.start_worker(
        """
        import slotring

        @slotring.handler
        def until_cancelled(request, ctx):
            while not ctx.cancelled:
                pass
            print("noticed")
        """
    )
    ticket = pool.start("until_cancelled")
    wait_until(lambda: "running" in pool.harness.states(), "the call to run")
    pool.harness.abandon(ticket)
    wait_until(pool.is_idle, "the slot to come back")
    assert pool.call("ping")["status"] == "ok"
    pool.end_worker()
    assert "noticed" in pool.worker.stdout


def test_coroutines_and_services_are_served(pool):
    pool.start_worker(
        """
        import asyncio
        import slotring

        @slotring.handler
        async def later(request):
            await asyncio.sleep(0)
            return [request]

        @slotring.service
        class Counter:
            def __init__(self):
                self.count = 0

            @slotring.handler
            def add(self, request, ctx):
                self.count += request
                return self.count

            @slotring.handler("double")
            @staticmethod
            def twice(request):
                return 2 * request

            def close(self):
                print("closed at", self.count)
        """
    )
    assert pool.call("later", 5) == [5]
    assert [pool.call("add", 2), pool.call("add", 3)] == [2, 5]
    assert pool.call("double", 4) == 8
    pool.end_worker()
    assert "closed at 5" in pool.worker.stdout


def test_ping_and_methods_are_built_in(pool):
    worker = pool.start_worker(
        '''
        import slotring

        @slotring.handler
        def classify(request):
            """Tells the digit.

            More of it.
            """
        '''
    )
    ping = pool.call("ping")
    assert ping["status"] == "ok"
    assert (ping["pool"], ping["worker"], ping["generation"]) == ("local", 0, 1)
    assert ping["pid"] == worker.process.pid
    assert 0 <= ping["uptime_s"] < 60
    assert sorted(ping["versions"]) == ["python", "slotring"]
    methods = {method["name"]: method for method in pool.call("methods")}
    assert sorted(methods) == [
        "classify",
        "end_session",
        "methods",
        "ping",
        "sessions",
        "settings",
    ]
    assert methods["classify"]["summary"] == "Tells the digit."
    assert methods["classify"]["signature"] == "classify(request)"
    assert worker.outcome == (
        "ready",
        ["end_session", "methods", "ping", "sessions", "settings", "classify"],
        f"CPython {ping['versions']['python']}",
    )


def test_an_unknown_method_names_near_ones(pool):
    pool.start_worker(ECHO)
    with pytest.raises(CallFailed) as failed:
        pool.call("ecko")
    assert failed.value.code == "METHOD_NOT_FOUND"
    assert "'ecko'" in failed.value.message and "did you mean 'echo'" in failed.value.message


def test_hostile_payloads_fail_their_call_only(pool):
    pool.start_worker(ECHO)
    for kind, data in [(2, b""), (2, b"\xff" * 50), (3, b"tensor"), (4, b"table"), (99, b"?")]:
        with pytest.raises(CallFailed) as failed:
            pool.finish(pool.start_raw("echo", kind, data))
        assert failed.value.code in ("BAD_FRAME", "INVALID_ARGUMENT")
    assert pool.call("echo", b"fine") == b"fine"


def test_other_threads_of_the_worker_run_while_it_waits_and_while_it_is_busy(pool):
    pool.start_worker(
        """
        import threading
        import slotring

        count = 0

        def run():
            global count
            while True:
                count += 1

        threading.Thread(target=run, daemon=True).start()

        @slotring.handler
        def counted(request):
            return count

        slotring.handler("size")(size := lambda request: len(request))
        """
    )
    first = pool.call("counted")
    pool.harness.round_trips("size", b"x", 2000)
    assert pool.call("counted") > first


def test_a_forked_child_that_comes_back_ends_without_touching_the_call(pool):
    pool.start_worker(
        """
        import os
        import slotring

        @slotring.handler
        def fork(request):
            child = os.fork()
            if child == 0:
                return b"from the child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """
    )
    assert pool.call("fork") == 1
    assert pool.call("fork") == 1


def test_a_successor_serves_what_was_requested(tmp_path):
    with WorkerPool(tmp_path) as pool:
        first = pool.start_worker(ECHO)
        os.kill(first.process.pid, 19)  # SIGSTOP
        ticket = pool.start("echo", b"queued")
        first.process.kill()
        first.wait()
        pool.start_worker(ECHO)
        assert pool.finish(ticket) == b"queued"
