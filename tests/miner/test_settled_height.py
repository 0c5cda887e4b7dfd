"""From which block on a supplier's settlement is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.miner.chain import TestChain
from tests.miner.harness import session_ids, until

if TYPE_CHECKING:
    from tests.miner.chain_feeds import Events
    from tests.miner.harness import Rig

HEIGHT = 30


class AskedChain(TestChain):
    """Remembers from which block on events were asked for."""

    asked: list[int]

    def events(self, from_height: int) -> Events:
        """As the chain's."""
        self.asked.append(from_height)
        return super().events(from_height)


@pytest.mark.parametrize(("stored", "first"), [(20, 21), (33, 34), (5000, 11), (0, 11)])
async def test_where_reading_begins(mine: Rig, stored: int, first: int) -> None:
    """After what is on record, a little ahead of us too; else after the oldest session's end."""
    chain = AskedChain()
    chain.asked = []
    mine.chain = chain
    await mine.log(session_ids(1)[0], 1)
    async with mine.mining():
        await mine.counted(session_ids(1)[0], 1)
    chain.advance(HEIGHT - chain.height)
    key = mine.names.settled_heights_key
    await mine.redis.command("HSET", key, mine.supplier, stored)
    chain.asked.clear()
    async with mine.mining():
        await until(lambda: bool(chain.asked))
    assert chain.asked[0] == first
