"""Handlers that take several calls at once: ``@slotring.handler(batch=slotring.Batch(32, 0.005))``.

The first call of a batch waits at most ``max_wait_s`` for others of its method, and not longer than
half of the time that any of them has left; calls of other methods go on meanwhile, or come next
where one thread serves.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from slotring._native import Call, Worker
from slotring.errors import CallError, ErrorCode


class Batch(NamedTuple):
    """How many calls make a batch at most, and how long the first waits for the others: 0 to 60
    seconds."""

    max_size: int = 32
    max_wait_s: float = 0.005

    def check(self) -> None:
        if isinstance(self.max_size, bool) or not isinstance(self.max_size, int):
            raise TypeError(f"a batch's max_size is a number of calls: {self.max_size!r}")
        if self.max_size < 1:
            raise ValueError(f"a batch's max_size is at least 1: {self.max_size}")
        if not 0 <= self.max_wait_s <= 60:
            raise ValueError(f"a batch's max_wait_s is 0 to 60 seconds: {self.max_wait_s!r}")


class BatchHandler:
    """Collects the calls of one method, and answers them by one call of ``function``.

    ``run`` runs a coroutine to its end, for a ``function`` that is one.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[list[Any]], Any],
        batch: Batch,
        run: Callable[[Coroutine[Any, Any, Any]], Any] | None,
    ) -> None:
        self.name = name
        self.batch = batch
        self._function = function
        self._run = run
        self._worker: Worker | None = None
        self._beside_others = False
        self._full = threading.Condition()
        self._open: list[Call] | None = None  # the batch that collects

    def bind(self, worker: Worker, beside_others: bool) -> None:
        """Before the first call: who serves, and whether on several threads."""
        self._worker = worker
        self._beside_others = beside_others

    def __call__(self, call: Call) -> None:
        """Takes a call, and more; ends them all, or leaves it to the thread that collects."""
        if not self.admits(call):
            return
        if self._beside_others:
            calls = self._collect_beside_others(call)
        else:
            calls = self._collect(call)
        if calls:
            self.answer(calls)

    def admits(self, call: Call) -> bool:
        """False when the call cannot be one of a batch, and has ended."""
        if call.session is None and not call.attended:
            return True
        misfit = "neither stream nor bring tools" if call.session is None else "have no session"
        call.fail(
            CallError(
                f"{self.name!r} takes batches: its calls {misfit}", ErrorCode.INVALID_ARGUMENT
            )
        )
        return False

    def waits_s(self, call: Call) -> float:
        """How long it may wait for others: the rest of its time is for the handler."""
        left = call.context.remaining_s
        return self.batch.max_wait_s if left is None else min(self.batch.max_wait_s, left / 2)

    def answer(self, calls: list[Call]) -> None:
        """Runs the handler, and ends the calls."""
        try:
            replies = self._function([call.argument for call in calls])
            if self._run is not None:
                replies = self._run(replies)
        except BaseException as error:
            self.fail(calls, error)
        else:
            self.end(calls, replies)

    async def answer_later(self, calls: list[Call]) -> None:
        """The same, on a loop."""
        try:
            replies = self._function([call.argument for call in calls])
            if self._run is not None:
                replies = await replies
        except BaseException as error:
            self.fail(calls, error)
        else:
            self.end(calls, replies)

    def end(self, calls: list[Call], replies: Any) -> None:
        try:
            count = len(replies)
            if isinstance(replies, (str, bytes, dict)):
                raise TypeError
        except TypeError:
            kind = type(replies).__name__
            self._refuse(calls, f"returned a {kind} in place of a list of {len(calls)} replies")
            return
        if count != len(calls):
            self._refuse(calls, f"returned {count} replies to {len(calls)} requests")
            return
        for call, reply in zip(calls, replies):
            if isinstance(reply, BaseException):
                call.fail(reply)
            else:
                call.reply(reply)

    def fail(self, calls: list[Call], error: BaseException) -> None:
        traceback.clear_frames(error.__traceback__)  # they have views of the requests
        for call in calls:
            call.fail(error)

    def _refuse(self, calls: list[Call], what: str) -> None:
        error = CallError(f"the batch handler {self.name!r} {what}", ErrorCode.HANDLER_RAISED)
        for call in calls:
            call.fail(error)

    def _take_more(self, calls: list[Call], end: float) -> float:
        """Takes what is requested; until when the batch may wait."""
        assert self._worker is not None
        while len(calls) < self.batch.max_size:
            call = self._worker.next_call(self.name)
            if call is None:
                break
            if call.method != self.name:  # changed after the first look at it
                call.run()
            elif self.admits(call):
                end = min(end, time.monotonic() + self.waits_s(call))
                calls.append(call)
        return end

    def _collect(self, first: Call) -> list[Call]:
        assert self._worker is not None
        calls = [first]
        end = time.monotonic() + self.waits_s(first)
        while True:
            end = self._take_more(calls, end)
            left_s = end - time.monotonic()
            if len(calls) >= self.batch.max_size or left_s <= 0 or self._worker.stopped:
                break
            self._worker.wait_for_call(left_s)
        self._worker.reconsider()
        return calls

    def _collect_beside_others(self, first: Call) -> list[Call]:
        """Nothing for the thread whose call another's batch takes."""
        assert self._worker is not None
        most = self.batch.max_size
        with self._full:
            if self._open is not None and len(self._open) < most:
                self._open.append(first)
                if len(self._open) >= most:
                    self._full.notify_all()
                return []
            calls = self._open = [first]
        end = time.monotonic() + self.waits_s(first)
        end = self._take_more(calls, end)
        self._worker.reconsider()
        with self._full:
            while len(calls) < most and (left_s := end - time.monotonic()) > 0:
                self._full.wait(left_s)
            # What came while all threads were busy.
            self._take_more(calls, end)
            if self._open is calls:
                self._open = None
        self._worker.reconsider()
        return calls
