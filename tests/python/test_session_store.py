"""The store of sessions: what it promises of one file and many processes, and how it fails."""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from any_value import keys, same, values
from expected_errors import failure_of, refusal_of
from slotring import CallError, ErrorCode
from slotring.memory_store import MemoryStore, StoreRefused
from slotring.session_keepers import DurableKeeper
from slotring.session_store import SCHEMA_VERSION, SqliteStore
from slotring.stored_value import decode, encode
from slotring.worker_sessions import open_store
from worker_pool import CallFailed, WorkerPool, wait_until

SERVICE = """
    import resource
    import sys
    import slotring

    @slotring.handler
    def put(request, ctx):
        ctx.session.update(request)

    @slotring.handler
    def get(request, ctx):
        return dict(ctx.session)

    @slotring.handler
    def limit_files(request):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request, resource.RLIM_INFINITY))

    @slotring.handler
    def imported(request):
        return request in sys.modules

    @slotring.handler
    def untouched(request):
        return "served"
"""
UNLIMITED = -1  # RLIM_INFINITY


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "sessions.db")


@pytest.fixture
def store(path):
    made = SqliteStore(path)
    yield made
    made.close()


def fails(code: ErrorCode, operation, *arguments) -> CallError:
    failure = refusal_of(operation, *arguments)
    assert failure.code == code
    return failure


def start(pool: WorkerPool, path: str):
    return pool.start_worker(SERVICE, "--session-store", f"sqlite:{path}")


def call_fails(pool: WorkerPool, session: str, method: str, payload=None) -> CallFailed:
    failure = failure_of(pool.call_in, session, method, payload)
    assert failure.code == "SESSION_STORE_FAILED"
    return failure


def test_a_worker_without_a_durable_store_does_not_import_sqlite(pool, path):
    pool.start_worker(SERVICE)
    assert pool.call("imported", "sqlite3") is False
    pool.end_worker()
    start(pool, path)
    assert pool.call("imported", "sqlite3") is True


@settings(max_examples=50)
@given(st.dictionaries(keys, values(max_leaves=20)))
def test_a_state_comes_back_as_it_was(state):
    data = encode(state, "session")
    assert same(decode(data, "it"), state)
    assert encode(state, "session", data) is data  # unchanged


class Colour(enum.IntEnum):
    RED = 1


RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)
DEEP: list = []
for _ in range(80):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value, fault",
    [
        ((1, 2), r"s\['a'\]\[0\] is of type tuple"),
        ({1}, r"s\['a'\]\[0\] is of type set"),
        (object(), r"s\['a'\]\[0\] is of type object"),
        (memoryview(b"x"), r"s\['a'\]\[0\] is of type memoryview"),
        (bytearray(b"x"), r"s\['a'\]\[0\] is of type bytearray"),
        (Colour.RED, r"s\['a'\]\[0\] is of type Colour"),
        (OrderedDict(a=1), r"s\['a'\]\[0\] is of type OrderedDict"),
        ({"k": {1: 2}}, r"s\['a'\]\[0\]\['k'\] has a key of type int"),
        (2**64, r"s\[.*more than 64 bits"),
        ("\ud800", r"s\[.*surrogates"),
        ({"nul\0": 1}, "NUL|zero"),
        (RECURSIVE, "contains itself"),
        (DEEP, "nested deeper"),
    ],
)
def test_what_would_not_come_back_is_refused_by_its_path(value, fault):
    with pytest.raises(CallError, match=fault) as failure:
        encode({"a": [value]}, "s")
    assert failure.value.code == ErrorCode.SESSION_STATE_INVALID
    assert "reply" not in str(failure.value)


def test_each_write_names_the_revision_that_it_replaces(store):
    assert store.load("ann") is None
    assert store.insert("ann", b"1")
    assert not store.insert("ann", b"other")
    first = store.load("ann")
    assert first.state == b"1" and abs(first.created - time.time()) < 60
    assert store.replace("ann", first.revision, b"2")
    assert not store.replace("ann", first.revision, b"3")
    assert not store.delete("ann", first.revision)
    second = store.load("ann")
    assert (second.state, second.created) == (b"2", first.created)
    assert store.delete("ann", second.revision)
    assert not store.delete("ann", second.revision)


def test_a_revision_never_returns_with_a_later_session_of_the_name(store):
    seen = set()
    for _ in range(20):
        assert store.insert("ann", b"same")
        seen.add(store.load("ann").revision)
        assert store.delete("ann", store.load("ann").revision)
    assert len(seen) == 20


def test_unused_sessions_are_found_and_use_is_noted(store):
    assert store.unused_since(time.time()) == ([], None)
    store.insert("ann", b"")
    names, later = store.unused_since(time.time() - 60)
    assert names == [] and later == store.load("ann").used
    assert store.unused_since(later) == (["ann"], None)
    assert store.mark_used("ann") is True
    assert store.load("ann").used >= later
    assert store.mark_used("nobody") is False
    assert [row[0] for row in store.list_sessions(10)] == ["ann"]


class PausedStore(SqliteStore):
    """Others use what it has loaded before its process goes on."""

    def load(self, *arguments):
        row = super().load(*arguments)
        other = SqliteStore(self.path)
        assert other.mark_used("ann")
        other.close()
        return row


class EmptyTable:
    """Of a pool where no call names a session."""

    def due(self, ttl_s):
        return [], None

    def find(self, name):
        return None


@pytest.mark.parametrize("kind, left", [(PausedStore, ["ann"]), (SqliteStore, [])])
def test_a_session_that_was_used_again_while_its_expirer_had_stopped_is_left(path, kind, left):
    store = kind(path)
    store.insert("ann", encode({"a": 1}, "session"))
    store._connection.execute("UPDATE sessions SET used = used - 100")
    ended = []
    DurableKeeper(EmptyTable(), store, 60.0).expire(60.0, lambda name, _: ended.append(name))
    assert [row[0] for row in store.list_sessions(10)] == left
    assert ended == ([] if left else ["ann"])
    store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_global_values_are_kept_by_key(kind, path):
    store = MemoryStore() if kind == "memory" else SqliteStore(path)
    assert store.get_global("a") is None
    assert store.get_global("a", 7) == 7
    store.put_global("program/a", {"x": [1]})
    store.put_global("program/b", 2)
    store.put_global("program_b", 3)
    store.put_global("program/b", 4)
    assert store.get_global("program/a") == {"x": [1]}
    assert store.list_global("program/") == {"program/a": {"x": [1]}, "program/b": 4}
    assert store.delete_global("program/a") is True
    assert store.delete_global("program/a") is False
    assert list(store.list_global()) == ["program/b", "program_b"]
    store.close()


def test_another_process_sees_what_was_written(store, path):
    store.insert("ann", b"1")
    store.put_global("k", [1])
    other = SqliteStore(path)
    assert other.load("ann").state == b"1"
    assert other.get_global("k") == [1]
    other.close()


def test_many_processes_may_make_the_file_at_once(path):
    program = (
        "import sys; from slotring.session_store import SqliteStore\n"
        "sys.stdin.read(1)\n"
        "s = SqliteStore(sys.argv[1]); print(s.insert(sys.argv[2], b'x')); s.close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, path, str(i)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for i in range(8)
    ]
    for process in processes:
        process.stdin.write(b".")
        process.stdin.flush()
    assert [p.communicate(timeout=60)[0] for p in processes] == [b"True\n"] * 8
    store = SqliteStore(path)
    assert len(store.list_sessions(100)) == 8
    store.close()


def test_the_file_is_its_owners_alone(store, path):
    store.insert("ann", b"1")
    for file in (path, f"{path}-wal"):
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600, file


def test_a_commit_is_synced_to_a_write_ahead_log(store):
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def execute(path: str, statement: str) -> None:
    """As somebody else who uses the file."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@contextlib.contextmanager
def locked_by_another(path: str) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("COMMIT")
    other.close()


def make_other_version(path: str) -> None:
    SqliteStore(path).close()
    execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def make_foreign(path: str) -> None:
    execute(path, "CREATE TABLE t (x)")


def make_garbage(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"this is no database" * 100)


REFUSED = [
    (make_other_version, f"has schema version {SCHEMA_VERSION + 1}"),
    (make_foreign, "a database of something else"),
    (make_garbage, "not a database"),
    (os.mkdir, "Is a directory"),
]


@pytest.mark.parametrize("make, why", REFUSED)
def test_a_file_that_is_no_store_of_this_version_is_refused_and_left_alone(path, make, why):
    make(path)
    before = None if os.path.isdir(path) else open(path, "rb").read()
    with pytest.raises(StoreRefused, match=why):
        SqliteStore(path)
    assert before is None or open(path, "rb").read() == before


def test_a_worker_with_such_a_file_is_not_set_up(pool, path):
    make_other_version(path)
    worker = pool.launch(SERVICE, "--session-store", f"sqlite:{path}")
    pool.publish()
    pool.expect_exit(3)
    assert worker.outcome[0] == "setup_failed" and "schema version" in worker.outcome[2]


@pytest.mark.parametrize("spec", ["", "disk", "sqlite:", "sqlite:relative.db", "sqlite:/no/dir/x"])
def test_a_store_that_cannot_be_is_refused(spec):
    with pytest.raises(StoreRefused):
        open_store(spec)


def test_a_file_that_somebody_else_holds_locked_is_waited_for_within_bounds(store, path):
    store.insert("ann", b"1")
    with locked_by_another(path):
        row = store.load("ann", 0.05)  # reading is not disturbed
        failure = fails(
            ErrorCode.SESSION_STORE_FAILED, store.replace, "ann", row.revision, b"2", 0.05
        )
        assert failure.retryable and "locked" in str(failure)
    assert store.replace("ann", row.revision, b"2", 0.05)


def test_a_full_disk_fails_the_write_and_leaves_what_was_there(store):
    store.insert("ann", b"1")
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    row = store.load("ann")
    failure = fails(
        ErrorCode.SESSION_STORE_FAILED, store.replace, "ann", row.revision, bytes(1 << 20)
    )
    assert not failure.retryable and "full" in str(failure)
    assert store.load("ann") == row


def test_a_file_that_was_removed_or_replaced_is_not_written_to(store, path, tmp_path):
    store.insert("ann", b"1")
    os.rename(path, tmp_path / "moved.db")
    fails(ErrorCode.SESSION_STORE_FAILED, store.insert, "bob", b"1")
    open(path, "w").close()
    failure = fails(ErrorCode.SESSION_STORE_FAILED, store.insert, "bob", b"1")
    assert "another file has taken its place" in str(failure)


def test_a_worker_that_cannot_write_fails_the_call_and_goes_on(pool, path):
    start(pool, path)
    pool.call_in("ann", "put", {"a": 1})
    pool.call("limit_files", 64 * 1024)
    call_fails(pool, "ann", "put", {"big": bytes(200_000)})
    assert pool.call_in("ann", "get") == {"a": 1}
    assert pool.call_in("ann", "untouched") == "served"
    pool.call("limit_files", UNLIMITED)
    pool.call_in("ann", "put", {"big": bytes(200_000)})
    assert len(pool.call_in("ann", "get")["big"]) == 200_000


def test_a_file_that_is_corrupted_fails_the_calls_that_touch_it(pool, path):
    start(pool, path)
    for i in range(10):
        pool.call_in(f"session-{i}", "put", {"a": bytes(20_000)})
    pool.end_worker()
    with open(path, "r+b") as damaged:  # all but its first page
        damaged.seek(4096)
        damaged.write(b"\xa5" * (os.path.getsize(path) - 4096))
    start(pool, path)
    call_fails(pool, "session-3", "put", {"a": 2})
    assert pool.call_in("session-3", "untouched") == "served"


def test_a_state_that_is_stored_wrongly_fails_its_calls_and_can_be_ended(pool, path):
    start(pool, path)
    pool.call_in("ann", "put", {"a": 1})
    execute(path, "UPDATE sessions SET state = x'ffffff'")
    assert "'ann' is stored wrongly" in call_fails(pool, "ann", "get").message
    assert pool.call_in("ann", "end_session") == {"ended": True}
    assert pool.call_in("ann", "get") == {}


def test_a_call_waits_for_a_locked_file_no_longer_than_it_may(pool, path):
    start(pool, path)
    pool.call_in("ann", "put", {"a": 1})
    with locked_by_another(path):
        slot = pool.start_in("ann", "put", {"a": 2}, timeout_s=2.0)
        with pytest.raises(CallFailed, match="locked") as failure:
            pool.finish_in(slot)
        assert failure.value.code == "SESSION_STORE_FAILED" and failure.value.retryable
    wait_until(lambda: pool.call_in("ann", "get") == {"a": 1}, "the state as it was")
