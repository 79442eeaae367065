"""The language model that DSPy's programs use: ``configure_lm``."""

from __future__ import annotations

import os
from typing import Any

from slotring.errors import ProgramError
from slotring.packages import is_there
from slotring.programs.requests import Key, invalid, read

_NO_NUMBER = -1  # not given; DSPy's own default is used

KEYS = {
    "model": Key(str),  # as DSPy names it: "openai/gpt-4o-mini"
    "api_base": Key(str, ""),
    "api_key": Key(str, ""),  # stays in the pool's memory; api_key_env does not
    "api_key_env": Key(str, ""),  # the variable of the worker's environment that holds it
    "model_type": Key(str, ""),
    "temperature": Key((float, int), _NO_NUMBER),
    "max_tokens": Key(int, _NO_NUMBER),
    "num_retries": Key(int, _NO_NUMBER),
    "cache": Key(bool, True),
    "options": Key(dict, {}),  # further keyword arguments of dspy.LM
}


class LanguageModel:
    """What this worker was told last."""

    def __init__(self) -> None:
        self._model = ""
        self._reason = "no model was configured"  # why it is not applied; "" when it is

    def configure(self, request: Any) -> dict[str, Any]:
        """Remembers the model, and hands it to DSPy, where that is there."""
        settings = read("configure_lm", request, KEYS)
        arguments = _arguments(settings)
        self._model = settings["model"]
        if is_there("dspy"):
            self._reason = "DSPy did not take it"
            _apply(arguments)
            self._reason = ""
        else:
            self._reason = "the Python package 'dspy' is not there"
        return self.as_value()

    def as_value(self) -> dict[str, Any]:
        return {"model": self._model, "applied": not self._reason, "reason": self._reason}


def _apply(arguments: dict[str, Any]) -> None:
    import dspy

    try:
        dspy.configure(lm=dspy.LM(**arguments))
    except Exception as error:
        raise ProgramError("DSPy does not take this language model", error) from error


def _arguments(settings: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of dspy.LM: those that were given."""
    if not settings["model"]:
        raise invalid("configure_lm: the key 'model' is empty")
    if settings["api_key"] and settings["api_key_env"]:
        raise invalid("configure_lm: there are both 'api_key' and 'api_key_env'")
    variable = settings["api_key_env"]
    if variable and variable not in os.environ:
        raise invalid(f"configure_lm: the worker's environment has no variable {variable!r}")
    arguments = {
        name: settings[name]
        for name in ("model", "api_base", "api_key", "model_type")
        if settings[name]
    }
    for name in ("temperature", "max_tokens", "num_retries"):
        if settings[name] != _NO_NUMBER:
            arguments[name] = settings[name]
    if variable:
        arguments["api_key"] = os.environ[variable]
    for name, value in settings["options"].items():
        if name in KEYS:
            raise invalid(f"configure_lm: {name!r} is a key of its own, not one of 'options'")
        arguments[name] = value
    return {**arguments, "cache": settings["cache"]}
