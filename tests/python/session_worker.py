"""A worker with sessions, as the tests of sessions want it."""

from __future__ import annotations

from expected_errors import failure_of
from worker_pool import Worker, WorkerPool

SERVICE = """
    import slotring
    from slotring import CallError

    events = []

    @slotring.session_start
    def started(session):
        events.append(["start", session.name])
        if session.name == "refused":
            raise ValueError("no such user")

    @slotring.session_end
    def ended(session):
        events.append(["end", session.name, dict(session)])
        if session.name == "clumsy":
            raise ValueError("cannot say goodbye")

    @slotring.handler
    def put(request, ctx):
        ctx.session.update(request)
        return len(ctx.session)

    @slotring.handler
    def get(request, ctx):
        return None if ctx.session is None else dict(ctx.session)

    @slotring.handler
    def grow(request, ctx):
        ctx.session.setdefault("list", []).append(request)
        return ctx.session["list"]

    @slotring.handler
    def count(request, ctx):
        ctx.session["count"] = ctx.session.get("count", 0) + 1
        return ctx.session["count"]

    @slotring.handler
    def put_and_fail(request, ctx):
        ctx.session.update(request)
        raise RuntimeError("after all")

    @slotring.handler
    def grow_and_fail(request, ctx):
        ctx.session["list"].append(request)
        raise RuntimeError("after all")

    @slotring.handler
    def keep_view(request, ctx):
        ctx.session["view"] = request

    @slotring.handler
    def read_view(request, ctx):
        return bytes(ctx.session["view"])

    @slotring.handler
    def put_and_reply_wrongly(request, ctx):
        ctx.session.update(request)
        return object()

    @slotring.handler
    def put_object(request, ctx):
        ctx.session["object"] = {"deep": [0, object()]}

    @slotring.handler
    def catch(request, ctx):
        try:
            return dict(ctx.session)
        except Exception as error:
            return type(error).__name__

    @slotring.handler
    def untouched(request):
        return "served"

    kept = []

    @slotring.handler
    def keep_session(request, ctx):
        kept.append(ctx.session)
        return [ctx.session.name, ctx.session.created, repr(ctx.session)]

    @slotring.handler
    def use_kept(request):
        return dict(kept[-1])

    @slotring.handler
    def tell(request):
        return events
"""


def start(
    pool: WorkerPool, store: str, *, source: str = SERVICE, seat: int = 0, ttl_s: float = 0
) -> Worker:
    return pool.start_worker(
        source, "--session-store", store, "--session-ttl-s", str(ttl_s), seat=seat
    )


def code_of(call, *arguments, **options) -> str:
    return failure_of(call, *arguments, **options).code
