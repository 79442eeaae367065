"""The program type ``python``: a function of the user's.

Options: ``callable``, "module:function". It is called with the inputs as keyword arguments. It
returns a map of the outputs; with one output, that output itself will do.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from slotring.programs.definition import Definition, Program, load, program_type
from slotring.programs.requests import Key, invalid


@program_type("python")
def make(definition: Definition) -> Program:
    reference = definition.read_options({"callable": Key(str)})["callable"]
    function = load(reference)
    if not callable(function):
        raise invalid(f"{reference!r} cannot be called: it is {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise invalid(f"{reference!r} is a coroutine function or a generator, not a plain function")
    _check_parameters(reference, function, definition)
    names = [name for name, _ in definition.signature.outputs]

    def run(inputs: dict[str, Any]) -> Any:
        result = function(**inputs)
        if len(names) == 1 and not (isinstance(result, Mapping) and list(result) == names):
            return {names[0]: result}
        return result

    return run


def _check_parameters(reference: str, function: Any, definition: Definition) -> None:
    """Says now, and not at each call, that the function does not take these inputs."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions written in C
        return
    names = [name for name, _ in definition.signature.inputs]
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise invalid(
            f"{reference!r} does not take the signature's inputs ({', '.join(names)}): {error}"
        ) from None
