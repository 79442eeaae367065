"""Exceptions as typed errors: what the caller learns, and what the worker survives."""

from __future__ import annotations

import pytest

from expected_errors import failure_of
from slotring import errors

RAISERS = '''
    import slotring

    class MyError(Exception):
        pass

    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def inner(text):
        raise MyError(text)

    @slotring.handler("raise")
    def raise_(request):
        inner("bad digit " + str(request))

    @slotring.handler
    def chained(request):
        try:
            inner("first")
        except MyError as error:
            raise ValueError("second") from error

    @slotring.handler
    def refuse(request):
        raise slotring.CallError("not you", slotring.ErrorCode.INVALID_ARGUMENT, retryable=True)

    @slotring.handler("exec")
    def execute(request):
        exec(compile(request, "<request>", "exec"), {})

    @slotring.handler
    def unspeakable(request):
        raise Unspeakable

    @slotring.handler("return")
    def return_(request):
        if request == "call error":
            return slotring.CallError("not found", slotring.ErrorCode.PROGRAM_NOT_FOUND)
        try:
            inner(request)
        except MyError as error:
            return error

    @slotring.handler
    async def return_later(request):
        return KeyError(request)
'''


def test_an_exception_reaches_the_caller_with_type_text_and_traceback(pool):
    pool.start_worker(RAISERS)
    failure = failure_of(pool.call, "raise", 12)
    assert failure.code == "HANDLER_RAISED"
    assert failure.message == "bad digit 12"
    assert failure.python_type == "user_module_1.MyError"
    assert not failure.retryable
    lines = failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "user_module_1.py" in lines[1] and "in raise_" in lines[1]
    assert lines[-1] == "user_module_1.MyError: bad digit 12"
    assert "direct cause" in failure_of(pool.call, "chained").traceback
    assert pool.call("ping")["status"] == "ok"


def test_a_call_error_is_the_answer_that_the_handler_meant(pool):
    pool.start_worker(RAISERS)
    failure = failure_of(pool.call, "refuse")
    assert (failure.code, failure.message, failure.retryable, failure.traceback) == (
        "INVALID_ARGUMENT",
        "not you",
        True,
        "",
    )


@pytest.mark.parametrize(
    "statement, python_type",
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("import sys; sys.exit('bye')", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise BaseExceptionGroup('many', [GeneratorExit()])", "BaseExceptionGroup"),
        ("raise ValueError('\\ud800\\0')", "ValueError"),
        ("raise ValueError('x' * 100_000)", "ValueError"),
        ("1 +", "SyntaxError"),
    ],
)
def test_whatever_is_raised_ends_its_call_only(pool, statement, python_type):
    pool.start_worker(RAISERS)
    failure = failure_of(pool.call, "exec", statement)
    assert (failure.code, failure.python_type) == ("HANDLER_RAISED", python_type)
    assert python_type in failure.traceback
    assert pool.call("ping")["status"] == "ok"


def test_a_returned_exception_fails_the_call_as_a_raised_one(pool):
    pool.start_worker(RAISERS)
    failure = failure_of(pool.call, "return", "bad")
    assert (failure.code, failure.message) == ("HANDLER_RAISED", "bad")
    assert failure.python_type == "user_module_1.MyError" and "in inner" in failure.traceback
    failure = failure_of(pool.call, "return", "call error")
    assert (failure.code, failure.message) == ("PROGRAM_NOT_FOUND", "not found")
    assert failure_of(pool.call, "return_later", "x").python_type == "KeyError"
    assert pool.call("ping")["status"] == "ok"


def test_an_exception_without_a_text_still_has_a_type(pool):
    pool.start_worker(RAISERS)
    failure = failure_of(pool.call, "unspeakable")
    assert failure.python_type.endswith("Unspeakable")
    assert "RuntimeError" in failure.message


def test_texts_are_cut_between_characters_a_traceback_in_its_middle():
    _, _, message, _, text = errors.describe(ValueError("ä" * 10_000))
    assert message == "ä" * (len(message)) and len(message.encode()) == 4000
    assert text.startswith("ValueError: ä") and text.endswith("ä\n")
    assert len(text.encode()) <= 8000


def test_near_names_are_offered_and_few_names_listed():
    message = errors.no_such_method(["classify", "ping"])
    assert "did you mean 'classify'" in message("clasify")
    assert "there are 'classify', 'ping'" in message("zzz")


def test_the_codes_are_those_of_the_wire():
    from pathlib import Path
    import re

    schema = (Path(__file__).parents[2] / "schemas" / "frame.fbs").read_text()
    body = schema[schema.index("enum ErrorCode") :].partition("}")[0]
    wire = {name.upper(): int(number) for name, number in re.findall(r"(\w+) = (\d+),", body)}
    del wire["OK"]
    assert {code.name.replace("_", ""): code.value for code in errors.ErrorCode} == wire
