"""The store of a pool that has none: what is put there goes with the worker.

Also what both stores share, so that a worker of such a pool never imports sqlite3.
"""

from __future__ import annotations

from typing import Any

# The most that an operation of a store waits for another process to finish its own.
PATIENCE_S = 5.0


class StoreRefused(RuntimeError):
    """The store cannot be used, and will not be by itself."""


class MemoryStore:
    """Global values of this worker alone. Its sessions' states are with a MemoryKeeper."""

    def __init__(self) -> None:
        self._globals: dict[str, Any] = {}

    def get_global(self, key: str, default: Any = None) -> Any:
        return self._globals.get(key, default)

    def put_global(self, key: str, value: Any) -> None:
        self._globals[key] = value

    def delete_global(self, key: str) -> bool:
        """Whether there was one."""
        return self._globals.pop(key, self) is not self

    def list_global(self, prefix: str = "") -> dict[str, Any]:
        """All values whose keys begin with ``prefix``, by key."""
        return {k: v for k, v in sorted(self._globals.items()) if k.startswith(prefix)}

    def close(self) -> None: ...
