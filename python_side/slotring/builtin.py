"""Methods that every worker has: ``ping`` and ``methods``."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from typing import Any

from slotring import _native
from slotring.handlers import Method, as_method

NAMES = ("methods", "ping")


def make(worker: _native.Worker, methods: list[Method]) -> list[Method]:
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
            "dspy_available": dspy_available(),
        }

    def list_methods(request: Any) -> list[dict[str, str]]:
        """Lists the methods: name, signature, and the first line of the docstring."""
        return [
            {"name": m.name, "signature": m.signature, "summary": m.summary} for m in all_methods
        ]

    all_methods += [as_method("methods", list_methods), as_method("ping", ping), *methods]
    return all_methods


def dspy_available() -> bool:
    """Whether DSPy can be imported here; it is not imported for that."""
    try:
        return importlib.util.find_spec("dspy") is not None
    except (ImportError, ValueError):  # of a finder, or a module put there by hand
        return False


def _versions() -> dict[str, str]:
    versions = {"slotring": _native.VERSION, "python": platform.python_version()}
    numpy = sys.modules.get("numpy")  # told when it is in use, never imported for it
    if numpy is not None:
        versions["numpy"] = str(getattr(numpy, "__version__", "?"))
    return versions
