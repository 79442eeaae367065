"""The program type ``dspy``: a module of DSPy, from a signature with any field names.

=============  ==================================================================================
``module``     "Predict" (the default), "ChainOfThought" or "ReAct"
``tools``      for ReAct: a list of functions, each "module:function"
``max_iters``  for ReAct: how often it may use a tool; DSPy's own default when 0
``state``      what a compiled module's ``dump_state()`` returned; loaded into this one
=============  ==================================================================================

Made for DSPy's public interface as of 2.6 to 3.3: Signature(fields, instructions), InputField and
OutputField, the three modules, Prediction[name], load_state. DSPy is the user's own, found in the
environment of the workers; it is imported when a program needs it.
"""

from __future__ import annotations

from typing import Any

from slotring.packages import is_there, missing
from slotring.programs.definition import Definition, Program, load, program_type
from slotring.programs.requests import Key, invalid
from slotring.programs.signature import FieldType, Signature

MODULES = ("Predict", "ChainOfThought", "ReAct")

# Names that DSPy's modules take for themselves: as keyword arguments of a call, or as fields that
# they add to the signature.
_TAKEN = frozenset(
    "self args kwargs signature demos config lm new_signature prediction callbacks max_iters "
    "reasoning rationale trajectory tools next_thought next_tool_name next_tool_args "
    "next_tool_calls".split()
)


def import_dspy() -> Any:
    """The user's DSPy. Raises CallError, DEPENDENCY_MISSING."""
    if not is_there("dspy"):
        raise missing("dspy", "a program of type 'dspy' needs it")
    import dspy

    return dspy


@program_type("dspy")
def make(definition: Definition) -> Program:
    options = definition.read_options(
        {
            "module": Key(str, "Predict"),
            "tools": Key(list, []),
            "max_iters": Key(int, 0),
            "state": Key(dict, {}),
        }
    )
    name = options["module"]
    if name not in MODULES:
        raise invalid(f"there is no DSPy module {name!r} here; there are {', '.join(MODULES)}")
    if name != "ReAct" and (options["tools"] or options["max_iters"]):
        raise invalid(f"the options 'tools' and 'max_iters' are for ReAct, not for {name}")
    if options["max_iters"] < 0:
        raise invalid("the option 'max_iters' is below 0")
    if not definition.signature.inputs:
        raise invalid("a program of type 'dspy' has one input or more")
    dspy = import_dspy()
    aliases = field_names(dspy, definition.signature)
    made = signature_of(dspy, definition.signature, aliases)
    if name == "ReAct":
        limit = {"max_iters": options["max_iters"]} if options["max_iters"] else {}
        module = dspy.ReAct(made, tools=[_tool(tool) for tool in options["tools"]], **limit)
    else:
        module = getattr(dspy, name)(made)
    if options["state"]:
        module.load_state(options["state"])

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        prediction = module(**{aliases[key]: value for key, value in inputs.items()})
        # By item: attributes of a Prediction are methods of it too, like `keys`.
        return {
            key: _plain(prediction[aliases[key]])
            for key, _ in definition.signature.outputs
            if aliases[key] in prediction
        }

    return run


def field_names(dspy: Any, signature: Signature) -> dict[str, str]:
    """The name that each field has for DSPy: its own, unless DSPy uses that one itself."""
    names = [name for name, _ in signature.inputs + signature.outputs]
    used = {name for name in names if not _is_taken(dspy, name)}
    aliases: dict[str, str] = {}
    for name in names:
        alias = name
        if name not in used:
            alias = f"field_{name.strip('_')}"
            while alias in used or _is_taken(dspy, alias):
                alias += "_"
            used.add(alias)
        aliases[name] = alias
    return aliases


def signature_of(dspy: Any, signature: Signature, aliases: dict[str, str]) -> Any:
    """The same signature as a class of DSPy's."""

    def fields(part: tuple[tuple[str, FieldType], ...], field: Any) -> dict[str, Any]:
        described = {}
        for name, kind in part:
            alias = aliases[name]
            # A language model is told a field that goes by another name by its own.
            described[alias] = (kind.python_type, field() if alias == name else field(desc=name))
        return described

    both = fields(signature.inputs, dspy.InputField) | fields(signature.outputs, dspy.OutputField)
    return dspy.Signature(both, signature.instructions or None)


def _is_taken(dspy: Any, name: str) -> bool:
    # A field of a pydantic model is no private name, and no attribute that all models have.
    return name in _TAKEN or name.startswith(("_", "model_")) or hasattr(dspy.Signature, name)


def _tool(reference: Any) -> Any:
    if not isinstance(reference, str):
        raise invalid(f"a tool is written as 'module:function', not {reference!r}")
    function = load(reference)
    if not callable(function):
        raise invalid(f"the tool {reference!r} cannot be called")
    return function


def _plain(value: Any) -> Any:
    """Models of pydantic, which DSPy parses some types into, as maps."""
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else value
