"""Where sessions and global values are kept for good: an SQLite file of the pool's.

Guarantee of the file: what a method has written when it returns survives the death of the process
and of the machine (write-ahead log, ``synchronous=FULL``). Any number of processes use it at once;
each write of a session names the revision that it replaces, and does nothing when another came
first.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from slotring.errors import CallError, ErrorCode
from slotring.memory_store import PATIENCE_S, StoreRefused
from slotring.stored_value import decode, encode

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x534C5453  # "SLTS"
_OPEN_PATIENCE_S = 15.0

# The state comes last: what is listed and expired is found without reading it.
_SCHEMA = (
    "CREATE TABLE sessions (name TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL,"
    " created REAL NOT NULL, used REAL NOT NULL, state BLOB NOT NULL)",
    "CREATE TABLE globals (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

T = TypeVar("T")


class StoredSession(NamedTuple):
    """One row. ``created`` and ``used`` are seconds since 1970."""

    revision: int
    created: float
    used: float
    state: bytes


class SqliteStore:
    """Sessions and global values in a file. One thread at a time; not across a fork.

    Errors of all methods: SESSION_STORE_FAILED, retryable when the file was only busy.
    """

    def __init__(self, path: str, patience_s: float = _OPEN_PATIENCE_S) -> None:
        """Opens the file, making it if need be. Raises StoreRefused."""
        self.path = path
        if not os.path.isabs(path):
            raise StoreRefused(f"a session store's path must be absolute: {path!r}")
        try:
            # By SQLite itself, it would be for everybody to read.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            file = os.stat(path)
            self._identity = (file.st_dev, file.st_ino)
            self._connection = sqlite3.connect(
                path, timeout=patience_s, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreRefused(f"cannot open the session store {path!r}: {error}") from error
        self._patience_ms = -1
        try:
            self._prepare(time.monotonic() + patience_s)
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreRefused(f"cannot use the session store {path!r}: {error}") from error
        except StoreRefused:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def load(self, name: str, patience_s: float = PATIENCE_S) -> StoredSession | None:
        def run() -> Any:
            return self._connection.execute(
                "SELECT revision, created, used, state FROM sessions WHERE name = ?", (name,)
            ).fetchone()

        row = self._run("load a session", patience_s, run)
        return None if row is None else StoredSession(*row)

    def insert(self, name: str, state: bytes, patience_s: float = PATIENCE_S) -> bool:
        """Stores a new session; False when there is one of this name."""
        now = time.time()
        return self._write(
            "store a session",
            patience_s,
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, _revision(), now, now, state),
        )

    def replace(
        self, name: str, revision: int, state: bytes, patience_s: float = PATIENCE_S
    ) -> bool:
        """Stores a session's state; False when the revision is no longer the stored one."""
        return self._write(
            "store a session",
            patience_s,
            "UPDATE sessions SET revision = ?, used = ?, state = ? WHERE name = ? AND revision = ?",
            (_revision(), time.time(), state, name, revision),
        )

    def mark_used(self, name: str, patience_s: float = PATIENCE_S) -> bool:
        """False when there is no session of this name."""
        return self._write(
            "store a session's use",
            patience_s,
            "UPDATE sessions SET used = ? WHERE name = ?",
            (time.time(), name),
        )

    def delete(self, name: str, revision: int, patience_s: float = PATIENCE_S) -> bool:
        """False when the revision is no longer the stored one."""
        return self._write(
            "delete a session",
            patience_s,
            "DELETE FROM sessions WHERE name = ? AND revision = ?",
            (name, revision),
        )

    def delete_unused(self, name: str, revision: int, moment: float) -> bool:
        """False also when it was used since then: that does not change the revision."""
        return self._write(
            "delete an unused session",
            PATIENCE_S,
            "DELETE FROM sessions WHERE name = ? AND revision = ? AND used <= ?",
            (name, revision, moment),
        )

    def unused_since(self, moment: float) -> tuple[list[str], float | None]:
        """The names of sessions that were not used since then, and when the next one was used."""

        def run() -> tuple[list[str], float | None]:
            rows = self._connection.execute(
                "SELECT name FROM sessions WHERE used <= ?", (moment,)
            ).fetchall()
            (later,) = self._connection.execute(
                "SELECT min(used) FROM sessions WHERE used > ?", (moment,)
            ).fetchone()
            return [name for (name,) in rows], later

        return self._run("look for unused sessions", PATIENCE_S, run)

    def list_sessions(self, most: int) -> list[tuple[str, float, float]]:
        """(name, created, used) of sessions, those used last first."""

        def run() -> Any:
            return self._connection.execute(
                "SELECT name, created, used FROM sessions ORDER BY used DESC LIMIT ?", (most,)
            ).fetchall()

        return self._run("list sessions", PATIENCE_S, run)

    def get_global(self, key: str, default: Any = None) -> Any:
        def run() -> Any:
            return self._connection.execute(
                "SELECT value FROM globals WHERE key = ?", (key,)
            ).fetchone()

        row = self._run("load a global value", PATIENCE_S, run)
        return default if row is None else decode(row[0], f"the global value {key!r}")

    def put_global(self, key: str, value: Any) -> None:
        self._write(
            "store a global value",
            PATIENCE_S,
            "INSERT INTO globals VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = ?2",
            (key, encode(value, "global")),
        )

    def delete_global(self, key: str) -> bool:
        """Whether there was one."""
        return self._write(
            "delete a global value", PATIENCE_S, "DELETE FROM globals WHERE key = ?", (key,)
        )

    def list_global(self, prefix: str = "") -> dict[str, Any]:
        """All values whose keys begin with ``prefix``, by key."""

        def run() -> Any:
            return self._connection.execute(
                "SELECT key, value FROM globals WHERE substr(key, 1, ?) = ? ORDER BY key",
                (len(prefix), prefix),
            ).fetchall()

        rows = self._run("list global values", PATIENCE_S, run)
        return {key: decode(value, f"the global value {key!r}") for key, value in rows}

    def _prepare(self, deadline: float) -> None:
        # Two processes that change a new file to WAL at once may each be told at once that it is
        # locked: SQLite does not wait where waiting might be for ever.
        while True:
            try:
                self._check_schema()  # a file of somebody else's is not changed
                (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise StoreRefused(
                f"the session store {self.path!r} cannot have a write-ahead log (its journal "
                f"is {mode!r}); is it on a network file system?"
            )
        try:
            if self._check_schema():
                for statement in _SCHEMA:
                    self._connection.execute(statement)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _check_schema(self) -> bool:
        """Whether the file is new, and has none yet."""
        execute = self._connection.execute
        (application,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != _APPLICATION_ID:
            raise StoreRefused(f"{self.path!r} is a database of something else, not of sessions")
        if version != SCHEMA_VERSION:
            raise StoreRefused(
                f"the session store {self.path!r} has schema version {version}, and this version "
                f"of slotring uses {SCHEMA_VERSION}: use another file, or the version that made it"
            )
        return False

    def _write(self, what: str, patience_s: float, statement: str, values: tuple[Any, ...]) -> bool:
        def run() -> bool:
            # Of a file that was removed, SQLite goes on to write what no process will ever read.
            file = os.stat(self.path)
            if (file.st_dev, file.st_ino) != self._identity:
                raise OSError("another file has taken its place")
            return self._connection.execute(statement, values).rowcount > 0

        return self._run(what, patience_s, run)

    def _run(self, what: str, patience_s: float, operation: Callable[[], T]) -> T:
        try:
            patience_ms = int(min(max(patience_s, 0.0), PATIENCE_S) * 1000)
            if patience_ms != self._patience_ms:
                self._connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
                self._patience_ms = patience_ms
            return operation()
        except (sqlite3.Error, OSError) as error:
            raise CallError(
                f"cannot {what}: {error} ({self.path})",
                ErrorCode.SESSION_STORE_FAILED,
                retryable=_is_busy(error),
            ) from error


def _revision() -> int:
    # Random, so that it is never that of an earlier session of the same name.
    return int.from_bytes(os.urandom(8), "little") >> 2  # SQLite's integers have 63 bits


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
