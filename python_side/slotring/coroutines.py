"""Running coroutine functions as plain calls, and cancelling the one whose call was cancelled.

An asynchronous generator's call runs to its end as one coroutine, which sends what it yields.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any


_AWAITS = "__slotring_awaits__"
_COROUTINE = "__slotring_coroutine__"


def coroutine_of(handler: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]] | None:
    """What makes the coroutine that a handler runs to its end, for a loop; None for a plain one."""
    return getattr(handler, _COROUTINE, None)


def awaits(handler: Callable[..., Any]) -> bool:
    """Whether a handler runs as a coroutine, and so can wait for what it awaits."""
    import inspect

    return (
        getattr(handler, _AWAITS, False)
        or inspect.iscoroutinefunction(handler)
        or inspect.isasyncgenfunction(handler)
    )


def drop(result: Any) -> str | None:
    """What ``result`` is if nothing of it has run, and it is closed; None for what is a result."""
    from types import AsyncGeneratorType, CoroutineType, GeneratorType

    if isinstance(result, (CoroutineType, GeneratorType)):
        result.close()
        return "a coroutine" if isinstance(result, CoroutineType) else "a generator"
    # One that was not started has nothing to be closed.
    return "an asynchronous generator" if isinstance(result, AsyncGeneratorType) else None


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
        self._beside_others = False

    def serve_beside_others(self) -> None:
        """Each thread that serves runs coroutines on a loop of its own."""
        self._beside_others = True

    @property
    def loop(self) -> Any:
        """Its event loop, made when it is first wanted."""
        return self._start()

    def plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` itself, or one that runs the coroutines of it to their end."""
        import inspect

        return self._running_to_end(function) if inspect.iscoroutinefunction(function) else function

    def streaming(self, function: Callable[..., Any], wants_context: bool) -> Callable[..., Any]:
        """One, called with a context too, that sends what an asynchronous generator yields."""
        from slotring import streams

        return self._running_to_end(streams.driving(function, wants_context))

    def run_shielded(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs what no cancelled call cancels: it is of several."""
        if self._beside_others:
            return _run_alone(coroutine)
        return self._start().run_until_complete(coroutine)

    def _running_to_end(
        self, start: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Any]:
        def run_to_end(*arguments: Any) -> Any:
            return self._run(start(*arguments))

        setattr(run_to_end, _AWAITS, True)
        setattr(run_to_end, _COROUTINE, start)
        self._start()
        return run_to_end

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._beside_others:
            return _run_alone(coroutine)
        loop = self._start()
        if loop.is_running():
            return _run_inside(coroutine)
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


_of_thread = threading.local()


def _run_alone(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end on this thread's own loop."""
    import asyncio

    if asyncio._get_running_loop() is not None:
        return _run_inside(coroutine)
    loop = getattr(_of_thread, "loop", None)
    if loop is None:
        loop = _of_thread.loop = asyncio.new_event_loop()
    return loop.run_until_complete(coroutine)


def _run_inside(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end on this thread, where some loop runs another.

    That one waits, meanwhile, in native code: a tool that it asked has called this worker.
    """
    from asyncio import events, new_event_loop

    running = events._get_running_loop()  # itself one of these, where calls nest deeper
    loop = new_event_loop()
    events._set_running_loop(None)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        events._set_running_loop(running)
        loop.close()
