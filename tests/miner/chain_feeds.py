"""How readers follow the chain of the miner's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.miner.chain import Block, TestChain


class Feed:
    """A subscription."""

    def __init__(self, chain: TestChain) -> None:
        self._chain = chain
        self._seen = 0
        self._set_backs = chain.set_backs

    async def receive(self) -> Block:
        """The newest block not seen yet; a lower one after the chain was set back."""
        chain = self._chain
        while chain.away or (self._set_backs == chain.set_backs and chain.height <= self._seen):
            await chain.wait_changed()
        self._set_backs = self._chain.set_backs
        block = self._chain.latest
        self._seen = block.height
        await trio.lowlevel.checkpoint()
        return block


class Events:
    """Events of every block."""

    def __init__(self, chain: TestChain, height: int) -> None:
        self._chain = chain
        self._height = height

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> tuple[int, Sequence[Any]]:
        height = self._height
        await trio.lowlevel.checkpoint()
        await self._chain.wait_for(height)
        self._height += 1
        return height, self._chain.block_events.get(height, [])
