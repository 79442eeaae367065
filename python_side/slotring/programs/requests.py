"""What a request may hold: its keys, their types and defaults.

    wanted = read("execute_program", request, {"name": Key(str), "inputs": Key(dict, {})})
    wanted["name"]

A key that is missing, unknown or of a wrong type ends the call with INVALID_ARGUMENT, which names
it. Nothing is guessed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from slotring.errors import CallError, ErrorCode

_REQUIRED: Any = object()


class Key(NamedTuple):
    """One key of a request. Without a default it has to be there."""

    kind: type | tuple[type, ...]
    default: Any = _REQUIRED


def invalid(message: str) -> CallError:
    return CallError(message, ErrorCode.INVALID_ARGUMENT)


def read(where: str, request: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
    """The values of ``keys`` in ``request``, which is a dict, or None for an empty one."""
    if request is None:
        request = {}
    if not isinstance(request, dict):
        raise invalid(f"{where}: the request has to be a map, not {kind_of(request)}")
    for name in request:
        if name not in keys:
            raise invalid(f"{where}: {_unknown(name, keys)}")
    return {name: _value(where, name, key, request) for name, key in keys.items()}


def kind_of(value: Any) -> str:
    """What a value is, in the words of signatures."""
    if value is None:
        return "null"
    if isinstance(value, memoryview):
        return "raw bytes"
    return type(value).__name__


def _value(where: str, name: str, key: Key, request: dict[str, Any]) -> Any:
    if name not in request:
        if key.default is _REQUIRED:
            raise invalid(f"{where}: the key {name!r} is missing")
        return copy.deepcopy(key.default)
    value = request[name]
    kinds = key.kind if isinstance(key.kind, tuple) else (key.kind,)
    # A bool is no number here, though it is one to Python.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise invalid(f"{where}: the key {name!r} has to be {wanted}, not {kind_of(value)}")
    return value


def _unknown(name: Any, keys: Mapping[str, Key]) -> str:
    import difflib

    text = f"there is no key {name!r}"
    near = difflib.get_close_matches(str(name), keys, n=1)
    if near:
        return f"{text}; did you mean {near[0]!r}?"
    return f"{text}; the keys are {', '.join(map(repr, keys))}" if keys else f"{text}, nor any"
