"""Arrays, as handlers get and return them. numpy is imported only when one is met.

What counts as an array: whatever has ``__array_interface__`` (numpy arrays, PIL images), or
``__dlpack__`` on the CPU (torch tensors).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slotring import _native
from slotring.packages import is_there, missing

_CPU = 1  # DLPack's kDLCPU


def _numpy() -> Any:
    if not is_there("numpy"):
        raise missing("numpy", "arrays are made and converted by it")
    import numpy

    return numpy


def _make_array_over() -> Callable[[memoryview], Any]:
    if not is_there("numpy"):
        return lambda view: view
    import numpy

    return numpy.asarray


array_over = _make_array_over()


def dtype_name(dtype: Any) -> str:
    """As the array protocol has it, of anything that numpy takes for a dtype."""
    return str(_numpy().dtype(dtype).str)


# By the kind of a dtype that no tensor has, what its elements can be sent as.
_INSTEAD = {
    "M": "astype('int64'), and its unit beside it",
    "m": "astype('int64'), and its unit beside it",
    "f": "astype('float64')",
    "c": "astype('complex128')",
    "V": "fields one by one, or its tobytes()",
}


def unsendable(array: Any) -> str:
    """What is wrong with an array that is no tensor, and what to send in its place."""
    dtype = array.dtype
    name = str(dtype)
    name = name if len(name) <= 60 else name[:60] + "..."
    return (
        f"a {type(array).__name__} of {name} cannot be sent: a tensor has bools, ints, floats or "
        f"complex numbers of up to 8 bytes a part; send its "
        f"{_INSTEAD.get(dtype.kind, 'tolist()')}"
    )


def parts_of(reply: Any) -> tuple[dict[Any, Any] | None, list[Any] | None, list[Any]]:
    """(values, names, buffers) of a reply with arrays in it; no buffers where there are none.

    values: what goes beside named arrays; None for nothing. names: None where they have none.
    """
    if _is_array(reply):
        return None, None, [_buffer(reply)]
    if isinstance(reply, dict):
        arrays = {name: item for name, item in reply.items() if _is_array(item)}
        if not all(isinstance(name, str) and name for name in arrays):
            raise TypeError("an array in a dict needs a name: a key that is a str, and not empty")
        values = {name: item for name, item in reply.items() if name not in arrays}
        return values or None, list(arrays), [_buffer(item) for item in arrays.values()]
    if isinstance(reply, (list, tuple)):
        arrays_only = [item for item in reply if _is_array(item)]
        if arrays_only and len(arrays_only) != len(reply):
            raise TypeError(
                "a list of arrays and of something else cannot be sent: give them names, in a dict"
            )
        return None, None, [_buffer(item) for item in arrays_only]
    return None, None, []


def _is_array(item: Any) -> bool:
    kind = type(item)
    if hasattr(kind, "__array_interface__"):
        # numpy's scalars, and arrays without dimensions, are the values that they hold.
        return getattr(item, "ndim", 1) > 0
    return hasattr(kind, "__dlpack__")


def _buffer(array: Any) -> Any:
    """A numpy array of the same elements, in place wherever it can be."""
    numpy = _numpy()
    if hasattr(type(array), "__array_interface__"):
        array = numpy.asarray(array)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    device = array.__dlpack_device__()
    if device[0] != _CPU:
        raise TypeError(
            f"a {type(array).__name__} in the memory of another device (DLPack's {device[0]}) "
            f"cannot be sent; move it first, as with its cpu()"
        )
    try:
        return numpy.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError):
        # What DLPack, or this numpy, cannot tell: torch's bools, for one.
        if not hasattr(type(array), "__array__"):
            raise
        return numpy.asarray(array)


class Exporter:
    """See ``slotring.dlpack()``."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **_options: Any) -> Any:
        return _native.dlpack_capsule(self._array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU, 0
