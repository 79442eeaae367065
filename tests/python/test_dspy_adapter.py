"""Programs of DSPy: the adapter against a recorder, and against the real DSPy where it is there."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
import urllib.error
import urllib.request

import pytest

from expected_errors import refusal_of
from slotring import ErrorCode, errors
from slotring.programs import Programs, dspy_type, language_model
from slotring.worker_sessions import open_store
from stand_ins import recorded_dspy
from stand_ins.lm_server import LmServer

REAL = importlib.util.find_spec("dspy") is not None


class Session(dict):
    name = "user-42"


@pytest.fixture
def programs() -> Programs:
    open_store("memory")
    return Programs()


@pytest.fixture
def ctx():
    return types.SimpleNamespace(session=Session(), broadcast_key=None)


@pytest.fixture
def recorder(monkeypatch):
    """`import dspy` gives the recorder."""
    monkeypatch.setitem(sys.modules, "dspy", recorded_dspy)
    for module in (dspy_type, language_model):
        monkeypatch.setattr(module, "is_there", lambda package: True)
    recorded_dspy.reset()
    return recorded_dspy


@pytest.fixture
def no_dspy(monkeypatch):
    for module in (dspy_type, language_model):
        monkeypatch.setattr(module, "is_there", lambda package: False)


def definition_of(signature="question -> answer", **options):
    return {"name": "p", "type": "dspy", "signature": signature, "options": options}


def run(programs, ctx, **inputs):
    return programs.execute_program({"name": "p", "inputs": inputs}, ctx)["outputs"]


# Against the recorder: what the adapter asks of DSPy.


def test_the_signature_goes_to_dspy_with_types_order_and_instructions(programs, ctx, recorder):
    signature = {
        "inputs": ["question: str", "n: int"],
        "outputs": ["answer: str", "scores: list[float]"],
        "instructions": "Be brief.",
    }
    programs.create_program(definition_of(signature), ctx)
    fields = {
        "question": (str, ("input", {})),
        "n": (int, ("input", {})),
        "answer": (str, ("output", {})),
        "scores": (list[float], ("output", {})),
    }
    assert recorder.calls == [("Signature", (fields, "Be brief.")), ("Predict", {})]
    assert list(recorder.calls[0][1][0]) == list(fields)


def test_without_instructions_dspy_writes_its_own(programs, ctx, recorder):
    programs.create_program(definition_of(), ctx)
    assert recorder.calls[0][1][1] is None


@pytest.mark.parametrize("module", ["Predict", "ChainOfThought", "ReAct"])
def test_each_module_is_made_and_called_with_the_inputs(programs, ctx, recorder, module):
    programs.create_program(definition_of(module=module), ctx)
    assert recorder.calls[1][0] == module
    recorder.outputs.update(answer="42", reasoning="not asked for")
    assert run(programs, ctx, question="why") == {"answer": "42"}
    assert recorder.calls[-1] == ("called", {"question": "why"})


def test_tools_and_their_bound_go_to_react(programs, ctx, recorder):
    tools = ["programs_of_tests:shout"]
    programs.create_program(definition_of(module="ReAct", tools=tools, max_iters=3), ctx)
    name, options = recorder.calls[1]
    assert name == "ReAct" and options["max_iters"] == 3
    assert [tool.__name__ for tool in options["tools"]] == ["shout"]


def test_a_state_is_loaded_into_the_module(programs, ctx, recorder):
    programs.create_program(definition_of(state={"demos": []}), ctx)
    assert recorder.calls[-1] == ("load_state", {"demos": []})


def test_names_that_dspy_uses_itself_go_by_another_name_there(programs, ctx, recorder):
    """Its modules' arguments, its signatures' attributes, fields that it adds, private names."""
    inputs = ["config", "signature", "copy", "_hidden", "_", "model_name", "plain", "field_config"]
    outputs = ["reasoning", "json", "self", "keys"]
    programs.create_program(definition_of(f"{', '.join(inputs)} -> {', '.join(outputs)}"), ctx)
    fields = recorder.calls[0][1][0]
    names = list(fields)
    assert len(set(names)) == len(inputs + outputs)
    assert names[6] == "plain" and names[7] == "field_config" and names[-1] == "keys"
    for name, alias in zip(inputs + outputs, names, strict=True):
        assert not alias.startswith(("_", "model_")) and not hasattr(recorder.Signature, alias)
        told = {} if name == alias else {"desc": name}
        assert fields[alias][1][1] == told
    recorder.outputs.update({alias: alias for alias in names[-4:]})
    result = run(programs, ctx, **{name: name for name in inputs})
    assert result == dict(zip(outputs, names[-4:], strict=True))
    assert recorder.calls[-1] == ("called", dict(zip(names, inputs, strict=False)))


def test_an_output_that_dspy_did_not_give_is_a_failure_and_no_default(programs, ctx, recorder):
    programs.create_program(definition_of(), ctx)
    failure = refusal_of(
        programs.execute_program, {"name": "p", "inputs": {"question": "?"}}, ctx
    )
    assert failure.code == ErrorCode.PROGRAM_FAILED
    assert "the output 'answer' is missing" in str(failure)


def test_what_dspy_raises_keeps_its_type_and_traceback(programs, ctx, recorder):
    programs.create_program(definition_of(), ctx)
    recorder.outputs["raises"] = ConnectionError("no model")
    failure = refusal_of(
        programs.execute_program, {"name": "p", "inputs": {"question": "?"}}, ctx
    )
    code, _, message, python_type, traceback = errors.describe(failure)
    assert (code, python_type) == (ErrorCode.PROGRAM_FAILED, "ConnectionError")
    assert "no model" in message and "recorded_dspy.py" in traceback


@pytest.mark.parametrize(
    ("signature", "options", "hint"),
    [
        ("question -> answer", {"module": "Refine"}, "no DSPy module 'Refine'"),
        ("question -> answer", {"tools": ["a:b"]}, "are for ReAct"),
        ("question -> answer", {"module": "ReAct", "tools": [3]}, "written as 'module:function'"),
        ("question -> answer", {"module": "ReAct", "tools": ["programs_of_tests:x"]}, "no 'x'"),
        ("question -> answer", {"module": "ReAct", "max_iters": -1}, "below 0"),
        ("question -> answer", {"temperature": 1}, "no key 'temperature'"),
        (" -> answer", {}, "one input or more"),
        ("question - answer", {}, "one '->'"),
    ],
)
def test_what_is_not_right_is_refused(programs, ctx, recorder, signature, options, hint):
    refused = refusal_of(programs.create_program, definition_of(signature, **options), ctx)
    assert refused.code == ErrorCode.INVALID_ARGUMENT and hint in str(refused)


def test_the_language_model_goes_to_dspy_with_what_was_given(programs, recorder, monkeypatch):
    applied = programs.configure_lm({"model": "openai/m", "api_base": "http://x", "max_tokens": 9})
    assert applied == {"model": "openai/m", "applied": True, "reason": ""}
    arguments = {"model": "openai/m", "api_base": "http://x", "max_tokens": 9, "cache": True}
    assert recorder.calls[0] == ("LM", arguments)
    assert recorder.calls[1][0] == "configure" and list(recorder.calls[1][1]) == ["lm"]
    monkeypatch.setenv("A_KEY_OF_TESTS", "secret")
    programs.configure_lm(
        {"model": "m", "temperature": 0, "api_key_env": "A_KEY_OF_TESTS", "options": {"seed": 1}}
    )
    arguments = {"model": "m", "temperature": 0, "api_key": "secret", "seed": 1, "cache": True}
    assert recorder.calls[2] == ("LM", arguments)


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        (None, "key 'model' is missing"),
        ({"model": ""}, "'model' is empty"),
        ({"model": "m", "temprature": 1}, "did you mean 'temperature'?"),
        ({"model": "m", "temperature": "hot"}, "has to be float or int, not str"),
        ({"model": "m", "api_key": "k", "api_key_env": "K"}, "both 'api_key' and 'api_key_env'"),
        ({"model": "m", "api_key_env": "NO_SUCH_VARIABLE"}, "no variable 'NO_SUCH_VARIABLE'"),
        ({"model": "m", "options": {"cache": False}}, "'cache' is a key of its own"),
    ],
)
def test_a_configuration_that_is_not_right_is_refused(programs, recorder, request_, hint):
    refused = refusal_of(programs.configure_lm, request_)
    assert refused.code == ErrorCode.INVALID_ARGUMENT and hint in str(refused)


def test_a_model_that_dspy_refuses_is_an_error_and_told_afterwards(programs, recorder):
    failure = refusal_of(programs.configure_lm, {"model": "refused"})
    assert failure.code == ErrorCode.PROGRAM_FAILED
    assert errors.describe(failure)[3] == "ValueError"
    told = programs.get_stats(None, types.SimpleNamespace(session=None, broadcast_key=None))
    assert told["language_model"] == {
        "model": "refused",
        "applied": False,
        "reason": "DSPy did not take it",
    }


def test_without_dspy_a_model_is_remembered_and_a_program_refused(programs, ctx, no_dspy):
    told = programs.configure_lm({"model": "openai/m"})
    assert told["applied"] is False and "'dspy' is not there" in told["reason"]
    refused = refusal_of(programs.create_program, definition_of(), ctx)
    assert refused.code == ErrorCode.DEPENDENCY_MISSING
    assert "pip install dspy" in str(refused)
    assert not ctx.session


# The server that stands for a language model.


def post(url: str, body: bytes) -> tuple[int, dict]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_server_answers_like_openai_s_and_always_the_same():
    prompt = (
        "[[ ## question ## ]]\nWhy?\n\nRespond with the corresponding output fields, starting with "
        "the field `[[ ## reasoning ## ]]`, then `[[ ## answer ## ]]`, and then ending with the "
        "marker for `[[ ## completed ## ]]`."
    )
    with LmServer(answer="42") as server:
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        status, reply = post(f"{server.url}/chat/completions", json.dumps(body).encode())
        assert (status, reply["object"]) == (200, "chat.completion")
        assert reply["choices"][0]["message"] == {
            "role": "assistant",
            "content": "[[ ## reasoning ## ]]\nreasoning!\n\n[[ ## answer ## ]]\n42\n\n"
            "[[ ## completed ## ]]",
        }
        body["messages"] = [{"role": "user", "content": "Hello"}]
        _, reply = post(f"{server.url}/chat/completions", json.dumps(body).encode())
        assert reply["choices"][0]["message"]["content"] == "hELLO"
        assert post(f"{server.url}/chat/completions", b"no JSON")[0] == 400
        assert post(f"{server.url}/embeddings", b"{}")[0] == 404
        assert len(server.requests) == 2


# Against the real DSPy.


@pytest.fixture
def real_dspy(monkeypatch):
    if not REAL:
        pytest.skip("DSPy is not installed here: its adapter was tested against a recorder only")
    monkeypatch.setenv("DSPY_CACHEDIR", os.environ.get("TMPDIR", "/tmp"))
    import dspy

    return dspy


@pytest.mark.parametrize("module", ["Predict", "ChainOfThought"])
def test_real_dspy_answers_through_the_model_s_server(programs, ctx, real_dspy, module):
    with LmServer(answer="42", n="7") as server:
        model = {"model": "openai/test", "api_base": server.url, "api_key": "none", "cache": False}
        assert programs.configure_lm(model)["applied"] is True
        programs.create_program(definition_of("question -> answer, n: int", module=module), ctx)
        assert run(programs, ctx, question="Why?") == {"answer": "42", "n": 7}
        assert server.requests


@pytest.mark.parametrize("module", ["Predict", "ChainOfThought", "ReAct"])
def test_real_dspy_takes_any_field_names(programs, ctx, real_dspy, module):
    inputs = ["config", "signature", "copy", "_hidden", "model_name", "plain"]
    outputs = ["reasoning", "json", "self", "keys"]
    created = definition_of(f"{', '.join(inputs)} -> {', '.join(outputs)}", module=module)
    assert programs.create_program(created, ctx)["created"] is True


def test_real_dspy_makes_an_agent_with_tools(programs, ctx, real_dspy):
    created = definition_of(module="ReAct", tools=["programs_of_tests:shout"], max_iters=2)
    assert programs.create_program(created, ctx)["created"] is True


def test_real_dspy_without_a_model_is_a_program_s_failure(programs, ctx, real_dspy):
    real_dspy.configure(lm=None)
    programs.create_program(definition_of(), ctx)
    failure = refusal_of(programs.execute_program, {"name": "p", "inputs": {"question": "?"}}, ctx)
    assert failure.code == ErrorCode.PROGRAM_FAILED
