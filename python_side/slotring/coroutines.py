"""Running coroutine functions as plain calls, and cancelling the one whose call was cancelled.

An asynchronous generator's call runs to its end as one coroutine, which sends what it yields.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


_AWAITS = "__slotring_awaits__"


def awaits(handler: Callable[..., Any]) -> bool:
    """Whether a handler runs as a coroutine, and so can wait for what it awaits."""
    import inspect

    return (
        getattr(handler, _AWAITS, False)
        or inspect.iscoroutinefunction(handler)
        or inspect.isasyncgenfunction(handler)
    )


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

        def run_to_end(*arguments: Any) -> Any:
            return self._run(function(*arguments))

        setattr(run_to_end, _AWAITS, True)
        self._start()
        return run_to_end

    def streaming(self, function: Callable[..., Any], wants_context: bool) -> Callable[..., Any]:
        """One, called with a context too, that sends what an asynchronous generator yields."""

        def run_to_end(request: Any, ctx: Any) -> Any:
            items = function(request, ctx) if wants_context else function(request)
            return self._run(streams.drive(items, ctx._outgoing))

        from slotring import streams

        setattr(run_to_end, _AWAITS, True)
        self._start()
        return run_to_end

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop = self._start()
        if loop.is_running():
            return _run_inside(loop, coroutine)
        self._task = task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        finally:
            self._task = None

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
        # The name that Worker.running has for it says its method, too.
        if self._task is not None and self._running() >> 16 == call >> 16:
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


def _run_inside(running: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end on this thread, where the loop ``running`` runs another.

    That one waits, meanwhile, in native code: a tool that it asked has called this worker.
    """
    from asyncio import events, new_event_loop

    loop = new_event_loop()
    events._set_running_loop(None)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        events._set_running_loop(running)
        loop.close()
