"""Sessions that several workers, or several pools, use: what is kept, and who is told of a loss."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from session_worker import SERVICE, code_of, start
from slotring.session_store import SqliteStore
from worker_pool import CallFailed, WorkerPool, wait_until

SLOW = SERVICE + """
    import os

    def wait_for_test(request):
        with open(request["fifo"]) as fifo:  # until the test opens it
            fifo.read()

    @slotring.handler
    def put_slowly(request, ctx):
        dict(ctx.session)
        wait_for_test(request)
        ctx.session["slow"] = True

    @slotring.handler
    def put_late(request, ctx):
        wait_for_test(request)
        ctx.session["late"] = True

    @slotring.handler
    def get_late(request, ctx):
        wait_for_test(request)
        return dict(ctx.session)

    @slotring.handler
    def get_slowly(request, ctx):
        values = dict(ctx.session)
        wait_for_test(request)
        return values
"""


def test_another_worker_tells_the_loss_too_and_only_one_of_them(two_seats):
    pool = two_seats
    first = start(pool, "memory", seat=0)
    start(pool, "memory", seat=1)
    pool.call_in("ann", "put", {"a": 1}, seat=0)
    pool.kill_worker(first)
    start(pool, "memory", seat=0)
    assert code_of(pool.call_in, "ann", "get", seat=1) == "SESSION_LOST"
    assert pool.call_in("ann", "get", seat=0) == {}


def test_state_in_memory_at_another_worker_is_a_conflict_when_it_is_touched(two_seats):
    pool = two_seats
    start(pool, "memory", seat=0)
    start(pool, "memory", seat=1)
    pool.call_in("ann", "put", {"a": 1}, seat=0)
    assert pool.call_in("ann", "untouched", seat=1) == "served"
    with pytest.raises(CallFailed, match="another may") as failure:
        pool.call_in("ann", "get", seat=1)
    assert (failure.value.code, failure.value.retryable) == ("SESSION_CONFLICT", True)
    assert code_of(pool.call_in, "ann", "end_session", seat=1) == "SESSION_CONFLICT"
    assert pool.call_in("ann", "get", seat=0) == {"a": 1}


def test_a_state_in_memory_that_was_ended_elsewhere_is_never_served(two_seats):
    pool = two_seats
    start(pool, "memory", seat=0)
    pool.call_in("ann", "put", {"a": 1}, seat=0)
    assert pool.harness.end_session("ann")
    assert pool.call_in("ann", "get", seat=0) == {}
    pool.call_in("ann", "put", {"a": 2}, seat=0)
    # ... nor one that somebody has taken for lost.
    assert pool.harness.lose_session("ann")
    assert pool.call_in("ann", "get", seat=0) == {}


def test_a_state_that_the_record_speaks_of_and_nobody_has_is_told_lost(two_seats):
    pool = two_seats
    start(pool, "memory", seat=0)
    start(pool, "memory", seat=1)
    # This worker itself, another's earlier generation, a seat that there is not.
    for seat, generation in [(0, 1), (1, 7), (9, 1)]:
        pool.call_in("ann", "untouched")
        assert pool.harness.place_session("ann", seat, generation)
        assert code_of(pool.call_in, "ann", "untouched") == "SESSION_LOST"
        assert pool.call_in("ann", "untouched") == "served"
    assert pool.harness.place_session("ann", 1, 1)
    assert code_of(pool.call_in, "ann", "get") == "SESSION_CONFLICT"


def slow_call(
    pool: WorkerPool, tmp_path, session: str, seat: int, method: str = "put_slowly"
) -> tuple[int, str]:
    """A call, and a fifo: that opens when the handler reads it, which goes on when it is closed."""
    fifo = str(tmp_path / f"fifo-{seat}")
    os.mkfifo(fifo)
    return pool.start_in(session, method, {"fifo": fifo}, seat), fifo


@pytest.mark.parametrize("session", ["known", "new"])
def test_of_two_calls_at_once_at_two_workers_one_is_kept_and_one_is_told(
    two_seats, tmp_path, store, session
):
    pool = two_seats
    start(pool, store, source=SLOW, seat=0)
    start(pool, store, source=SLOW, seat=1)
    if session == "known" and store != "memory":
        pool.call_in("known", "put", {"a": 0}, seat=1)
    slow = slow_call(pool, tmp_path, session, seat=0)
    with open(slow[1], "w"):  # it has loaded the state, and ends when this is closed
        pool.call_in(session, "put", {"a": 1}, seat=1)
    assert code_of(pool.finish_in, slow[0]) == "SESSION_CONFLICT"
    assert pool.call_in(session, "get", seat=1) == {"a": 1}


def stored(store: str, name: str):
    file = SqliteStore(store.removeprefix("sqlite:"))
    try:
        return file.load(name)
    finally:
        file.close()


@pytest.mark.parametrize("method", ["put_late", "get_late", "put_slowly", "get_slowly"])
@pytest.mark.parametrize("by", ["end_session", "alarm"])
def test_a_durable_session_that_is_ended_while_its_call_runs_is_a_conflict(
    two_seats, tmp_path, sqlite, method, by
):
    pool = two_seats
    start(pool, sqlite, source=SLOW, seat=0)
    start(pool, sqlite, source=SLOW, seat=1, ttl_s=0 if by == "end_session" else 0.2)
    pool.call_in("ann", "put", {"a": 1}, seat=1)
    slow = slow_call(pool, tmp_path, "ann", 0, method)
    with open(slow[1], "w"):
        if by == "end_session":
            pool.call_in("ann", "end_session", seat=1)
        wait_until(lambda: pool.harness.session("ann") is None, "the end of ann's record")
        wait_until(lambda: stored(sqlite, "ann") is None, "the end of ann's state")
    with pytest.raises(CallFailed, match="was ended while a call of it ran") as failure:
        pool.finish_in(slow[0])
    assert (failure.value.code, failure.value.retryable) == ("SESSION_CONFLICT", True)
    assert pool.call_in("ann", "get") == {}


def test_a_session_whose_record_ended_before_its_call_began_is_in_the_table_while_it_runs(
    pool, tmp_path, store
):
    start(pool, store, source=SLOW)
    busy = slow_call(pool, tmp_path, "bob", 0)
    with open(busy[1], "w"):
        queued = pool.start_in("ann", "untouched")
        assert pool.harness.end_session("ann")
    pool.finish_in(busy[0])
    assert pool.finish_in(queued) == "served"
    assert pool.harness.session("ann") == (-1, False)  # so no alarm takes its state for unused


def test_a_call_that_only_read_a_state_that_another_pool_has_ended_is_told(pool, tmp_path, sqlite):
    start(pool, sqlite, source=SLOW, ttl_s=60)
    pool.call_in("ann", "put", {"a": 1})
    path = sqlite.removeprefix("sqlite:")
    with sqlite3.connect(path) as connection:  # long enough ago for its use to be noted anew
        connection.execute("UPDATE sessions SET used = used - 30")
    connection.close()
    slow = slow_call(pool, tmp_path, "ann", 0, "get_slowly")
    with open(slow[1], "w"):
        file = SqliteStore(path)
        assert file.delete("ann", file.load("ann").revision)
        file.close()
    assert code_of(pool.finish_in, slow[0]) == "SESSION_CONFLICT"


def test_a_state_in_memory_of_before_the_store_was_durable_is_not_served_as_empty(
    two_seats, sqlite
):
    pool = two_seats
    old = start(pool, "memory", seat=0)
    start(pool, sqlite, seat=1)
    pool.call_in("ann", "put", {"a": 1}, seat=0)
    assert pool.call_in("ann", "untouched", seat=1) == "served"
    assert code_of(pool.call_in, "ann", "get", seat=1) == "SESSION_CONFLICT"
    assert code_of(pool.call_in, "ann", "end_session", seat=1) == "SESSION_CONFLICT"
    assert pool.call_in("ann", "get", seat=0) == {"a": 1}
    pool.kill_worker(old)
    start(pool, sqlite, seat=0)
    assert code_of(pool.call_in, "ann", "untouched", seat=1) == "SESSION_LOST"
    assert pool.call_in("ann", "get", seat=0) == {}
    pool.call_in("ann", "put", {"a": 2}, seat=0)
    assert pool.call_in("ann", "get", seat=1) == {"a": 2}


def test_a_durable_worker_does_not_end_what_another_has_in_memory(two_seats, sqlite):
    pool = two_seats
    start(pool, "memory", seat=0)
    pool.call_in("ann", "put", {"a": 1}, seat=0)
    pool.call_in("bob", "untouched", seat=0)
    for name in ("ann", "bob"):
        assert pool.harness.age_session(name, 61.0)
    start(pool, sqlite, seat=1, ttl_s=60)  # looks at once, at ann first
    wait_until(lambda: pool.harness.session("bob") is None, "the end of bob")
    assert pool.harness.session("ann") == (0, True)


def test_two_pools_on_one_file_see_each_others_sessions(tmp_path, sqlite):
    with WorkerPool(tmp_path) as first, WorkerPool(tmp_path) as second:
        threads = [threading.Thread(target=start, args=(p, sqlite)) for p in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first.call_in("ann", "put", {"a": 1})
        assert second.call_in("ann", "get") == {"a": 1}
        assert second.call_in("ann", "end_session") == {"ended": True}
        assert first.call_in("ann", "get") == {}
