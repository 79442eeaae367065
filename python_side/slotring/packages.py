"""Python packages that the environment of a worker may have, or not."""

from __future__ import annotations

import importlib.util

from slotring.errors import CallError, ErrorCode


def is_there(package: str) -> bool:
    """Whether ``package`` can be imported; it is not imported for that."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # of a finder, or a module put there by hand
        return False


def missing(package: str, why: str) -> CallError:
    return CallError(
        f"the Python package {package!r} is not there, and {why}; install it in the environment "
        f"that the pool's workers run in, as in: pip install {package}",
        ErrorCode.DEPENDENCY_MISSING,
    )
