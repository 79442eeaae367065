"""NOT DSPy: a stand-in that records how the adapter uses DSPy's public interface.

It has the names that the adapter uses, notes the calls in ``calls``, and returns the outputs that
the test has put into ``outputs``. It imitates nothing else: no prompts, no parsing, no language
model. What the adapter asks of the real one is tested with the real one, where it is installed.
"""

from __future__ import annotations

from typing import Any

calls: list[tuple[str, Any]] = []
outputs: dict[str, Any] = {}


def reset(**wanted_outputs: Any) -> None:
    calls.clear()
    outputs.clear()
    outputs.update(wanted_outputs)


def InputField(**options: Any) -> tuple[str, dict[str, Any]]:  # noqa: N802
    return ("input", options)


def OutputField(**options: Any) -> tuple[str, dict[str, Any]]:  # noqa: N802
    return ("output", options)


class Signature:
    # Names that a model of pydantic has, of which DSPy's signatures are.
    copy = json = schema = fields = instructions = None

    def __init__(self, fields: dict[str, Any], instructions: str | None) -> None:
        calls.append(("Signature", (fields, instructions)))


class LM:
    def __init__(self, **arguments: Any) -> None:
        if arguments["model"] == "refused":
            raise ValueError("no such provider")
        calls.append(("LM", arguments))


def configure(**settings: Any) -> None:
    calls.append(("configure", settings))


class Prediction(dict):
    pass


class _Module:
    def __init__(self, signature: Signature, **options: Any) -> None:
        calls.append((type(self).__name__, options))

    def load_state(self, state: dict[str, Any]) -> None:
        calls.append(("load_state", state))

    def __call__(self, **inputs: Any) -> Prediction:
        calls.append(("called", inputs))
        if "raises" in outputs:
            raise outputs["raises"]
        return Prediction(outputs)


class Predict(_Module): ...


class ChainOfThought(_Module): ...


class ReAct(_Module): ...
