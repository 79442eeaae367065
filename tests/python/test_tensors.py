"""Tensors both ways: without a copy, with dtype and shape, and never another call's bytes."""

from __future__ import annotations

import importlib.util
import re

import pytest

from worker_pool import CallFailed

np = pytest.importorskip("numpy")
from tensor_calls import as_array, send  # noqa: E402, which needs numpy

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]

ECHO = """
    import slotring

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def describe(request):
        return [type(request).__name__, str(request.dtype), list(request.shape),
                request.flags.writeable, request.flags.owndata, request.ctypes.data % 64]

    @slotring.handler
    def types(request):
        items = request.items() if isinstance(request, dict) else enumerate(request)
        return [[str(key), type(item).__name__] for key, item in items]
"""


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_as_it_was(pool, dtype):
    pool.start_worker(ECHO)
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    [back] = send(pool, "echo", array).tensors
    assert (back.dtype, back.shape) == (array.dtype.str, [2, 3, 4])
    assert (as_array(back) == array).all()


def test_a_request_is_a_read_only_array_over_the_slot(pool):
    pool.start_worker(ECHO)
    told = send(pool, "describe", np.zeros((5, 7), "f4"))
    assert told == ["ndarray", "float32", [5, 7], False, False, 0]


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (1,), (1, 1)])
def test_shapes_without_elements_and_of_one_keep_their_dimensions(pool, shape):
    pool.start_worker(ECHO)
    [back] = send(pool, "echo", np.ones(shape, "i2")).tensors
    assert back.shape == list(shape)


def test_an_array_without_dimensions_is_the_value_that_it_holds(pool):
    pool.start_worker(ECHO)
    assert send(pool, "echo", np.array(2.5)) == 2.5


def test_several_are_a_list_and_named_ones_a_dict_with_the_values(pool):
    pool.start_worker(ECHO)
    a, b = np.arange(3), np.arange(4, dtype="u1")
    assert send(pool, "types", a, b) == [["0", "ndarray"], ["1", "ndarray"]]
    told = send(pool, "types", image=a, value={"factor": 2, "text": "t"})
    assert sorted(told) == [["factor", "int"], ["image", "ndarray"], ["text", "str"]]
    back = send(pool, "echo", image=a, mask=b, value={"factor": 2})
    assert back.value == {"factor": 2}
    assert [tensor.name for tensor in back.tensors] == ["image", "mask"]
    assert (as_array(back.tensors[1]) == b).all()
    assert [as_array(each).tolist() for each in send(pool, "echo", a, b).tensors] == [
        a.tolist(),
        b.tolist(),
    ]


def test_a_tensor_and_a_value_of_one_name_are_refused(pool):
    pool.start_worker(ECHO)
    with pytest.raises(CallFailed, match="a tensor and a value named 'a'"):
        send(pool, "echo", a=np.zeros(1), value={"a": 1})
    with pytest.raises(CallFailed, match="no map"):
        send(pool, "echo", a=np.zeros(1), value=[1])


REPLIES = """
    import numpy as np
    import slotring

    class Interface:
        __array_interface__ = np.arange(3, dtype="i4").__array_interface__
        base = np.arange(3, dtype="i4")

        def __init__(self):
            self.__array_interface__ = self.base.__array_interface__

    class Dlpack:
        def __dlpack__(self, **options):
            return np.arange(3, dtype="f8").__dlpack__()

        def __dlpack_device__(self):
            return 1, 0

    class OnDevice(Dlpack):
        def __dlpack_device__(self):
            return 2, 0

    @slotring.handler
    def reply(request):
        a = np.arange(6, dtype="f4").reshape(2, 3)
        return {
            "plain": lambda: a,
            "transposed": lambda: a.T,
            "reversed": lambda: a[::-1],
            "big endian": lambda: a.astype(">f4"),
            "broadcast": lambda: np.broadcast_to(np.float32(1), (2, 3)),
            "interface": Interface,
            "dlpack": Dlpack,
            "on device": OnDevice,
            "list": lambda: [a, a + 1],
            "tuple": lambda: (a, a + 1),
            "dict": lambda: {"a": a, "n": 7, "deep": {"list": [1]}},
            "mixed list": lambda: [a, 7],
            "deeper": lambda: {"a": {"b": a}},
            "both": lambda: {"x": a, "a": {"b": a}},
            "no name": lambda: {"": a},
            "long double": lambda: a.astype("g"),
            "many": lambda: [a] * 300,
            "dates": lambda: np.array(["2024-02-29"], dtype="M8[s]"),
            "a list with dates": lambda: [a, np.array(["2024-02-29"], dtype="M8[s]")],
            "times in a dict": lambda: {"n": 1, "took": np.array([5], dtype="m8[ns]")},
            "long complex": lambda: a.astype("G"),
            "texts": lambda: np.array(["a", "b"]),
            "objects in a dict": lambda: {"x": np.array([object(), 1])},
            "records in a dict": lambda: {"r": np.zeros(2, dtype="i4,f4")},
        }[request]()

    @slotring.handler
    def ask(request, ctx):
        return ctx.tools.search(np.array(["2024-02-29"], dtype="M8[s]"))

    @slotring.handler
    def stream(request):
        yield np.zeros(3, dtype="g")
"""


@pytest.mark.parametrize(
    "name, expected",
    [
        ("plain", [[0, 1, 2], [3, 4, 5]]),
        ("transposed", [[0, 3], [1, 4], [2, 5]]),
        ("reversed", [[3, 4, 5], [0, 1, 2]]),
        ("big endian", [[0, 1, 2], [3, 4, 5]]),
        ("broadcast", [[1, 1, 1], [1, 1, 1]]),
        ("interface", [0, 1, 2]),
        ("dlpack", [0, 1, 2]),
    ],
)
def test_whatever_is_an_array_is_sent_as_a_tensor(pool, name, expected):
    pool.start_worker(REPLIES)
    [tensor] = pool.call("reply", name).tensors
    assert as_array(tensor).tolist() == expected
    assert tensor.offset % 64 == 0


def test_lists_and_dicts_of_arrays_are_sent_as_several(pool):
    pool.start_worker(REPLIES)
    for name in ("list", "tuple"):
        first, second = pool.call("reply", name).tensors
        assert (as_array(first) + 1 == as_array(second)).all()
    back = pool.call("reply", "dict")
    assert back.value == {"n": 7, "deep": {"list": [1]}}
    assert [tensor.name for tensor in back.tensors] == ["a"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("mixed list", "give them names, in a dict"),
        ("deeper", "deep inside a value"),
        ("both", "deep inside a value"),
        ("no name", "needs a name"),
        (
            "long double",
            r"^REPLY_NOT_CONVERTIBLE: the reply of 'reply': a ndarray of float128 cannot be sent: "
            r"a tensor has bools, .* send its astype\('float64'\)$",
        ),
        ("long complex", r"of complex256 cannot be sent.* send its astype\('complex128'\)$"),
        (
            "dates",
            r"the reply of 'reply': a ndarray of datetime64\[s\] cannot be sent.* send its "
            r"astype\('int64'\), and its unit beside it$",
        ),
        ("a list with dates", r"the reply of 'reply' \[1\]: a ndarray of datetime64\[s\]"),
        ("times in a dict", r"the reply of 'reply' \['took'\]: a ndarray of timedelta64\[ns\]"),
        ("texts", r"a ndarray of <U1 cannot be sent.* send its tolist\(\)$"),
        ("objects in a dict", r"\['x'\]: a ndarray of object cannot be sent.* its tolist\(\)$"),
        ("records in a dict", r"\['r'\]: a ndarray of .* send its fields one by one"),
        ("on device", "memory of another device"),
        ("many", "300 tensors are too many"),
    ],
)
def test_what_cannot_be_sent_says_why(pool, name, message):
    pool.start_worker(REPLIES)
    with pytest.raises(CallFailed, match=message) as failed:
        pool.call("reply", name)
    assert failed.value.code in ("REPLY_NOT_CONVERTIBLE", "PAYLOAD_TOO_LARGE")


def test_what_cannot_be_sent_says_where_it_was_to_go(pool):
    pool.start_worker(REPLIES)

    @pool.tool
    def search(question):
        return None

    with pytest.raises(CallFailed, match="argument of the tool 'search': a ndarray of datetime"):
        pool.call("ask")
    with pytest.raises(CallFailed, match="an item of the stream: a ndarray of float128"):
        pool.stream("stream").finish()


IN_PLACE = """
    import threading
    import numpy as np
    import slotring

    kept = []

    def numbers(ctx, shape=(4, 5), dtype="float32"):
        out = ctx.empty(shape, dtype)
        out[...] = np.arange(out.size).reshape(out.shape)
        return out

    @slotring.handler
    def make(request, ctx):
        out = numbers(ctx)
        return {
            "whole": lambda: out,
            "slice": lambda: out[1:3, 1:],
            "transposed": lambda: out.T,
            "reversed": lambda: out[::-1],
            "dict": lambda: {"out": out, "n": 1},
            "two": lambda: [out, numbers(ctx, 7, np.int64)],
            "beside": lambda: {"out": out, "copied": np.arange(3), "n": 1},
            "large value": lambda: {"out": out, "text": "x" * 10_000},
            "memoryview": lambda: memoryview(out),
            "raw bytes": lambda: memoryview(out.data.cast("B").toreadonly().tobytes()),
            "broadcast": lambda: np.broadcast_to(out[0], (50, 5)),
            "of fields": lambda: out.view("u1")[:, 1::4],
            "other": lambda: b"other",
        }[request]()

    @slotring.handler
    def refused(request, ctx):
        return ctx.empty(**request)

    @slotring.handler
    def refused_then_made(request, ctx):
        out = numbers(ctx)
        try:
            ctx.empty(10**7)
        except slotring.CallError as error:
            assert error.code == slotring.ErrorCode.PAYLOAD_TOO_LARGE
        return out

    @slotring.handler
    def fail(request, ctx):
        out = numbers(ctx)
        raise ValueError("x" * 20_000)

    @slotring.handler
    def use_late(request, ctx):
        kept.append(ctx)
        return kept[0].empty(3)
"""


@pytest.mark.parametrize(
    "what, expected, strides, offset",
    [
        ("whole", np.arange(20).reshape(4, 5), [20, 4], 0),
        ("slice", np.arange(20).reshape(4, 5)[1:3, 1:], [20, 4], 24),
        ("transposed", np.arange(20).reshape(4, 5).T, [4, 20], 0),
        ("reversed", np.arange(20).reshape(4, 5)[::-1], [-20, 4], 60),
    ],
)
def test_an_array_made_in_the_reply_is_sent_in_place(pool, what, expected, strides, offset):
    pool.start_worker(IN_PLACE)
    [tensor] = pool.call("make", what).tensors
    assert (as_array(tensor) == expected).all()
    assert tensor.strides == strides
    assert tensor.offset == 4096 + offset, "where it was made"


def test_several_arrays_and_values_go_with_those_in_place(pool):
    pool.start_worker(IN_PLACE)
    whole = np.arange(20).reshape(4, 5)
    back = pool.call("make", "dict")
    assert (back.value, back.tensors[0].offset) == ({"n": 1}, 4096)
    first, second = pool.call("make", "two").tensors
    assert (first.offset, second.offset) == (4096, 4096 + 128)
    assert (second.dtype, as_array(second).tolist()) == ("<i8", list(range(7)))
    out, copied = pool.call("make", "beside").tensors
    assert (as_array(out) == whole).all() and as_array(copied).tolist() == [0, 1, 2]
    assert (out.offset, copied.offset) == (4096, 4096 + 128)


def test_what_cannot_stay_in_place_is_copied_with_its_own_elements(pool):
    pool.start_worker(IN_PLACE)
    whole = np.arange(20, dtype="f4").reshape(4, 5)
    for _ in range(10):  # slots are used again
        back = pool.call("make", "large value")
        assert back.value == {"text": "x" * 10_000}
        assert (as_array(back.tensors[0]) == whole).all()
        [tensor] = pool.call("make", "memoryview").tensors
        assert tensor.offset == 4096 and (as_array(tensor) == whole).all()
        assert pool.call("make", "raw bytes") == whole.tobytes()
        [tensor] = pool.call("make", "broadcast").tensors
        assert (as_array(tensor) == whole[0]).all() and tensor.shape == [50, 5]
        [tensor] = pool.call("make", "of fields").tensors
        assert (as_array(tensor) == whole.view("u1")[:, 1::4]).all()
        assert pool.call("make", "other") == b"other"


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (
            {"shape": [10**3, 10**6]},
            "PAYLOAD_TOO_LARGE",
            r"ctx.empty\(\) in 'refused': an array of shape \(1000, 1000000\) and <f4 takes "
            r"4000000000 bytes and does not fit: a reply has room for \d+ bytes of arrays and "
            r"what describes them \(raise slot_bytes",
        ),
        ({"shape": [2**40, 2**40]}, "INVALID_ARGUMENT", r"more than 2\^63 bytes"),
        ({"shape": [-1]}, "HANDLER_RAISED", "below 0"),
        ({"shape": 3, "dtype": "U5"}, "HANDLER_RAISED", "no elements of <U5: choose bool"),
        ({"shape": 3, "dtype": "nonsense"}, "HANDLER_RAISED", "nonsense"),
        ({"shape": "x"}, "HANDLER_RAISED", "interpreted as an integer"),
        ({"shape": [1] * 33}, "INVALID_ARGUMENT", "at most 32"),
    ],
)
def test_an_array_that_cannot_be_made_says_why(pool, arguments, code, message):
    pool.start_worker(IN_PLACE)
    with pytest.raises(CallFailed, match=message) as failed:
        pool.call("refused", arguments)
    assert failed.value.code == code


def test_the_largest_array_there_is_room_for_can_be_made(pool):
    pool.start_worker(IN_PLACE)
    with pytest.raises(CallFailed) as failed:
        pool.call("refused", {"shape": 10**9, "dtype": "u1"})
    room = int(re.search(r"room for (\d+) bytes", failed.value.message).group(1))
    largest = room - 256  # its shape and dtype go beside it
    [tensor] = pool.call("refused", {"shape": largest, "dtype": "u1"}).tensors
    assert tensor.shape == [largest]
    with pytest.raises(CallFailed, match=f"takes {room + 1} bytes and does not fit"):
        pool.call("refused", {"shape": room + 1, "dtype": "u1"})


def test_an_array_too_many_leaves_the_others_as_they_are(pool):
    pool.start_worker(IN_PLACE)
    [tensor] = pool.call("refused_then_made").tensors
    assert as_array(tensor).tolist() == np.arange(20).reshape(4, 5).tolist()


def test_a_call_that_fails_after_it_made_arrays_tells_its_error(pool):
    pool.start_worker(IN_PLACE)
    with pytest.raises(CallFailed, match="xxx"):
        pool.call("fail")
    assert len(pool.call("make", "whole").tensors) == 1


def test_a_context_whose_call_is_over_makes_no_arrays(pool):
    pool.start_worker(IN_PLACE)
    pool.call("use_late")
    with pytest.raises(CallFailed, match="the call is over"):
        pool.call("use_late")


def test_dlpack_shows_the_slot_without_a_copy(pool):
    pool.start_worker(
        """
        import gc
        import numpy as np
        import slotring

        @slotring.handler
        def look(request):
            exporter = slotring.dlpack(request[:, ::2])
            other = np.from_dlpack(exporter)
            same = other.ctypes.data == request.ctypes.data
            return [same, other.tolist(), list(exporter.__dlpack_device__())]

        @slotring.handler
        def unused(request):
            slotring.dlpack(request).__dlpack__(stream=None, max_version=(1, 0))

        @slotring.handler
        def mapped(request):
            return sum("memfd" in line for line in open("/proc/self/maps"))
        """
    )
    same, values, device = send(pool, "look", np.arange(12, dtype="i4").reshape(2, 6))
    assert (same, values, device) == (True, [[0, 2, 4], [6, 8, 10]], [1, 0])
    before = pool.call("mapped")
    for _ in range(10):
        send(pool, "unused", np.arange(3))
    assert pool.call("mapped") == before


def test_without_numpy_tensors_are_memoryviews(pool):
    pool.start_worker(
        """
        import sys
        sys.modules["numpy"] = None
        import slotring

        @slotring.handler
        def look(request):
            return [type(request).__name__, request.format, list(request.shape),
                    request.readonly, request[1, 2]]

        @slotring.handler
        def make(request, ctx):
            out = ctx.empty((2, 2), "int32")
            out[1, 0] = 5
            return out
        """
    )
    array = np.arange(6, dtype="f8").reshape(2, 3)
    assert send(pool, "look", array) == ["memoryview", "d", [2, 3], True, 5.0]
    [made] = pool.call("make").tensors
    assert (made.dtype, as_array(made)[1, 0]) == ("<i4", 5)


def test_numpy_is_imported_with_the_first_tensor(pool):
    pool.start_worker(
        """
        import sys
        import slotring

        @slotring.handler
        def imported(request):
            return "numpy" in sys.modules
        """
    )
    assert pool.call("imported", [1, {"a": 2}]) is False
    assert send(pool, "imported", np.zeros(1)) is True


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_looks_at_requests_and_its_tensors_are_sent(pool):
    pool.start_worker(
        """
        import torch
        import slotring

        kept = []

        @slotring.handler
        def double(request):
            tensor = torch.from_dlpack(slotring.dlpack(request))
            assert tensor.data_ptr() == request.ctypes.data
            kept.append(tensor)
            return {"doubled": tensor * 2, "positive": tensor > 0}

        @slotring.handler
        def in_place(request, ctx):
            out = torch.from_dlpack(ctx.empty(request.shape))
            torch.mul(torch.from_dlpack(slotring.dlpack(request)), 3, out=out)
            return out

        @slotring.handler
        def kept_items(request):
            return [tensor.tolist() for tensor in kept]
        """
    )
    array = np.arange(6, dtype="f4").reshape(2, 3)
    doubled, positive = send(pool, "double", array).tensors
    assert (as_array(doubled) == 2 * array).all()
    assert (as_array(positive) == (array > 0)).all()
    [tripled] = send(pool, "in_place", array).tensors
    assert (as_array(tripled) == 3 * array).all() and tripled.offset == 4096
    assert pool.call("kept_items") == [array.tolist()]
