"""Definitions of programs, and the types that make a program of one.

A program type is a factory: it gets a :class:`Definition` and returns a function of the inputs::

    @program_type("shout")
    def make_shout(definition):
        definition.read_options({})
        return lambda inputs: {"answer": inputs["text"].upper()}

The factory checks the options. The inputs that the program gets and the outputs that it returns
are checked against the signature around it. What it raises reaches the caller as PROGRAM_FAILED
with its Python type and traceback, a CallError as itself.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from slotring.errors import CallError, ProgramError
from slotring.packages import missing
from slotring.programs.requests import Key, invalid, read
from slotring.programs.signature import Signature

# "program/NAME" is the key of a global program's broadcast, and has to fit in a setting's.
MAX_NAME_BYTES = 55

Program = Callable[[dict[str, Any]], Any]
Factory = Callable[["Definition"], Program]
FactoryType = TypeVar("FactoryType", bound=Callable[..., Any])

_types: dict[str, Factory] = {}


def program_type(name: str) -> Callable[[FactoryType], FactoryType]:
    """Makes a factory the program type called ``name``, in this process."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"a program type needs a name, as in @program_type('name'): {name!r}")

    def register(factory: FactoryType) -> FactoryType:
        if _types.get(name, factory) is not factory:
            raise ValueError(f"there are two program types {name!r}")
        _types[name] = factory
        return factory

    return register


def type_names() -> list[str]:
    return sorted(_types)


@dataclass(frozen=True)
class Definition:
    """All that a program is made of: plain values, which a session or a setting can keep."""

    name: str
    type: str
    signature: Signature
    options: dict[str, Any] = field(default_factory=dict)
    description: str = ""

    @staticmethod
    def parse(name: Any, value: Mapping[str, Any]) -> Definition:
        """From a request's keys ``type``, ``signature``, ``options``, ``description``."""
        check_name(name)
        if value["type"] not in _types:
            known = ", ".join(map(repr, type_names()))
            raise invalid(f"there is no program type {value['type']!r}; there are {known}")
        signature = Signature.parse(value["signature"])
        return Definition(name, value["type"], signature, value["options"], value["description"])

    def as_value(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "signature": self.signature.as_value(),
            "options": self.options,
            "description": self.description,
        }

    @property
    def digest(self) -> str:
        """The same for the same definition, in every process."""
        text = json.dumps(self.as_value(), sort_keys=True, default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def read_options(self, keys: Mapping[str, Key]) -> dict[str, Any]:
        """The options, checked like a request. For factories."""
        return read(f"the options of a program of type {self.type!r}", self.options, keys)

    def build(self) -> Program:
        """Makes the program. Raises CallError; PROGRAM_FAILED when the user's code raised."""
        try:
            return _types[self.type](self)
        except CallError:
            raise
        except Exception as error:
            raise ProgramError(f"the program {self.name!r} cannot be made", error) from error


def check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise invalid(f"a program's name has to be a text, not {name!r}")
    if not 1 <= len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES or not name.isprintable():
        raise invalid(
            f"a program's name has 1 to {MAX_NAME_BYTES} bytes that can be printed: {name!r}"
        )


def load(reference: str) -> Any:
    """What "module:name" (or "module:name.attribute") names.

    Raises CallError: INVALID_ARGUMENT when there is no such thing, DEPENDENCY_MISSING when the
    module imports one that is not there, PROGRAM_FAILED when importing it raises.
    """
    module_name, colon, path = reference.partition(":")
    if not colon or not module_name or not path:
        raise invalid(f"{reference!r} has to be written as 'module:name'")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or module_name == error.name or _inside(module_name, error.name):
            raise invalid(f"there is no module {module_name!r} (for {reference!r})") from None
        raise missing(error.name, f"the module {module_name!r} imports it") from error
    except CallError:
        raise
    except Exception as error:
        raise ProgramError(f"the module {module_name!r} cannot be imported", error) from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise invalid(f"the module {module_name!r} has no {path!r}") from None
    return found


def _inside(module_name: str, package: str) -> bool:
    return module_name.startswith(package + ".")
