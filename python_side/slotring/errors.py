"""Errors as they travel to the caller, and the slow path of a call that fails."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable
from types import TracebackType

_PACKAGE_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep

# A little less than client_lib/shm/frame.h takes, so that nothing is cut inside a character.
_MAX_MESSAGE_BYTES = 4000
_MAX_TYPE_BYTES = 500
_MAX_TRACEBACK_BYTES = 8000
_GAP = "\n...\n"


class ErrorCode(enum.IntEnum):
    """The codes of schemas/frame.fbs. The hundreds digit says who is to blame."""

    INVALID_ARGUMENT = 100
    PAYLOAD_TOO_LARGE = 101
    NOT_ATTACHED = 102
    FORKED = 103
    BROADCAST_ONLY = 104
    ALREADY_EXISTS = 105
    STREAM_REQUIRED = 106
    TABLE_INVALID = 107
    METHOD_NOT_FOUND = 200
    POOL_NOT_FOUND = 201
    SESSION_NOT_FOUND = 202
    PROGRAM_NOT_FOUND = 203
    TOOL_NOT_FOUND = 204
    HANDLER_RAISED = 300
    REPLY_NOT_CONVERTIBLE = 301
    VIEW_ESCAPED = 302
    POOL_SATURATED = 400
    OUT_OF_MEMORY = 401
    TOO_MANY_CLIENTS = 402
    SYSTEM_LIMIT = 403
    SESSION_LIMIT = 404
    DEADLINE_EXCEEDED = 500
    CANCELLED = 501
    WORKER_LOST = 600
    WORKER_UNAVAILABLE = 601
    POOL_DRAINING = 602
    CIRCUIT_OPEN = 603
    BAD_FRAME = 700
    BAD_SEGMENT = 701
    VERSION_MISMATCH = 702
    REFUSED = 703
    INTERNAL = 800
    PROGRAM_FAILED = 900
    DEPENDENCY_MISSING = 1000
    SESSION_LOST = 1100
    SESSION_BUSY = 1101
    SESSION_CONFLICT = 1102
    SESSION_STATE_INVALID = 1103
    SESSION_STORE_FAILED = 1104


class CallError(Exception):
    """Raised by a handler to end its call with this message and code, and without a traceback.

    ``retryable`` says that the same call, sent again, may succeed. One that a handler gets, of a
    tool that it called, says where it comes from, too: ``python_type`` and ``remote_traceback``,
    empty where there is none. Not caught, it ends the handler's own call as it is.
    """

    python_type: str = ""
    remote_traceback: str = ""

    def __init__(
        self,
        message: str,
        code: ErrorCode = ErrorCode.HANDLER_RAISED,
        *,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = ErrorCode(code)
        self.retryable = bool(retryable)


def received(
    code: int, retryable: bool, message: str, python_type: str, traceback: str
) -> CallError:
    """What a handler gets of an error that its caller sent, or that its caller is the cause of."""
    try:
        known = ErrorCode(code)
    except ValueError:  # of a later version
        known = ErrorCode.INTERNAL
    error = CallError(message, known, retryable=retryable)
    error.python_type = python_type
    error.remote_traceback = traceback
    return error


class ProgramError(CallError):
    """A program failed (slotring.programs). With a cause, the caller learns its type, and where.

    A failure that comes from no exception has no cause.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        if cause is not None:
            message = f"{message}: {type_name(cause)}: {_text_of(cause)}"
        super().__init__(message, ErrorCode.PROGRAM_FAILED)
        self.cause = cause


class Recorded(Exception):
    """Ends its call with an error that was described before. Not for user code."""

    def __init__(self, description: tuple[int, bool, str, str, str]) -> None:
        super().__init__(description[2])
        self.description = description


class Terminated(BaseException):
    """SIGTERM has come: ends the running handler, then the worker. Not for user code."""


def type_name(exception: BaseException) -> str:
    """The qualified name of an exception's type; builtins go without their module."""
    kind = type(exception)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def format_traceback(exception: BaseException) -> str:
    """The traceback as Python prints it, from the first frame that is the user's, if one is."""
    import traceback

    first = exception.__traceback__
    while first is not None and _is_internal(first):
        first = first.tb_next
    return "".join(traceback.format_exception(type(exception), exception, first))


def describe(exception: BaseException) -> tuple[int, bool, str, str, str]:
    """(code, retryable, message, python_type, traceback) of what a handler raised."""
    if isinstance(exception, Recorded):
        return exception.description
    python_type = _clip(type_name(exception), _MAX_TYPE_BYTES)
    if isinstance(exception, CallError):
        message = _clip(_text_of(exception), _MAX_MESSAGE_BYTES)
        if exception.python_type or type(exception) is CallError:
            # A plain one says nothing but its message, whoever made it; a tool's keeps its own.
            python_type = _clip(exception.python_type, _MAX_TYPE_BYTES)
        traceback = _clip_middle(exception.remote_traceback, _MAX_TRACEBACK_BYTES)
        if isinstance(exception, ProgramError) and exception.cause is not None:
            python_type = _clip(type_name(exception.cause), _MAX_TYPE_BYTES)
            traceback = _clip_middle(_traceback_of(exception.cause), _MAX_TRACEBACK_BYTES)
        return exception.code, exception.retryable, message, python_type, traceback
    if isinstance(exception, Terminated):
        message = "the worker was told to end (SIGTERM) while it ran the call"
        return ErrorCode.WORKER_LOST, False, message, "", ""
    return (
        ErrorCode.HANDLER_RAISED,
        False,
        _clip(_text_of(exception), _MAX_MESSAGE_BYTES),
        python_type,
        _clip_middle(_traceback_of(exception), _MAX_TRACEBACK_BYTES),
    )


def no_such_method(names: Iterable[str]) -> Callable[[str], str]:
    """Returns a function that says which of ``names`` an unknown name may have meant."""
    known = sorted(names)

    def message(name: str) -> str:
        import difflib

        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        if not near and len(known) <= 12:
            hint = f"there are {', '.join(map(repr, known))}"
        text = f"this worker has no method {name!r}"
        return f"{text}; {hint}" if hint else text

    return message


def _is_internal(entry: TracebackType) -> bool:
    file = entry.tb_frame.f_code.co_filename
    if file.startswith((_PACKAGE_FOLDER, "<frozen importlib")):
        return True
    return file.endswith("/importlib/__init__.py") or "/asyncio/" in file


def _text_of(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception as failure:  # a __str__ of the user's own
        return f"(its __str__ raised {type_name(failure)})"


def _traceback_of(exception: BaseException) -> str:
    try:
        return format_traceback(exception)
    except Exception as failure:
        return f"(its traceback cannot be formatted: {type_name(failure)})"


def _encode(text: str) -> bytes:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace")


def _clip(text: str, most_bytes: int) -> str:
    return _encode(text)[:most_bytes].decode("utf-8", "ignore")


def _clip_middle(text: str, most_bytes: int) -> str:
    """Start and end of ``text``: a traceback's end tells most, unless its message is very long."""
    encoded = _encode(text)
    if len(encoded) <= most_bytes:
        return encoded.decode("utf-8")
    head = most_bytes // 4
    tail = most_bytes - head - len(_GAP)
    return _GAP.join(part.decode("utf-8", "ignore") for part in (encoded[:head], encoded[-tail:]))
