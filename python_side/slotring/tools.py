"""Functions of the caller that a handler calls while its own call runs: ``ctx.tools``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slotring import streams
from slotring._native import Channel
from slotring.coroutines import awaits


class Tool:
    """One tool of the caller. In a coroutine handler: ``await tool(argument)``."""

    def __init__(self, channel: Channel, name: str, awaited: bool) -> None:
        self._channel = channel
        self._name = name
        self._awaited = awaited

    def __call__(self, argument: object = None, /, *, timeout: float | None = None) -> Any:
        """Calls it with what a handler may return; returns what a handler may get, or raises
        CallError: the tool's own error, DEADLINE_EXCEEDED after ``timeout`` seconds or at the
        call's deadline, CANCELLED when the caller has gone, STREAM_REQUIRED when it has no tools.
        """
        if self._awaited:
            return self._ask_and_wait(argument, timeout)
        channel = self._channel
        return channel.answer(channel.ask(self._name, argument, timeout))

    async def _ask_and_wait(self, argument: object, timeout: float | None) -> Any:
        channel = self._channel
        question = channel.ask(self._name, argument, timeout)
        while not channel.ready(question):
            await streams.wait(channel, question)
        return channel.answer(question)

    def __repr__(self) -> str:
        return f"<tool {self._name!r} of the caller>"


class Tools:
    """The caller's tools: ``tools.search(argument)``, or ``tools["search"](argument)``.

    There is one for any name; whether the caller has it shows when it is called.
    """

    def __init__(self, channel: Channel, handler: Callable[..., Any] | None) -> None:
        self._channel = channel
        self._awaited = handler is not None and awaits(handler)

    def __getattr__(self, name: str) -> Tool:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Tool:
        return Tool(self._channel, name, self._awaited)
