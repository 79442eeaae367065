"""What goes into a program and what comes out: fields with names and types.

    Signature.parse("question: str, n: int -> answer: str")
    Signature.parse({"inputs": {"question": "str"}, "outputs": ["answer: str", "score: float"],
                     "instructions": "Answer in one word."})

=============================  ===================================================================
``str``, ``bool``              as in Python
``int``                        no bool
``float``                      an int is taken for one
``list``, ``dict``             of anything; the keys of a dict are texts
``list[T]``, ``dict[str, T]``  each element of the type T
``any``                        anything
=============================  ===================================================================

A field without a type is a ``str``, as in DSPy. Its name is any Python identifier but a keyword. A
signature that is not right is refused with INVALID_ARGUMENT, which names the field: there is no
default to fall back to.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slotring.errors import CallError
from slotring.programs.requests import Key, invalid, kind_of, read

MAX_FIELDS = 256
MAX_DEPTH = 8  # of list[list[...]]

_SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_NAMES = ("str", "int", "float", "bool", "list", "dict", "any")
_OUTER = re.compile(r"(list|dict)\s*\[(.*)\]", re.DOTALL)


class Mismatch(Exception):
    """A value is not of the type that it should have. args: what is wrong, and where."""


@dataclass(frozen=True)
class FieldType:
    """One of the names above, and what its elements are, where that is told."""

    name: str
    element: FieldType | None = None

    def __str__(self) -> str:
        if self.element is None:
            return self.name
        return f"{self.name}[{'str, ' if self.name == 'dict' else ''}{self.element}]"

    @property
    def python_type(self) -> Any:
        """The same for Python's own annotations."""
        if self.name == "any":
            return Any
        if self.element is None:
            return _SCALARS.get(self.name) or {"list": list, "dict": dict}[self.name]
        element = self.element.python_type
        return list[element] if self.name == "list" else dict[str, element]

    def check(self, value: Any, where: str) -> Any:
        """``value`` as this type has it. Raises Mismatch."""
        if self.name == "any":
            return value
        if self.name in _SCALARS:
            if self.name == "float" and isinstance(value, int) and not isinstance(value, bool):
                return float(value)
            wanted = _SCALARS[self.name]
            if isinstance(value, bool) != (wanted is bool) or not isinstance(value, wanted):
                raise Mismatch(f"{where} has to be {self}, not {kind_of(value)}")
            return value
        if self.name == "list":
            if not isinstance(value, (list, tuple)):
                raise Mismatch(f"{where} has to be {self}, not {kind_of(value)}")
            return [self._element(v, f"{where}[{i}]") for i, v in enumerate(value)]
        if not isinstance(value, Mapping):
            raise Mismatch(f"{where} has to be {self}, not {kind_of(value)}")
        for key in value:
            if not isinstance(key, str):
                raise Mismatch(f"{where} has the key {key!r}, which is no text")
        return {k: self._element(v, f"{where}[{k!r}]") for k, v in value.items()}

    def _element(self, value: Any, where: str) -> Any:
        return value if self.element is None else self.element.check(value, where)


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs in their order, and what a language model is told of the task."""

    inputs: tuple[tuple[str, FieldType], ...]
    outputs: tuple[tuple[str, FieldType], ...]
    instructions: str = ""

    @staticmethod
    def parse(definition: Any) -> Signature:
        """From a text or a map, as above. Raises CallError, INVALID_ARGUMENT."""
        if isinstance(definition, str):
            before, arrow, after = definition.partition("->")
            if not arrow or "->" in after:
                raise invalid(
                    f"the signature {definition!r} has to have one '->' "
                    "between its inputs and its outputs"
                )
            return _checked(_split(before, "inputs"), _split(after, "outputs"), "")
        if not isinstance(definition, dict):
            raise invalid(f"the signature has to be a text or a map, not {kind_of(definition)}")
        fields = (str, dict, list)
        keys = {"inputs": Key(fields), "outputs": Key(fields), "instructions": Key(str, "")}
        parts = read("the signature", definition, keys)
        return _checked(
            _fields_of(parts["inputs"], "inputs"),
            _fields_of(parts["outputs"], "outputs"),
            parts["instructions"],
        )

    def __str__(self) -> str:
        """The text form, without the instructions."""
        return f"{_text(self.inputs)} -> {_text(self.outputs)}".strip()

    def as_value(self) -> dict[str, Any]:
        """As a request or a reply has it. Lists, since the order of a map's keys is not kept."""
        return {
            "inputs": [f"{name}: {kind}" for name, kind in self.inputs],
            "outputs": [f"{name}: {kind}" for name, kind in self.outputs],
            "instructions": self.instructions,
        }

    def check_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs in the signature's order. Raises Mismatch."""
        return _match(self.inputs, inputs, "input")

    def check_outputs(self, outputs: Any) -> dict[str, Any]:
        """What a program returned, likewise. Raises Mismatch."""
        if not isinstance(outputs, Mapping):
            raise Mismatch(f"the outputs have to be a map, not {kind_of(outputs)}")
        return _match(self.outputs, outputs, "output")


def _match(
    fields: tuple[tuple[str, FieldType], ...], values: Mapping[str, Any], what: str
) -> dict[str, Any]:
    names = [name for name, _ in fields]
    for name in values:
        if name not in names:
            known = ", ".join(map(repr, names)) or "none"
            raise Mismatch(f"there is no {what} {name!r}; there are {known}")
    for name in names:
        if name not in values:
            raise Mismatch(f"the {what} {name!r} is missing")
    return {name: kind.check(values[name], f"the {what} {name!r}") for name, kind in fields}


def _fields_of(part: str | list[Any] | dict[str, Any], which: str) -> Iterator[tuple[str, str]]:
    if isinstance(part, str):
        yield from _split(part, which)
    elif isinstance(part, dict):
        for name, kind in part.items():
            if not isinstance(kind, str):
                raise invalid(f"the type of the field {name!r} has to be a text, like 'str'")
            yield name, kind
    else:
        for entry in part:
            if not isinstance(entry, str):
                raise invalid(f"a field in the signature's {which} is {kind_of(entry)}, no text")
            yield _name_and_type(entry, which)


def _split(text: str, which: str) -> Iterator[tuple[str, str]]:
    """The fields of "a: int, b: dict[str, int]"."""
    if not text.strip():
        return
    depth, start = 0, 0
    for at, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            yield _name_and_type(text[start:at], which)
            start = at + 1
    yield _name_and_type(text[start:], which)


def _name_and_type(entry: str, which: str) -> tuple[str, str]:
    name, colon, kind = entry.partition(":")
    if not name.strip():
        raise invalid(f"a field in the signature's {which} has no name: {entry.strip()!r}")
    return name.strip(), kind.strip() if colon else "str"


def _checked(
    inputs: Iterator[tuple[str, str]], outputs: Iterator[tuple[str, str]], instructions: str
) -> Signature:
    seen: set[str] = set()
    checked = [tuple(_fields(part, seen)) for part in (inputs, outputs)]
    if not checked[1]:
        raise invalid("the signature has no outputs")
    return Signature(checked[0], checked[1], instructions)


def _fields(part: Iterator[tuple[str, str]], seen: set[str]) -> Iterator[tuple[str, FieldType]]:
    for name, kind in part:
        fault = _fault_of_name(name)
        if fault:
            raise invalid(f"the signature's field {name!r} {fault}")
        if name in seen:
            raise invalid(f"the signature has two fields {name!r}")
        seen.add(name)
        if len(seen) > MAX_FIELDS:
            raise invalid(f"the signature has more than {MAX_FIELDS} fields")
        try:
            yield name, _parse_type(kind, 0)
        except CallError as error:
            raise invalid(f"the type of the field {name!r} {error}") from None


def _fault_of_name(name: str) -> str:
    if not name.isidentifier():
        return "is no Python identifier (letters, digits and '_', no digit first)"
    if keyword.iskeyword(name):
        return "is a keyword of Python: choose another name"
    normal = unicodedata.normalize("NFKC", name)
    return "" if normal == name else f"has to be written as Python reads it: {normal!r}"


def _parse_type(text: str, depth: int) -> FieldType:
    text = text.strip()
    if depth > MAX_DEPTH:
        raise invalid(f"is nested over {MAX_DEPTH} deep")
    if text in _NAMES:
        return FieldType(text)
    outer = _OUTER.fullmatch(text)
    if outer is None:
        raise invalid(f"is {text!r}; it can be {', '.join(_NAMES)}, list[T] or dict[str, T]")
    name, inner = outer.groups()
    if name == "dict":
        key, comma, inner = inner.partition(",")
        if not comma or key.strip() != "str":
            raise invalid(f"is {text!r}; the keys of a dict are texts: dict[str, T]")
    return FieldType(name, _parse_type(inner, depth + 1))


def _text(fields: tuple[tuple[str, FieldType], ...]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in fields)
