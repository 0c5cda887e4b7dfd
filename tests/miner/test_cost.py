"""A backlog of relays leaves the other tasks of the process their turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.miner.tries import YIELD_EVERY_RELAYS
from relayminer.smst import Trie
from tests.miner.harness import session_ids

if TYPE_CHECKING:
    import pytest

    from tests.miner.harness import Rig

RELAYS = 4_000


async def test_a_batch_does_not_hold_up_the_loop(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a full log is worked off, no more than a slice of it comes between two turns."""
    counted = longest = 0
    update = Trie.update

    def counting(trie: Trie, key: bytes, value: bytes, weight: int) -> None:
        nonlocal counted
        counted += 1
        update(trie, key, value, weight)

    async def watch() -> None:
        nonlocal longest
        before = 0
        while True:
            longest = max(longest, counted - before)
            before = counted
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(Trie, "update", counting)
    [session] = session_ids(1)
    key = mine.names.stream_key(mine.supplier)
    await mine.redis.pipeline(
        [("XADD", key, "*", "data", mine.relay(session, number)) for number in range(RELAYS)]
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with mine.mining():
            await mine.counted(session, RELAYS)
        nursery.cancel_scope.cancel()
    assert counted >= RELAYS
    # Two batches can each have begun a slice.
    assert longest <= 2 * YIELD_EVERY_RELAYS
