"""Sessions at a worker: what ctx.session holds, where it is lost, and when it ends."""

from __future__ import annotations

import contextlib

import pytest

from session_worker import code_of, start
from worker_pool import CallFailed, WorkerPool, wait_until

LEAVING = """
    import asyncio
    import sys
    import slotring

    ended = []

    @slotring.session_start
    def start(session):
        if session.name == "unwanted":
            sys.exit("not with me")

    @slotring.session_end
    def leave(session):
        if session.name == "leaver":
            sys.exit("gone")

    @slotring.session_end
    async def give_up(session):
        if session.name == "quitter":
            raise asyncio.CancelledError

    @slotring.session_end
    def note(session):
        ended.append(session.name)

    @slotring.handler
    def put(request, ctx):
        ctx.session.update(request)

    @slotring.handler
    def get(request, ctx):
        return dict(ctx.session)

    @slotring.handler
    def catch(request, ctx):
        try:
            return dict(ctx.session)
        except BaseException as error:
            return type(error).__name__

    @slotring.handler
    def tell(request):
        return sorted(ended)
"""


def test_a_session_finds_what_its_earlier_calls_put_there_and_others_do_not(pool, store):
    start(pool, store)
    assert pool.call_in("ann", "put", {"a": 1, "b": [1, {"c": b"x"}]}) == 2
    assert pool.call_in("bob", "put", {"a": 2}) == 1
    assert pool.call_in("ann", "get") == {"a": 1, "b": [1, {"c": b"x"}]}
    assert pool.call_in("bob", "get") == {"a": 2}
    assert pool.call("get") is None  # anonymous


def test_a_change_deep_in_the_state_is_kept(pool, store):
    start(pool, store)
    assert pool.call_in("ann", "grow", 1) == [1]
    assert pool.call_in("ann", "grow", 2) == [1, 2]
    assert pool.call_in("ann", "get") == {"list": [1, 2]}


@pytest.mark.parametrize("method", ["put_and_fail", "put_and_reply_wrongly"])
def test_what_a_failed_call_put_there_is_not_kept(pool, store, method):
    start(pool, store)
    pool.call_in("ann", "put", {"a": 1})
    code_of(pool.call_in, "ann", method, {"a": 2, "b": 3})
    assert pool.call_in("ann", "get") == {"a": 1}
    code_of(pool.call_in, "new", method, {"a": 2})
    assert pool.call_in("new", "keep_session")[1] is True  # it had not started


def test_a_session_tells_its_name_and_whether_it_is_new_and_ends_with_its_call(pool, store):
    start(pool, store)
    expected = ["ann", True, "<slotring.Session 'ann'>"]
    assert pool.call_in("ann", "keep_session") == expected
    assert pool.call_in("ann", "keep_session")[1] is False
    assert code_of(pool.call, "use_kept") == "SESSION_NOT_FOUND"


def test_a_handler_that_takes_no_context_may_be_called_in_a_session(pool, store):
    start(pool, store)
    assert pool.call_in("ann", "untouched") == "served"
    assert pool.harness.session("ann") == (-1, False)  # nothing is kept of it


def test_more_sessions_than_the_pool_has_room_for_are_refused(pool, store):
    start(pool, store)
    for i in range(16):
        pool.call_in(f"session-{i}", "put", {"i": i})
    assert code_of(pool.call_in, "one-more", "put", {"i": 17}) == "SESSION_LIMIT"


def test_a_session_starts_and_ends_once_with_hooks(pool, store):
    start(pool, store)
    pool.call_in("ann", "put", {"a": 1})
    pool.call_in("ann", "put", {"a": 2})
    assert pool.call_in("ann", "end_session") == {"ended": True}
    assert pool.harness.session("ann") is None
    assert pool.call("tell") == [["start", "ann"], ["end", "ann", {"a": 2}]]
    assert pool.call_in("ann", "get") == {}


def test_ending_what_is_not_there_says_so(pool, store):
    start(pool, store)
    assert code_of(pool.call_in, "nobody", "end_session") == "SESSION_NOT_FOUND"
    assert pool.harness.session("nobody") is None
    assert code_of(pool.call, "end_session") == "INVALID_ARGUMENT"


def test_a_start_hook_that_raises_fails_the_call_even_if_the_handler_catches_it(pool, store):
    worker = start(pool, store)
    with pytest.raises(CallFailed, match="no such user") as failure:
        pool.call_in("refused", "put", {"a": 1})
    assert failure.value.python_type == "ValueError"
    assert code_of(pool.call_in, "refused", "catch") == "HANDLER_RAISED"
    assert pool.call_in("refused", "untouched") == "served"
    assert code_of(pool.call_in, "refused", "end_session") == "SESSION_NOT_FOUND"
    wait_until(lambda: "a session_start hook failed" in worker.stderr, "the log")


def test_an_end_hook_that_raises_is_logged_and_the_session_is_ended(pool, store):
    worker = start(pool, store)
    pool.call_in("clumsy", "put", {"a": 1})
    assert pool.call_in("clumsy", "end_session") == {"ended": True}
    assert pool.call_in("clumsy", "get") == {}
    wait_until(lambda: "cannot say goodbye" in worker.stderr, "the log")


def test_an_end_hook_that_exits_does_not_end_the_worker_with_its_other_sessions(pool, store):
    worker = start(pool, store, source=LEAVING)
    for name in ("leaver", "quitter", "ann"):
        pool.call_in(name, "put", {"a": 1})
    assert pool.call_in("leaver", "end_session") == {"ended": True}
    assert pool.call_in("quitter", "end_session") == {"ended": True}
    assert pool.call("tell") == ["leaver", "quitter"]
    assert pool.call_in("ann", "get") == {"a": 1}
    wait_until(lambda: worker.stderr.count("a session_end hook failed") == 2, "the log")


def test_an_end_hook_that_exits_does_not_end_the_worker_when_the_time_to_live_is_over(pool, store):
    worker = start(pool, store, source=LEAVING, ttl_s=0.2)
    for name in ("leaver", "quitter", "ann"):
        pool.call_in(name, "put", {"a": 1})
    wait_until(
        lambda: (
            worker.process.poll() is not None or pool.call("tell") == ["ann", "leaver", "quitter"]
        ),
        "the end of all",
    )
    assert worker.process.poll() is None
    for what in ("SystemExit: gone", "CancelledError"):
        wait_until(lambda what=what: what in worker.stderr, what)


def test_a_start_hook_that_exits_fails_its_call_alone(pool, store):
    worker = start(pool, store, source=LEAVING)
    pool.call_in("ann", "put", {"a": 1})
    for method in ("get", "catch"):
        with pytest.raises(CallFailed, match="not with me") as failure:
            pool.call_in("unwanted", method)
        assert failure.value.python_type == "SystemExit"
    assert pool.call_in("ann", "get") == {"a": 1}
    wait_until(lambda: worker.stderr.count("a session_start hook failed") == 2, "the log")


def test_hooks_may_be_methods_of_a_service(pool, store):
    source = """
        import slotring

        @slotring.service
        class Users:
            def __init__(self):
                self.seen = []

            @slotring.session_start
            def greet(self, session):
                session["greeting"] = f"hello {session.name}"

            @slotring.session_end
            async def part(self, session):
                self.seen.append(session["greeting"])

            @slotring.handler
            def get(self, request, ctx):
                return dict(ctx.session)

            @slotring.handler
            def tell(self, request):
                return self.seen
    """
    start(pool, store, source=source)
    assert pool.call_in("ann", "get") == {"greeting": "hello ann"}
    pool.call_in("ann", "end_session")
    assert pool.call("tell") == ["hello ann"]


def test_sessions_are_listed(pool, store):
    start(pool, store)
    pool.call_in("ann", "put", {"a": 1})
    pool.call_in("bob", "untouched")
    listed = pool.call("sessions")
    assert [row["name"] for row in listed] == ["bob", "ann"]
    assert [row["has_state"] for row in listed] == [False, True]
    assert all(row["created"] <= row["last_used"] + 1 for row in listed)
    assert [row["name"] for row in pool.call("sessions", {"most": 1})] == ["bob"]


def test_memory_keeps_any_object_and_a_change_of_it_in_place(pool):
    start(pool, "memory")
    assert pool.call_in("ann", "put_object") is None


def test_a_failed_calls_change_in_place_stays_in_memory_and_is_undone_in_a_file(pool, store):
    start(pool, store)
    pool.call_in("ann", "grow", 1)
    code_of(pool.call_in, "ann", "grow_and_fail", 2)
    assert pool.call_in("ann", "get") == {"list": [1, 2] if store == "memory" else [1]}


def test_a_request_that_is_kept_in_memory_stays_its_own_calls(pool):
    start(pool, "memory")
    pool.call_in("ann", "keep_view", b"first")
    for _ in range(4):
        pool.call_in("bob", "untouched", b"other")
    assert pool.call_in("ann", "read_view") == b"first"


def test_a_request_is_no_durable_state(pool, sqlite):
    start(pool, sqlite)
    assert code_of(pool.call_in, "ann", "keep_view", b"first") == "SESSION_STATE_INVALID"
    assert pool.call_in("ann", "get") == {}


def test_a_durable_state_of_other_types_fails_the_call_and_nothing_is_stored(pool, sqlite):
    start(pool, sqlite)
    pool.call_in("ann", "put", {"a": 1})
    with pytest.raises(CallFailed, match=r"session\['object'\]\['deep'\]\[1\] is of type object"):
        pool.call_in("ann", "put_object")
    assert pool.call_in("ann", "get") == {"a": 1}


def test_a_killed_workers_successor_finds_the_durable_state(pool, sqlite):
    for i in range(3):
        start(pool, sqlite)
        assert pool.call_in("ann", "get") == ({"a": i} if i else {})
        pool.call_in("ann", "put", {"a": i + 1})
        pool.kill_worker()
    start(pool, sqlite)
    assert pool.call_in("ann", "get") == {"a": 3}


def test_no_acknowledged_change_is_lost_wherever_the_worker_is_killed(pool, sqlite):
    acknowledged, pending = 0, None
    for spins in (0, 100, 1_000, 10_000, 50_000, 100_000, 200_000, 400_000):
        start(pool, sqlite)
        if pending is not None:
            # Replied to before the kill, served by the successor, or found dead by it.
            with contextlib.suppress(CallFailed):
                acknowledged = pool.finish_in(pending)
        value = pool.call_in("ann", "count")
        assert acknowledged < value <= acknowledged + 2  # one may be stored that was not replied to
        acknowledged = value
        pending = pool.start_in("ann", "count")
        for _ in range(spins):
            pass
        pool.kill_worker()
    start(pool, sqlite)


def test_a_killed_workers_state_in_memory_is_told_lost_once(pool):
    start(pool, "memory")
    pool.call_in("ann", "put", {"a": 1})
    pool.call_in("bob", "untouched")
    assert pool.harness.session("ann") == (0, True)
    pool.kill_worker()
    start(pool, "memory")
    # Told to whatever call comes first, before its handler runs.
    assert code_of(pool.call_in, "ann", "untouched") == "SESSION_LOST"
    assert pool.call_in("ann", "get") == {}
    assert pool.call_in("bob", "get") == {}  # had no state to lose
    assert pool.call_in("ann", "put", {"a": 2}) == 1
    assert pool.call_in("ann", "get") == {"a": 2}


def test_an_unused_session_ends_by_itself(pool, store):
    start(pool, store, ttl_s=0.2)
    pool.call_in("ann", "put", {"a": 1})
    pool.call_in("bob", "untouched")
    wait_until(lambda: pool.harness.session("ann") is None, "the end of ann")
    wait_until(lambda: pool.harness.session("bob") is None, "the end of bob")
    assert pool.call("tell") == [["start", "ann"], ["end", "ann", {"a": 1}]]
    assert pool.call_in("ann", "get") == {}


def test_a_session_in_use_does_not_end(pool, store):
    start(pool, store, ttl_s=60)
    pool.call_in("ann", "put", {"a": 1})
    pool.call_in("old", "put", {"a": 1})
    assert pool.harness.age_session("old", 61.0)
    assert pool.harness.age_session("ann", 30.0)
    pool.end_worker()  # its successor looks at once
    start(pool, store, ttl_s=60)
    if store == "memory":
        assert code_of(pool.call_in, "ann", "get") == "SESSION_LOST"
    else:
        assert pool.call_in("ann", "get") == {"a": 1}
        # What is in the file was stored just now.
        assert pool.call_in("old", "get") == {"a": 1}
    assert pool.call("tell") == []


def test_what_a_pool_left_in_the_file_expires_in_the_next_one(tmp_path, sqlite):
    with WorkerPool(tmp_path) as before:
        start(before, sqlite)
        before.call_in("ann", "put", {"a": 1})
    with WorkerPool(tmp_path) as pool:
        start(pool, sqlite, ttl_s=0.2)
        wait_until(lambda: pool.call("tell") == [["end", "ann", {"a": 1}]], "the end of ann")
        assert pool.call_in("ann", "get") == {}


def test_a_worker_counts_its_calls_and_their_service_time(pool):
    start(pool, "memory")
    for _ in range(20):
        pool.call("untouched")
    code_of(pool.call, "no_such_method")
    code_of(pool.call, "put", {})  # ctx.session is None
    ended, total_ns, latency = pool.harness.service(0)
    assert sum(ended) == sum(latency) == 22
    assert (ended[0], ended[2], ended[3]) == (20, 1, 1)
    assert total_ns < 20e9
