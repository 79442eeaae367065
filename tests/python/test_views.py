"""A view that outlives its call shows the bytes of that call, never those of another."""

from __future__ import annotations

import os
import zlib

import pytest

from worker_pool import CallFailed, WorkerPool

# Each handler keeps something; `kept` tells what it shows now.
KEEPERS = """
    import gc
    import threading
    import zlib
    import slotring

    gc.disable()
    kept = []

    @slotring.handler
    def keep(request):
        kept.append(request)

    @slotring.handler
    def keep_slice(request):
        kept.append(request[1:-1])

    @slotring.handler
    def keep_cast(request):
        kept.append(request[:4].cast("I"))

    @slotring.handler
    def keep_array(request):
        import numpy
        kept.append(numpy.frombuffer(request, "u1")[::2])

    @slotring.handler
    def keep_in_thread(request):
        ready, go = threading.Event(), threading.Event()

        def run(view=request):
            ready.set()
            go.wait()
            kept.append(bytes(view))

        thread = threading.Thread(target=run)
        thread.start()
        ready.wait()
        threads.append((thread, go))

    threads = []

    @slotring.handler
    def join_threads(request):
        for thread, go in threads:
            go.set()
            thread.join()
        threads.clear()

    @slotring.handler
    def keep_in_exception(request):
        local = request[:]
        try:
            raise ValueError("kept")
        except ValueError as error:
            kept_errors.append(error)
            raise

    kept_errors = []

    @slotring.handler
    def views_in_exception(request):
        frame = kept_errors[0].__traceback__.tb_frame
        return [bytes(frame.f_locals["request"]), bytes(frame.f_locals["local"])]

    @slotring.handler
    def keep_in_cycle(request):
        cycle = [request]
        cycle.append(cycle)

    @slotring.handler
    def return_and_keep(request):
        kept.append(request)
        return request

    @slotring.handler
    def keep_exporter(request):
        kept.append(request.obj)

    @slotring.handler
    def view_exporter(request):
        return bytes(kept[0])

    @slotring.handler("kept")
    def tell(request):
        return [bytes(view) for view in kept]

    @slotring.handler
    def checksums(request):
        return [zlib.crc32(view) for view in kept]

    @slotring.handler
    def drop(request):
        kept.clear()

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def mapped(request):
        return sum("request" in line for line in open("/proc/self/maps"))
"""


def overwrite(pool: WorkerPool, size: int) -> None:
    """Calls that use each slot again, with other bytes."""
    for i in range(4):
        other = bytes([0xA0 + i]) * size
        assert pool.call("echo", other) == other


@pytest.mark.parametrize("size", [8, 4000, 4096, 70_000, 1_000_000])
def test_views_kept_in_a_global_keep_their_bytes(pool, size):
    pool.start_worker(KEEPERS)
    first = bytes(range(1, 251)) * (size // 250) + b"!" * (size % 250)
    second = first[::-1]
    pool.call("keep", first)
    overwrite(pool, size)
    pool.call("keep", second)
    overwrite(pool, size)
    assert pool.call("checksums") == [zlib.crc32(first), zlib.crc32(second)]
    pool.call("drop")
    assert pool.call("checksums") == []


@pytest.mark.parametrize(
    "method, shown",
    [
        ("keep", b"12345678"),
        ("keep_slice", b"234567"),
        ("keep_cast", b"1234"),
        ("keep_array", b"1357"),
        ("return_and_keep", b"12345678"),
    ],
)
def test_every_kind_of_view_is_covered(pool, method, shown):
    pool.start_worker(KEEPERS)
    pool.call(method, b"12345678")
    overwrite(pool, 8)
    assert pool.call("kept") == [shown]


def test_a_thread_that_still_reads_sees_its_own_bytes(pool):
    pool.start_worker(KEEPERS)
    pool.call("keep_in_thread", b"one")
    pool.call("keep_in_thread", b"two")
    overwrite(pool, 3)
    pool.call("join_threads")
    assert sorted(pool.call("kept")) == [b"one", b"two"]


def test_an_exception_that_is_kept_keeps_the_views_in_its_frames(pool):
    pool.start_worker(KEEPERS)
    with pytest.raises(CallFailed, match="kept"):
        pool.call("keep_in_exception", b"in the frame")
    overwrite(pool, 12)
    assert pool.call("views_in_exception") == [b"in the frame", b"in the frame"]


def test_the_object_behind_a_view_gives_no_view_of_a_later_call(pool):
    pool.start_worker(KEEPERS)
    pool.call("keep_exporter", b"first")
    with pytest.raises(CallFailed, match="viewed through its memoryview only"):
        pool.call("view_exporter", b"second")


def test_a_view_that_was_let_go_costs_nothing(pool):
    pool.start_worker(KEEPERS)
    before = pool.call("mapped")
    overwrite(pool, 100)
    with pytest.raises(CallFailed):
        pool.call("view_exporter", b"raises with the view in its frame")
    assert pool.call("mapped") == before


def test_kept_memory_goes_with_its_last_view(pool):
    pool.start_worker(KEEPERS)
    before = pool.call("mapped")
    for _ in range(50):
        pool.call("keep", b"x" * 10_000)
    assert pool.call("mapped") == before
    pool.call("drop")
    assert pool.call("mapped") == before
    pool.end_worker()


GREEDY = KEEPERS + """
    @slotring.handler
    def sizes(request):
        return [len(kept), [set(view) == {7} for view in kept].count(True), bytes(kept[-1][:4])]
"""


def test_beyond_the_bound_the_call_fails_and_what_was_kept_reads_as_zeros(tmp_path):
    size = 30 << 20  # eight of them fit the bound
    with WorkerPool(tmp_path, slots=1, area_bytes=32 << 20) as pool:
        pool.start_worker(GREEDY)
        for _ in range(8):
            pool.call("keep", bytes([7]) * size)
        with pytest.raises(CallFailed) as failed:
            pool.call("keep", bytes([9]) * size)
        assert failed.value.code == "VIEW_ESCAPED"
        assert "the method 'keep'" in failed.value.message
        assert pool.call("echo", b"next call") == b"next call"
        assert pool.call("sizes") == [9, 8, bytes(4)]
        pool.call("drop")
        pool.call("keep", bytes([7]) * size)  # there is room again
        assert pool.call("sizes") == [1, 1, bytes([7]) * 4]


def test_dead_cycles_are_collected_before_a_call_fails_for_them(tmp_path):
    size = 30 << 20
    with WorkerPool(tmp_path, slots=1, area_bytes=32 << 20) as pool:
        pool.start_worker(GREEDY)
        for _ in range(20):
            pool.call("keep_in_cycle", bytes([7]) * size)


@pytest.mark.skipif(
    "tsan" in os.environ.get("LD_PRELOAD", ""), reason="TSan takes minutes for 32,768 mappings"
)
def test_a_worker_that_keeps_views_without_end_ends_rather_than_leak(tmp_path):
    # Each view counts 16 KiB at least: 16,384 fill the bound, as many more read as zeros.
    with WorkerPool(tmp_path, slots=1) as pool:
        pool.start_worker(GREEDY)
        failed = 0
        for _ in range(2 * 16_384):
            try:
                pool.call("keep", b"x")
            except CallFailed:
                failed += 1
        assert failed == 16_384
        ticket = pool.start("keep", b"one too many")
        pool.expect_exit(70)
        assert "'keep'" in pool.worker.stderr and "this worker ends" in pool.worker.stderr
        assert pool.harness.states() == ["running"]  # for the supervisor to answer
        pool.harness.abandon(ticket)
