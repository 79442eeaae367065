"""The profile ``threads``: several threads serve one worker's slots.

The main thread serves none: it attends to signals, and to sessions that nobody uses any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time

from slotring._native import Worker
from slotring.errors import Terminated
from slotring.worker_sessions import WorkerSessions

# How long threads may take to end their handlers when the worker was told to end (SIGTERM).
_PATIENCE_S = 1.0


class ThreadsServer:
    """Serves a shared seat from ``count`` threads. serve() is for the main thread."""

    def __init__(self, worker: Worker, count: int, sessions: WorkerSessions) -> None:
        self._worker = worker
        self._sessions = sessions
        self._alarm_at: float | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"slotring-serve-{n}", daemon=True)
            for n in range(count)
        ]
        self._serving = count
        self._lock = threading.Lock()
        sessions.set_alarm = self._set_alarm

    def cancel(self, key: int) -> bool:
        """Handlers on threads look at ``ctx.cancelled``."""
        return True

    def serve(self) -> None:
        """Returns when all threads have left. Raises what a handler of signals raises."""
        self._start()
        try:
            while True:
                seen = self._worker.interrupts
                if self._serving == 0:
                    break
                self._worker.attend(seen, self._alarm_in_s())
                self._run_due_alarm()
        except Terminated:
            self._end_threads()
            raise
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        if self._threads[0].ident is not None:  # a handler of signals has raised meanwhile
            return
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Terminated):  # it came between two calls
            self._worker.serve_beside_others()
        with self._lock:
            self._serving -= 1
        self._worker.nudge()

    def _end_threads(self) -> None:
        for thread in self._threads:
            if thread.is_alive() and thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(Terminated)
                )
        end = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _set_alarm(self, after_s: float | None) -> None:
        self._alarm_at = None if after_s is None else time.monotonic() + after_s
        self._worker.nudge()

    def _alarm_in_s(self) -> float | None:
        at = self._alarm_at
        return None if at is None else max(0.0, at - time.monotonic())

    def _run_due_alarm(self) -> None:
        at = self._alarm_at
        if at is not None and time.monotonic() >= at:
            self._alarm_at = None
            self._sessions.alarm()
