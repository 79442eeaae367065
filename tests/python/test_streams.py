"""Handlers that stream: what a real worker sends, takes, and sees of its caller."""

from __future__ import annotations

import pytest

from expected_errors import failure_of
from worker_pool import WorkerPool, wait_until

MODULE = """
    import asyncio
    import pathlib
    import slotring
    import time
    from slotring import CallError, ErrorCode

    FOLDER = pathlib.Path(__file__).parent
    ends = []

    @slotring.handler
    def arrays(request, ctx):
        kept = list(ctx.incoming)
        return [[a.dtype.name, a.tolist(), a.flags.writeable] for a in kept]

    @slotring.handler
    def count(request):
        for i in range(request):
            yield i
        return "counted"

    @slotring.handler
    async def count_async(request):
        for i in range(request):
            await asyncio.sleep(0)
            yield i

    @slotring.handler
    def kinds(request):
        yield b"bytes"
        yield None
        yield {"a": [1, 2.5, "x"]}
        yield memoryview(bytearray(b"view"))
        yield b""
        yield request

    @slotring.handler
    def made_by_a_plain_function(request):
        return (item for item in [b"one", b"two"])

    def endless_items():
        try:
            while True:
                yield bytes(1000)
        except GeneratorExit:
            ends.append("GeneratorExit")
            raise

    @slotring.handler
    def endless(request):
        yield from endless_items()

    @slotring.handler
    async def endless_async(request):
        try:
            while True:
                yield bytes(1000)
        except GeneratorExit:
            ends.append("GeneratorExit")
            raise

    @slotring.handler
    def how_it_ended(request):
        return ends

    @slotring.handler
    def fails(request):
        yield b"first"
        yield b"second"
        raise ValueError("in the middle")

    @slotring.handler
    async def fails_async(request):
        yield b"first"
        raise CallError("no more", ErrorCode.PROGRAM_FAILED)

    @slotring.handler
    def unsendable(request):
        try:
            yield b"first"
            yield object()
        finally:
            ends.append("closed")

    @slotring.handler
    def too_large(request):
        yield bytes(1 << 17)

    @slotring.handler
    def total(request, ctx):
        return sum(ctx.incoming)

    @slotring.handler
    async def total_async(request, ctx):
        return sum([item async for item in ctx.incoming])

    @slotring.handler
    def doubled(request, ctx):
        for item in ctx.incoming:
            yield item * 2
        return "all doubled"

    @slotring.handler
    async def doubled_async(request, ctx):
        async for item in ctx.incoming:
            yield item * 2

    kept = []

    @slotring.handler
    def keep(request, ctx):
        kept.extend(ctx.incoming)
        kept.append(ctx.incoming)
        return len(kept)

    @slotring.handler
    def what_was_kept(request):
        *items, incoming = kept
        texts = [bytes(item).decode() for item in items]
        return [type(items[0]).__name__, *texts, next(incoming, "ended")]

    @slotring.handler
    def wait_for_item(request, ctx):
        try:
            for item in ctx.incoming:
                pass
        except CallError as error:
            ends.append(error.code.name)
            raise

    @slotring.handler
    def no_step(request):
        yield b"an item"
        while not (FOLDER / "go").exists():
            time.sleep(0.001)
        yield b"another"
"""


@pytest.fixture
def streams(pool) -> WorkerPool:
    pool.start_worker(MODULE)
    return pool


@pytest.mark.parametrize("method, last", [("count", "counted"), ("count_async", None)])
@pytest.mark.parametrize("items", [0, 1, 1000])
def test_what_a_generator_yields_arrives_in_order_and_then_what_it_returns(
    streams, method, last, items
):
    stream = streams.stream(method, items)
    assert list(stream) == list(range(items))
    assert stream.finish() == last


def test_each_item_is_converted_as_a_reply_is(streams):
    stream = streams.stream("kinds", b"the request")
    expected = [b"bytes", None, {"a": [1, 2.5, "x"]}, b"view", b"", b"the request"]
    assert list(stream) == expected
    assert stream.finish() is None


def test_a_plain_function_may_return_a_generator(streams):
    assert list(streams.stream("made_by_a_plain_function")) == [b"one", b"two"]


def test_an_item_arrives_while_the_generator_runs_on(streams):
    stream = streams.stream("no_step")
    assert next(stream) == b"an item"
    (streams.folder / "go").touch()
    assert list(stream) == [b"another"]


@pytest.mark.parametrize("method", ["endless", "endless_async"])
def test_a_caller_that_wants_no_more_closes_the_generator(streams, method):
    stream = streams.stream(method)
    for _ in range(300):  # more than the window holds
        assert len(next(stream)) == 1000
    stream.drop()
    assert streams.call("how_it_ended") == ["GeneratorExit"]


@pytest.mark.parametrize("method", ["endless", "endless_async"])
def test_a_deadline_closes_a_generator_that_waits_for_its_caller(streams, method):
    stream = streams.stream(method, timeout_s=0.05)
    wait_until(lambda: streams.is_idle() or late(stream), "the deadline")
    wait_until(lambda: streams.call("how_it_ended") == ["GeneratorExit"], "the generator's end")


def late(stream) -> bool:
    """Reads on; whether the stream is late."""
    try:
        next(stream)
    except Exception as error:
        assert error.code == "DEADLINE_EXCEEDED", error
        stream.drop()
        return True
    return False


def test_an_error_comes_after_the_items_before_it(streams):
    stream = streams.stream("fails")
    assert [next(stream), next(stream)] == [b"first", b"second"]
    error = failure_of(next, stream)
    assert (error.code, error.python_type) == ("HANDLER_RAISED", "ValueError")
    assert "in the middle" in error.traceback

    stream = streams.stream("fails_async")
    assert next(stream) == b"first"
    assert failure_of(stream.finish).code == "PROGRAM_FAILED"


def test_an_item_that_cannot_be_sent_ends_the_call_and_closes_the_generator(streams):
    stream = streams.stream("unsendable")
    assert next(stream) == b"first"
    assert failure_of(stream.finish).code == "REPLY_NOT_CONVERTIBLE"
    assert streams.call("how_it_ended") == ["closed"]
    assert failure_of(streams.stream("too_large").finish).code == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("method", ["count", "count_async", "made_by_a_plain_function"])
def test_a_caller_that_reads_no_stream_is_told_how_to(streams, method):
    error = failure_of(streams.call, method, 3)
    assert error.code == "STREAM_REQUIRED"
    assert "Client::stream()" in error.message


@pytest.mark.parametrize("method", ["total", "total_async"])
def test_a_handler_reads_what_its_caller_sends(streams, method):
    stream = streams.stream(method)
    for i in range(500):
        stream.write(i)
    stream.finish_writing()
    assert stream.finish() == sum(range(500))


@pytest.mark.parametrize("method", ["total", "total_async"])
def test_what_a_caller_without_a_stream_sends_is_empty(streams, method):
    assert streams.call(method) == 0


@pytest.mark.parametrize("method, last", [("doubled", "all doubled"), ("doubled_async", None)])
def test_a_generator_reads_and_yields_at_once(streams, method, last):
    stream = streams.stream(method)
    for i in range(200):
        stream.write(i)
        assert next(stream) == 2 * i
    stream.finish_writing()
    assert list(stream) == []
    assert stream.finish() == last


def test_items_that_a_handler_keeps_are_its_own(streams):
    for _ in range(3):  # the same slot's memory, again and again
        streams.call("total")
    stream = streams.stream("keep")
    stream.write(b"first")
    stream.write(b"second")
    stream.finish_writing()
    assert stream.finish() == 3
    list(streams.stream("kinds", b"x" * 100))
    assert streams.call("what_was_kept") == ["memoryview", "first", "second", "ended"]


def test_a_handler_that_waits_for_items_learns_that_its_caller_has_gone(streams):
    stream = streams.stream("wait_for_item")
    stream.write(b"one")
    wait_until(streams.harness.awaits_caller, "the handler to wait for another item")
    stream.drop()
    assert streams.call("how_it_ended") == ["CANCELLED"]


def test_a_worker_that_waits_for_room_leaves_at_sigterm(streams):
    stream = streams.stream("endless")
    assert len(next(stream)) == 1000
    wait_until(streams.harness.awaits_caller, "the worker to wait for room")
    streams.worker.process.terminate()
    error = None
    while error is None:
        try:
            next(stream)
        except Exception as raised:
            error = raised
    assert error.code == "WORKER_LOST"
    streams.expect_exit(143)


def test_tensors_that_the_caller_writes_are_arrays_that_may_be_kept(pool):
    numpy = pytest.importorskip("numpy")
    pool.start_worker(MODULE)
    stream = pool.stream("arrays")
    written = [numpy.arange(6, dtype="f4").reshape(3, 2) + i for i in range(300)]
    for array in written:
        stream.write_floats(array.tobytes(), 2)
    stream.finish_writing()
    assert stream.finish() == [["float32", array.T.tolist(), False] for array in written]
