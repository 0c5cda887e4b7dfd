"""Block events: published by whoever follows the chain, kept for whoever starts between two.

The message is the Go implementation's (state 6.4); the key with the last block is ours.
"""

from __future__ import annotations

import base64
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import structlog

from relayminer.state import gojson
from relayminer.state.errors import StateError, UnreadableValueError
from relayminer.state.fence import load_guarded, run_guarded
from relayminer.state.subscription import Gap

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from relayminer.state.fence import Fence
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.state.subscription import Subscription

PUBLISH: Final = load_guarded("block_publish")

_log = structlog.get_logger("relayminer.state")


@attrs.frozen
class BlockEvent:
    """A new block.

    Attributes:
        height: its height.
        hash: the block id's hash, 32 bytes, or empty when it is not known.
        time_ns: its header's time, nanoseconds since 1970.
    """

    height: int
    hash: bytes
    time_ns: int


def block_event_json(event: BlockEvent) -> bytes:
    """The message."""
    value: dict[str, int | str] = {"height": event.height}
    if event.hash:
        value["hash"] = base64.b64encode(event.hash).decode()
    value["timestamp"] = gojson.format_time(event.time_ns)
    return gojson.dumps(value)


def parse_block_event(data: bytes) -> BlockEvent:
    """From the message; raises UnreadableValueError."""
    value = gojson.loads_object(data)
    try:
        return BlockEvent(
            height=int(value["height"]),
            hash=base64.b64decode(value.get("hash") or ""),
            time_ns=gojson.parse_time(value["timestamp"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a block event: {error}") from error


class BlockEvents:
    """Publishes blocks and listens to them."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names

    async def publish(self, event: BlockEvent, fence: Fence) -> int:
        """Tells everybody; returns how many listened.

        Args:
            event: The block.
            fence: The right to publish: that of who leads.

        Raises:
            FencedError: somebody else leads.
        """
        return int(
            await run_guarded(
                self._redis,
                PUBLISH,
                fence,
                (self._names.last_block_key,),
                (self._names.block_event_channel, block_event_json(event), event.height),
            )
        )

    async def last(self) -> BlockEvent | None:
        """The highest block published so far; raises UnreadableValueError."""
        data = await self._redis.command("GET", self._names.last_block_key)
        return None if data is None else parse_block_event(data)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[BlockEvent]]:
        """Blocks as they are published, beginning with the last one and after each gap.

        Heights may repeat and, with several publishers, fall: consumers compare.
        """
        async with (
            self._redis.subscribe([self._names.block_event_channel]) as subscription,
            aclosing(self._blocks(subscription)) as blocks,
        ):
            yield blocks

    async def _blocks(self, subscription: Subscription) -> AsyncGenerator[BlockEvent, None]:
        async for event in subscription:
            try:
                if isinstance(event, Gap):
                    block = await self.last()
                else:
                    block = parse_block_event(event.payload)
            except StateError as error:
                _log.warning("block_event_unreadable", reason=str(error))
                continue
            if block is not None:
                yield block
