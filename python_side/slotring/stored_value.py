"""Values as a durable store keeps them: FlexBuffers of what comes back as the same."""

from __future__ import annotations

from typing import Any

from slotring import _native
from slotring.errors import CallError, ErrorCode

# More than a value may have: what is nested deeper, or contains itself, was refused before.
_DEEPEST = 100


def encode(value: Any, where: str, known: bytes | None = None) -> bytes:
    """A value as it is stored; ``known`` itself, unexamined, when it is just that.

    SESSION_STATE_INVALID, with the path from ``where`` to the fault, when something in it would not
    come back as it is.
    """
    try:
        data = _native.to_flexbuffers(value)
    except _native.Failure as failure:
        fault = failure.args[0].removeprefix("in reply")
        fault = f"{where}{fault}" if fault != failure.args[0] else f"{where}: {fault}"
        raise _invalid(_misfit(value, where) or fault) from None
    if data == known:
        return known
    misfit = _misfit(value, where)
    if misfit:
        raise _invalid(misfit)
    return data


def decode(data: bytes, what: str) -> Any:
    """The value that was stored. SESSION_STORE_FAILED when it is not what encode() returns."""
    try:
        return _native.from_flexbuffers(data)
    except (_native.Failure, TypeError) as failure:
        raise CallError(
            f"{what} is stored wrongly: {failure.args[0]}", ErrorCode.SESSION_STORE_FAILED
        ) from None


def _invalid(message: str) -> CallError:
    return CallError(message, ErrorCode.SESSION_STATE_INVALID)


def _misfit(value: Any, where: str, depth: int = 0) -> str:
    """What would not come back as it is, and where; "" when all would."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth > _DEEPEST:
            return ""
        for key, item in value.items() if kind is dict else enumerate(value):
            if kind is dict and type(key) is not str:
                return f"{where} has a key of type {type(key).__name__}; keys must be str"
            misfit = _misfit(item, f"{where}[{key!r}]", depth + 1)
            if misfit:
                return misfit
        return ""
    if value is None or kind in (str, int, float, bool, bytes):
        return ""
    return (
        f"{where} is of type {kind.__name__}, which is not kept; "
        "use None, bool, int, float, str, bytes, list or dict"
    )
