"""Values to FlexBuffers and back, natively; and what a hostile peer may send in their place."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from any_value import same, values
from slotring._native import Failure, from_flexbuffers, to_flexbuffers


@given(values(max_leaves=40))
@example([{"key": i, "other": str(i)} for i in range(300)])
@example({str(i): i for i in range(70_000)})
@example([0.1, 1e300, -0.0, math.inf, 2.5])
@example([2**64 - 1, -(2**63), 0, 255, 256, 65_536])
@example(["x" * 255, "x" * 256, "x" * 65_536, b"\0" * 300])
def test_a_value_comes_back_as_it_was(value):
    assert same(from_flexbuffers(to_flexbuffers(value)), value)


@given(values(max_leaves=40), st.data())
def test_a_damaged_buffer_is_an_error_or_another_value_but_no_crash(value, data):
    damaged = bytearray(to_flexbuffers(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for hostile in (damaged, damaged[:cut], damaged[cut:]):
        read_hostile(bytes(hostile))


@given(st.binary(max_size=64))
def test_random_bytes_are_an_error_or_a_value_but_no_crash(data):
    read_hostile(data)


def read_hostile(data: bytes) -> None:
    try:
        from_flexbuffers(data)
    except Failure as failure:
        assert failure.args[1] in (401, 700), failure.args


def test_tuples_and_buffers_of_bytes_become_lists_and_bytes():
    value = {"t": (1, (2,)), "b": bytearray(b"x"), "m": memoryview(b"yz")}
    assert from_flexbuffers(to_flexbuffers(value)) == {"t": [1, [2]], "b": b"x", "m": b"yz"}


def test_nan_stays_nan():
    assert math.isnan(from_flexbuffers(to_flexbuffers(math.nan)))


def test_subclasses_of_builtin_types_are_the_values_that_they_hold():
    import collections
    import enum

    class Color(enum.IntEnum):
        RED = 3

    Point = collections.namedtuple("Point", "x y")
    value = collections.OrderedDict(color=Color.RED, point=Point(1, 2), true=True)
    assert from_flexbuffers(to_flexbuffers(value)) == {"color": 3, "point": [1, 2], "true": True}


def test_nesting_is_bounded():
    def nested(levels):
        value = []
        for _ in range(levels):
            value = [value]
        return value

    assert from_flexbuffers(to_flexbuffers(nested(63))) == nested(63)
    for levels in (65, 5000):
        with pytest.raises(Failure, match="nested deeper than 64"):
            to_flexbuffers(nested(levels))


def loop():
    value = {}
    value["self"] = [value]
    return value


@pytest.mark.parametrize(
    "value, why",
    [
        (2**64, "more than 64 bits"),
        (-(2**63) - 1, "more than 64 bits"),
        ([1, {"a": 2**70}], r"in reply\[1\]\['a'\]: an int"),
        (loop(), "contains itself"),
        ({1: 2}, "key of type int"),
        ({"a\0b": 2}, "zero character"),
        ({1, 2}, "type set"),
        (object(), "type object"),
        (1j, "type complex"),
        ("\ud800", "surrogates"),
        (memoryview(b"abcd").cast("H"), "tolist"),
    ],
)
def test_what_has_no_form_is_named(value, why):
    with pytest.raises(Failure, match=why) as failed:
        to_flexbuffers(value)
    assert failed.value.args[1] == 301


def test_a_value_that_unfolds_without_end_is_refused_before_it_fills_the_memory():
    # Vectors of two, each item the vector before: 60 of them hold 2^60 leaves in a few hundred
    # bytes.
    data = bytearray(b"\x02\x01\x01\x04\x04")  # [1, 1], its items at 1
    at = 1
    for _ in range(60):
        data.append(2)
        items = len(data)
        data += bytes([items - at, items + 1 - at, 0x28, 0x28])
        at = items
    data += bytes([len(data) - at, 0x28, 1])
    with pytest.raises(Failure, match="far more than its size|nested too deeply"):
        from_flexbuffers(bytes(data))


def test_a_key_without_an_end_is_refused():
    # FlexBuffers' own verifier takes it. A map of one, its key running to the end of the buffer.
    data = b"ab\x01\x02\x01\x01\x01\x01\x04"
    good = to_flexbuffers({"k": 1})
    assert from_flexbuffers(good) == {"k": 1}
    without_end = good.replace(b"k\0", b"kk").replace(b"\0", b"\x01")
    read_hostile(without_end)
    read_hostile(data)


def test_a_text_that_is_no_utf8_is_refused():
    good = to_flexbuffers("abc")
    with pytest.raises(Failure, match="utf-8") as failed:
        from_flexbuffers(good.replace(b"abc", b"a\xffc"))
    assert failed.value.args[1] == 700


def test_typed_vectors_of_other_writers_are_read():
    def root(body: bytes, at: int, packed: int) -> bytes:
        return body + bytes([len(body) - at, packed, 1])

    assert from_flexbuffers(root(b"\x03\x01\xfe\x03", 1, 11 << 2)) == [1, -2, 3]
    assert from_flexbuffers(root(b"\x02\x01\xfe", 1, 12 << 2)) == [1, 254]
    assert from_flexbuffers(root(b"\x02\x01\x00", 1, 36 << 2)) == [True, False]
    two_floats = struct.pack("<ff", 0.5, 2.0)
    assert from_flexbuffers(root(two_floats, 0, 18 << 2 | 2)) == [0.5, 2.0]
    assert from_flexbuffers(root(struct.pack("<q", -5), 0, 6 << 2 | 3)) == -5


def test_numpy_scalars_are_values():
    numpy = pytest.importorskip("numpy")
    value = [
        numpy.float16(0.5),
        numpy.float32(0.25),
        numpy.float64(1.5),
        numpy.int8(-1),
        numpy.uint64(2**64 - 1),
        numpy.bool_(False),
        numpy.str_("s"),
        numpy.bytes_(b"b"),
        numpy.array(7),
    ]
    expected = [0.5, 0.25, 1.5, -1, 2**64 - 1, False, "s", b"b", 7]
    assert same(from_flexbuffers(to_flexbuffers(value)), expected)
    for other in (numpy.complex64(1), numpy.datetime64("2020-01-01"), numpy.zeros(2)):
        with pytest.raises(Failure):
            to_flexbuffers([other])


def test_importing_slotring_imports_nothing_large(tmp_path):
    import subprocess
    import sys

    code = """if True:
        import slotring, sys
        print(*sorted({"numpy", "flatbuffers", "asyncio", "inspect"} & set(sys.modules)))"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (printed.stdout.strip(), printed.stderr) == ("", "")
