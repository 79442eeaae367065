"""What calls carry, as tests write it and as the harness takes it: a kind, and its bytes."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from slotring import _native

EMPTY, BYTES, VALUE, TENSORS, TABLE = 0, 1, 2, 3, 4


class TableBytes(NamedTuple):
    """A finished FlatBuffers buffer, and its type."""

    type_name: str
    data: bytes


def as_payload(payload: Any) -> tuple[int, bytes]:
    """bytes as bytes, None as nothing, all else as a value."""
    if payload is None:
        return EMPTY, b""
    if isinstance(payload, (bytes, bytearray)):
        return BYTES, bytes(payload)
    return VALUE, _native.to_flexbuffers(payload)


@dataclasses.dataclass
class SentTensor:
    """A tensor of a reply, as the client sees it."""

    dtype: str
    shape: list[int]
    strides: list[int]
    elements: bytes  # in C order
    name: str
    offset: int  # in the payload


@dataclasses.dataclass
class SentTensors:
    value: Any  # beside them
    tensors: list[SentTensor]


def from_payload(kind: int, data: Any, table_type: str = "") -> Any:
    if kind == EMPTY:
        return None
    if kind == TENSORS:
        value, tensors = data
        return SentTensors(
            _native.from_flexbuffers(value) if value else None,
            [SentTensor(*tensor) for tensor in tensors],
        )
    if kind == TABLE:
        return TableBytes(table_type, data)
    return data if kind == BYTES else _native.from_flexbuffers(data)
