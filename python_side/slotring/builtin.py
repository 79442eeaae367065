"""Methods that every worker has, for pings, settings, sessions, and to list what there is."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Any

from slotring import _native, errors
from slotring.errors import CallError, ErrorCode
from slotring.methods import Method, as_method
from slotring.packages import is_there
from slotring.worker_sessions import WorkerSessions

NAMES = ("end_session", "methods", "ping", "sessions", "settings")

# How many sessions are listed unless the request says {"most": n}.
_LISTED_SESSIONS = 1000


def make(
    worker: _native.Worker, methods: list[Method], sessions: WorkerSessions
) -> list[Method]:
    """The built-in methods of a worker that serves ``methods`` besides."""
    started = time.monotonic()
    all_methods: list[Method] = []

    def ping(request: Any) -> dict[str, Any]:
        """Says that the worker serves, which one it is, and what it runs on."""
        return {
            "status": "ok",
            "pool": worker.pool,
            "worker": worker.seat,
            "generation": worker.generation,
            "pid": os.getpid(),
            "uptime_s": time.monotonic() - started,
            "versions": _versions(),
            "dspy_available": is_there("dspy"),
        }

    def list_methods(request: Any) -> list[dict[str, str]]:
        """Lists the methods: name, signature, and the first line of the docstring."""
        return [
            {"name": m.name, "signature": m.signature, "summary": m.summary} for m in all_methods
        ]

    def list_sessions(request: Any) -> list[dict[str, Any]]:
        """Lists the pool's sessions, those used last first: at most {"most": 1000}."""
        most = request.get("most", _LISTED_SESSIONS) if isinstance(request, dict) else None
        return sessions.listing(_LISTED_SESSIONS if most is None else int(most))

    def end_session(request: Any, ctx: _native.Context) -> dict[str, Any]:
        """Ends the session that it is called in; its state is gone then."""
        if ctx.session is None:
            raise CallError("call it in the session to end", ErrorCode.INVALID_ARGUMENT)
        sessions.end(ctx.session)
        return {"ended": True}

    def settings(request: Any) -> list[dict[str, Any]] | dict[str, Any] | None:
        """Lists the pool's settings as this worker has made them; with a key, that one alone.

        The setting of a key that failed fails this call with the same error; None is a key that
        this worker did not need to make.
        """
        if request is None:
            return [_setting(*made) for made in worker.settings()]
        wanted = request if isinstance(request, str) else bytes(request).decode()
        for made in worker.settings():
            key, _, _, _, error = made
            if key == wanted and error is not None:
                raise errors.Recorded(error)
            if key == wanted:
                return _setting(*made)
        return None

    all_methods += [
        as_method("end_session", end_session),
        as_method("methods", list_methods),
        as_method("ping", ping),
        as_method("sessions", list_sessions),
        as_method("settings", settings),
        *methods,
    ]
    return all_methods


def _setting(
    key: str,
    method: str,
    epoch: int,
    retracted: bool,
    error: tuple[int, bool, str, str, str] | None,
) -> dict[str, Any]:
    setting: dict[str, Any] = {"key": key, "method": method, "epoch": epoch, "ok": error is None}
    if retracted:
        setting["retracted"] = True
    if error is not None:
        code, _, message, python_type, _ = error
        name = errors.ErrorCode(code).name
        setting["error"] = {"code": name, "message": message, "python_type": python_type}
    return setting


def _versions() -> dict[str, str]:
    versions = {"slotring": _native.VERSION, "python": platform.python_version()}
    numpy = sys.modules.get("numpy")  # told when it is in use, never imported for it
    if numpy is not None:
        versions["numpy"] = str(getattr(numpy, "__version__", "?"))
    return versions
