"""The profile ``asyncio``: one loop serves all slots of a worker at once.

Coroutine handlers run as tasks. Plain handlers run on the loop, between the steps of these, which
they hold up. A thread without the GIL sleeps on the worker's bell, and tells the loop by a
descriptor.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from slotring import streams
from slotring._native import Call, Channel, Worker
from slotring.batches import BatchHandler
from slotring.coroutines import coroutine_of
from slotring.errors import Terminated
from slotring.worker_sessions import WorkerSessions

# While it drains, a worker looks this often whether claimed slots were given back: nobody rings
# for that.
_DRAIN_LOOK_S = 0.005


class LoopServer:
    """Serves a shared seat from one loop. All on the loop's thread, but for cancel()."""

    def __init__(
        self, worker: Worker, loop: asyncio.AbstractEventLoop, sessions: WorkerSessions
    ) -> None:
        self._worker = worker
        self._loop = loop
        self._sessions = sessions
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by key, but for the method
        self._running = 0  # calls that were taken and have not ended, batched ones too
        self._batches: dict[BatchHandler, tuple[list[Call], asyncio.TimerHandle]] = {}
        self._lane_waits: set[asyncio.Future[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._look_is_due = False
        self._drain_look_is_due = False
        self._left: asyncio.Future[None] | None = None
        sessions.set_alarm = self._set_alarm

    def serve(self) -> None:
        """Serves until the worker is told to leave. Raises what a handler of signals raises."""
        loop, worker = self._loop, self._worker
        listener = threading.Thread(target=worker.listen, name="slotring-listen", daemon=True)
        listener.start()
        streams.wait = self._wait_for_caller
        loop.add_reader(worker.event_fd, self._hear)
        try:
            self._left = loop.create_future()
            loop.call_soon(self._hear)
            loop.run_until_complete(self._left)
        except Terminated:
            self._end_tasks()
            raise
        finally:
            loop.remove_reader(worker.event_fd)
            worker.end_listening()
            listener.join()

    def cancel(self, key: int) -> bool:
        """Has the task of an abandoned call cancelled. From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._cancel_now, key >> 16)
        except RuntimeError:  # the loop was closed meanwhile
            pass
        return True

    def _cancel_now(self, key: int) -> None:
        task = self._tasks.get(key)
        if task is not None:
            # Behind its first step, before which a cancelled task would not run at all, and so not
            # end its call.
            self._loop.call_soon(task.cancel)

    def _end_tasks(self) -> None:
        """The worker was told to end (SIGTERM): so are its calls."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            # A list: some have ended, and are in the dict no more, when wait() looks.
            self._loop.run_until_complete(asyncio.wait(list(self._tasks.values())))

    def _hear(self) -> None:
        self._worker.heard()
        for future in self._lane_waits:
            if not future.done():
                future.set_result(None)
        self._look()

    def _look_soon(self) -> None:
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Takes what is requested. Leaves where that is nothing, and it may."""
        self._look_is_due = False
        self._take()
        self._leave_if_done()

    def _take(self) -> None:
        while not self._worker.stopped:
            call = self._worker.next_call()
            if call is None:
                return
            self._running += 1
            self._start(call)

    def _start(self, call: Call) -> None:
        handler = call.handler
        if isinstance(handler, BatchHandler):
            self._add_to_batch(handler, call)
            return
        start = coroutine_of(handler)
        if start is None and inspect.isgeneratorfunction(handler):
            start = streams.driving(handler, call.wants_context)
            task = self._loop.create_task(self._serve(call, start, with_context=True))
        elif start is not None:
            task = self._loop.create_task(self._serve(call, start, call.wants_context))
        else:
            self._loop.call_soon(self._run, call)
            return
        self._tasks[call.key >> 16] = task

    def _run(self, call: Call) -> None:
        try:
            call.run()
        finally:
            self._ended(1)

    async def _serve(
        self, call: Call, start: Callable[..., Coroutine[Any, Any, Any]], with_context: bool
    ) -> None:
        key = call.key >> 16
        try:
            if with_context:
                result = await start(call.argument, call.context)
            else:
                result = await start(call.argument)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they have views of the request
            call.fail(error)
        else:
            call.reply(result)
        finally:
            del self._tasks[key]
            self._ended(1)

    def _ended(self, calls: int) -> None:
        self._running -= calls
        if self._worker.pending:
            self._look_soon()
        elif self._worker.draining or self._worker.stopped:
            self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._worker.stopped:
            # By SIGTERM, whose exception may have ended one call only, not the loop.
            for task in self._tasks.values():
                self._loop.call_soon(task.cancel)
        if self._running or not self._worker.may_leave:
            if self._worker.draining and not self._running and not self._drain_look_is_due:
                self._drain_look_is_due = True
                self._loop.call_later(_DRAIN_LOOK_S, self._look_while_draining)
        elif self._left is not None and not self._left.done():
            self._left.set_result(None)

    def _look_while_draining(self) -> None:
        self._drain_look_is_due = False
        self._look()

    def _add_to_batch(self, handler: BatchHandler, call: Call) -> None:
        if not handler.admits(call):
            self._ended(1)
            return
        wait_s = handler.waits_s(call)
        calls, timer = self._batches.pop(handler, ([], None))
        calls.append(call)
        end = self._loop.time() + wait_s
        if timer is not None:
            end = min(end, timer.when())
            timer.cancel()
        if len(calls) >= handler.batch.max_size:
            self._loop.create_task(self._answer(handler, calls))
            return
        self._batches[handler] = (calls, self._loop.call_at(end, self._close_batch, handler))

    def _close_batch(self, handler: BatchHandler) -> None:
        calls, _ = self._batches.pop(handler)
        self._loop.create_task(self._answer(handler, calls))

    async def _answer(self, handler: BatchHandler, calls: list[Call]) -> None:
        count = len(calls)
        try:
            await handler.answer_later(calls)
        finally:
            self._ended(count)

    async def _wait_for_caller(self, channel: Channel, what: int) -> None:
        if asyncio.get_running_loop() is not self._loop:
            # A call made by a tool, inside another one: the worker's loop stands still meanwhile.
            channel.wait(what)
            return
        future = self._loop.create_future()
        self._lane_waits.add(future)
        try:
            latest_s = channel.announce(what)
            if not channel.ready(what):
                await asyncio.wait([future], timeout=latest_s)
        finally:
            self._lane_waits.discard(future)

    def _set_alarm(self, after_s: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if after_s is None else self._loop.call_later(after_s, self._ring_alarm)

    def _ring_alarm(self) -> None:
        self._alarm = None
        self._sessions.alarm()
