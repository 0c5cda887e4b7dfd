"""What ingest holds in memory stays within its bounds."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import attrs

from relayminer.miner.appetite import FIRST_ENTRY_BYTES, RECOVERIES, Appetite
from relayminer.miner.metrics import MinerMetrics
from relayminer.miner.tries import OpenTries
from relayminer.smst import Trie
from relayminer.state.log_reader import LogEntry
from relayminer.telemetry.metrics import Metrics
from tests.miner.harness import session_ids

if TYPE_CHECKING:
    from tests.miner.harness import Rig

A, B = session_ids(2)


def trie_of(leaves: int) -> Trie:
    """A stored trie with so many leaves."""
    trie = Trie()
    for number in range(leaves):
        trie.update(sha256(b"%d" % number).digest(), b"a relay", 1)
    trie.commit()
    return trie


def test_open_tries_are_bounded_by_their_leaves() -> None:
    """The least recently used tries go first, and one that is too large alone is not kept."""
    metrics = MinerMetrics(Metrics())
    tries = OpenTries(100, metrics)
    for name in ("a", "b", "c"):
        tries.keep("supplier", name, trie_of(30))
    assert tries.get("supplier", "a") is not None
    tries.keep("supplier", "d", trie_of(30))
    assert tries.get("supplier", "b") is None
    assert tries.get("supplier", "a") is not None
    assert metrics.open_leaves.value == 90
    tries.keep("supplier", "a", trie_of(101))
    assert tries.get("supplier", "a") is None
    assert metrics.open_leaves.value == 0
    assert metrics.open_tries.value == 0


def test_a_trie_that_was_loaded_in_part_counts_in_part() -> None:
    """Only what is in memory is counted: of a resumed trie that is next to nothing."""
    trie = Trie()
    stored = {}
    for number in range(500):
        trie.update(sha256(b"%d" % number).digest(), b"a relay", 1)
    stored = trie.commit().writes
    assert trie.leaves_in_memory == 500
    resumed = Trie(trie.root, stored.get)
    assert resumed.leaves_in_memory == 0
    resumed.update(sha256(b"another").digest(), b"a relay", 1)
    assert 1 < resumed.leaves_in_memory < 30


def test_reads_follow_the_size_of_entries() -> None:
    """Large entries are read few at a time, from the very first read on; small ones in batches."""
    appetite = Appetite(bytes_max=1 << 20, entries_max=500)
    assert appetite.entries(streams=1) == (1 << 20) // FIRST_ENTRY_BYTES
    for _ in range(100):
        appetite.learn([LogEntry(b"1-0", bytes(1000))])
    assert appetite.entries(streams=1) == 500
    assert appetite.entries(streams=10) == 104
    appetite.learn([LogEntry(b"2-0", bytes(1 << 20))])
    assert appetite.entries(streams=10) == 1
    assert appetite.entries(streams=RECOVERIES) == 1


async def test_tries_that_are_not_kept_are_read_back(mine: Rig) -> None:
    """With room for next to no leaves every batch loads what it needs, and nothing is lost."""
    mine.settings = attrs.evolve(mine.settings, open_leaves_max=5)
    await mine.log(A, 40)
    await mine.log(B, 40)
    async with mine.mining():
        await mine.counted(A, 40)
        await mine.log(A, 30, first=40)
        await mine.counted(A, 70)
        await mine.counted(B, 40)
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 70, B: 40}
