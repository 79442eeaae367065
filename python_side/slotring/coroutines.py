"""Running coroutine functions as plain calls, and cancelling the one whose call was cancelled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Coroutines:
    """The loop on which coroutine functions run, one at a time. Made when there is one.

    ``running()`` names the call that the worker runs, as ``_native.Worker.running`` does.
    """

    def __init__(
        self, tear_downs: contextlib.ExitStack, running: Callable[[], int] = lambda: 0
    ) -> None:
        self._tear_downs = tear_downs
        self._running = running
        self._loop: Any = None
        self._task: Any = None  # the one that runs

    def plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` itself, or one that runs the coroutines of it to their end."""
        import inspect

        if not inspect.iscoroutinefunction(function):
            return function
        loop = self._start()

        def run_to_end(*arguments: Any) -> Any:
            self._task = task = loop.create_task(function(*arguments))
            try:
                return loop.run_until_complete(task)
            finally:
                self._task = None

        return run_to_end

    def cancel(self, call: int) -> bool:
        """Has ``call`` cancelled at its next await. From any thread.

        False when it runs no coroutine, or not yet.
        """
        if self._task is None or self._running() == 0:  # 0: that of a setting, see settings.h
            return False
        # A loop that was closed meanwhile runs nothing that could be cancelled.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel_now, call)
        return True

    def _cancel_now(self, call: int) -> None:
        # On the loop's thread, where calls begin and end: this one is over, or runs.
        if self._task is not None and self._running() == call:
            self._task.cancel()

    def _start(self) -> Any:
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._tear_downs.callback(self._close)
        return self._loop

    def _close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
