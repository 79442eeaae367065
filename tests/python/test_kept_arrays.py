"""Arrays that outlive their call: they show its own elements for ever, and reach no other call."""

from __future__ import annotations

import pytest

from worker_pool import CallFailed, WorkerPool, wait_until

np = pytest.importorskip("numpy")
from tensor_calls import as_array, send  # noqa: E402, which needs numpy

KEEPERS = """
    import gc
    import threading
    import numpy as np
    import slotring

    gc.disable()
    kept = []
    threads = []

    def kinds(array):
        return {
            "array": lambda: array,
            "slice": lambda: array[1:-1],
            "transposed": lambda: array.reshape(-1, 2).T,
            "memoryview": lambda: memoryview(array),
            "dlpack": lambda: np.from_dlpack(slotring.dlpack(array)),
            "capsule": lambda: slotring.dlpack(array).__dlpack__(),
            "exporter": lambda: slotring.dlpack(array),
        }

    @slotring.handler
    def keep_request(request):
        kept.append(kinds(request["array"])[request["kind"]]())

    @slotring.handler
    def keep_reply(request, ctx):
        out = ctx.empty(request["array"].shape, request["array"].dtype)
        out[...] = request["array"]
        kept.append(kinds(out)[request["kind"]]())
        return out

    @slotring.handler
    def keep_in_thread(request, ctx):
        out = ctx.empty(request.shape, request.dtype)
        out[...] = request
        go = threading.Event()

        def run(array=request, out=out):
            go.wait()
            out[...] = 99
            kept.append(array)

        threads.append((threading.Thread(target=run), go))
        threads[-1][0].start()
        return out

    @slotring.handler
    def join(request):
        for thread, go in threads:
            go.set()
            thread.join()
        threads.clear()

    @slotring.handler
    def keep_in_exception(request, ctx):
        out = ctx.empty(request.shape, request.dtype)
        out[...] = request
        try:
            raise ValueError("kept")
        except ValueError as error:
            errors.append(error)
            raise

    errors = []

    @slotring.handler
    def in_exception(request):
        frame = errors[0].__traceback__.tb_frame
        return [frame.f_locals["request"].tolist(), frame.f_locals["out"].tolist()]

    @slotring.handler
    def keep_in_cycle(request, ctx):
        cycle = [request, ctx.empty(request.shape, request.dtype)]
        cycle.append(cycle)

    @slotring.handler
    def kept_items(request):
        def shown(item):
            if type(item).__name__ == "PyCapsule":
                class Holder:
                    __dlpack__ = staticmethod(lambda *_, **options: item)
                    __dlpack_device__ = staticmethod(lambda *_: (1, 0))
                return np.from_dlpack(Holder()).tolist()
            return np.asarray(getattr(item, "_array", item)).tolist()
        return [shown(item) for item in kept]

    @slotring.handler
    def scribble(request):
        kept[-1][...] = 77

    @slotring.handler
    def drop(request):
        kept.clear()

    @slotring.handler
    def copy(request, ctx):
        out = ctx.empty(request.shape, request.dtype)
        out[...] = request
        return out

    @slotring.handler
    def mapped(request):
        return sum("memfd" in line for line in open("/proc/self/maps"))
"""


def overwrite(pool: WorkerPool, size: int) -> None:
    """Calls that use each slot's areas again, with other bytes."""
    for i in range(8):
        other = np.full(size, 100 + i)
        [back] = send(pool, "copy", other).tensors
        assert (as_array(back) == other).all()


@pytest.mark.parametrize("side", ["keep_request", "keep_reply"])
@pytest.mark.parametrize(
    "kind", ["array", "slice", "transposed", "memoryview", "dlpack", "capsule", "exporter"]
)
def test_whatever_is_kept_shows_its_own_call_for_ever(pool, side, kind):
    pool.start_worker(KEEPERS)
    first, second = np.arange(3000), -np.arange(3000)
    for array in (first, second):
        reply = send(pool, side, array=array, value={"kind": kind})
        if side == "keep_reply":
            assert (as_array(reply.tensors[0]) == array).all()
        overwrite(pool, 3000)
    expected = [
        {"slice": array[1:-1], "transposed": array.reshape(-1, 2).T}.get(kind, array).tolist()
        for array in (first, second)
    ]
    assert pool.call("kept_items") == expected


def test_writing_to_a_kept_array_reaches_no_client(pool):
    pool.start_worker(KEEPERS)
    ticket = pool.start_tensors(
        "keep_reply", [("<i8", (3,), np.arange(3).tobytes(), "array")], {"kind": "array"}
    )
    wait_until(lambda: "replied" in pool.harness.states(), "the reply")
    pool.call("scribble")  # before the first reply is read
    assert as_array(pool.finish(ticket).tensors[0]).tolist() == [0, 1, 2]
    assert pool.call("kept_items") == [[77, 77, 77]]
    overwrite(pool, 3)
    pool.call("scribble")
    overwrite(pool, 3)


def test_threads_exceptions_and_cycles_keep_theirs(pool):
    pool.start_worker(KEEPERS)
    array = np.arange(5)
    [reply] = send(pool, "keep_in_thread", array).tensors
    assert as_array(reply).tolist() == array.tolist()
    with pytest.raises(CallFailed, match="kept"):
        send(pool, "keep_in_exception", array)
    overwrite(pool, 5)
    pool.call("join")
    assert pool.call("kept_items") == [array.tolist()]
    assert pool.call("in_exception") == [array.tolist(), array.tolist()]
    for _ in range(20):
        send(pool, "keep_in_cycle", array)
    overwrite(pool, 5)


def test_a_call_that_keeps_nothing_costs_no_mapping(pool):
    pool.start_worker(KEEPERS)
    overwrite(pool, 100)
    before = pool.call("mapped")
    overwrite(pool, 100)
    assert pool.call("mapped") == before
    for _ in range(10):
        send(pool, "keep_reply", array=np.arange(100), value={"kind": "array"})
    pool.call("drop")
    overwrite(pool, 100)
    assert pool.call("mapped") == before


@pytest.mark.parametrize("side", ["keep_request", "keep_reply"])
def test_beyond_the_bound_the_call_fails_and_names_its_method(tmp_path, side):
    large = np.full(30 << 17, 7)  # 30 MiB: eight of them fit the bound
    with WorkerPool(tmp_path, slots=1, area_bytes=32 << 20) as pool:
        pool.start_worker(KEEPERS)
        for _ in range(8):
            send(pool, side, array=large, value={"kind": "array"})
        with pytest.raises(CallFailed, match=f"the method '{side}'") as failed:
            send(pool, side, array=large, value={"kind": "array"})
        assert failed.value.code == "VIEW_ESCAPED"
        assert ("its reply" if side == "keep_reply" else "its request") in failed.value.message
        pool.call("drop")
        send(pool, side, array=large, value={"kind": "array"})
