"""Streams of coroutine handlers: items that they yield, and items that their caller sends.

Those of plain handlers are native (python_side/native/stream.cc).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

from slotring._native import Channel

# What Channel.ready() and wait() take, beside a question's number.
ITEM = 0
ROOM = -1


async def _wait_in_place(channel: Channel, what: int) -> None:
    channel.wait(what)


#: How a coroutine waits until ``channel.ready(what)``. In place where one call runs at a time; a
#: loop that serves several replaces it.
wait: Callable[[Channel, int], Awaitable[None]] = _wait_in_place


async def next_item(channel: Channel) -> Any:
    """The next item that the caller sends; StopAsyncIteration after the last."""
    while not channel.ready(ITEM):
        await wait(channel, ITEM)
    try:
        return next(channel)  # waits no more
    except StopIteration:
        raise StopAsyncIteration from None


async def send(channel: Channel, item: object) -> None:
    """Sends one item of the stream, when there is room for it."""
    while not channel.try_send(item):
        await wait(channel, ROOM)


def driving(
    function: Callable[..., Any], wants_context: bool
) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    """The coroutine function, of a request and its context, that drives what a generator function
    makes of them."""

    def start(request: Any, ctx: Any) -> Coroutine[Any, Any, Any]:
        items = function(request, ctx) if wants_context else function(request)
        return _drive(items, ctx._outgoing)

    return start


async def _drive(
    items: AsyncGenerator[Any, None] | Generator[Any, None, Any], channel: Channel
) -> Any:
    """Sends what a generator yields; the final reply. Closes it when the caller wants no more."""
    if isinstance(items, AsyncGenerator):
        return await _drive_async(items, channel)
    try:
        channel.check_reader()
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            await send(channel, item)
    finally:
        items.close()


async def _drive_async(items: AsyncGenerator[Any, None], channel: Channel) -> None:
    try:
        channel.check_reader()
        async for item in items:
            await send(channel, item)
    finally:
        await items.aclose()
