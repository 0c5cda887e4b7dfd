"""Pub/sub: messages of some channels over a connection of their own, which finds its way back.

The server keeps nothing for a subscriber that is away, so every (re)subscription begins with a
`Gap`: whoever keeps something that messages invalidate must reload it then.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from relayminer.state.background import background
from relayminer.state.connection import GONE, RawConnection, checked, connect
from relayminer.state.errors import StoreAwayError, StoreReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from relayminer.state.places import Place

MAX_BUFFERED: Final = 1000
PING_SECONDS: Final = 3.0


@attrs.frozen
class Message:
    """What somebody published."""

    channel: str
    payload: bytes


@attrs.frozen
class Gap:
    """Messages may have been missed before this point; the first event is always one."""


class Subscription:
    """An async iterator of `Message` and `Gap`, bounded: when full, messages become one `Gap`."""

    def __init__(self, max_buffered: int = MAX_BUFFERED) -> None:
        self._sender, self._receiver = trio.open_memory_channel[Message | Gap](max_buffered)
        self._lost = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message | Gap:
        if self._lost and not self._receiver.statistics().current_buffer_used:
            self._lost = False
            return Gap()
        return await self._receiver.receive()

    def deliver(self, event: Message | Gap) -> None:
        """Adds an event, or remembers that one was lost."""
        try:
            self._sender.send_nowait(event)
        except trio.WouldBlock:
            self._lost = True


@asynccontextmanager
async def open_subscription(
    place: Place,
    channels: Sequence[str],
    *,
    timeout_seconds: float,
    backoff_seconds: Callable[[int], float],
) -> AsyncIterator[Subscription]:
    """A subscription to `channels` that lasts as long as the block; never raises by itself."""
    subscription = Subscription()
    work = partial(
        _stay_subscribed, place, channels, subscription, timeout_seconds, backoff_seconds
    )
    async with background(work):
        yield subscription


async def _stay_subscribed(
    place: Place,
    channels: Sequence[str],
    subscription: Subscription,
    timeout_seconds: float,
    backoff_seconds: Callable[[int], float],
) -> None:
    attempt = 0
    while True:
        try:
            target = await place.locate()
            connection = await connect(target, timeout_seconds=timeout_seconds)
        except StoreAwayError:
            await trio.sleep(backoff_seconds(attempt))
            attempt += 1
            continue
        try:
            await connection.send("SUBSCRIBE", *channels)
            for _ in channels:
                with trio.fail_after(timeout_seconds):
                    checked(await connection.receive())
            subscription.deliver(Gap())
            while place.is_current(target):
                await _receive(connection, subscription, timeout_seconds)
                attempt = 0
        except (*GONE, trio.TooSlowError, StoreReplyError):
            await trio.sleep(backoff_seconds(attempt))
            attempt += 1
        finally:
            await connection.aclose()


async def _receive(
    connection: RawConnection, subscription: Subscription, timeout_seconds: float
) -> None:
    """Delivers one message; asks for a sign of life after silence and gives up without one."""
    reply: Any = None
    with trio.move_on_after(PING_SECONDS):
        reply = await connection.receive()
    if reply is None:
        await connection.send("PING")
        with trio.fail_after(timeout_seconds):
            reply = await connection.receive()
    checked(reply)
    if isinstance(reply, list) and reply[0] == b"message":
        subscription.deliver(Message(reply[1].decode(), reply[2]))
