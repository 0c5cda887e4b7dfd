"""Tries in memory: loaded lazily, bounded by their leaves, dropped when a checkpoint fails.

What is durable is in the store; a trie here is a working copy that can be made again from the last
durable root at any time. So eviction and failure need no care: drop the copy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from relayminer.miner.errors import TrieUnavailableError
from relayminer.smst import CorruptNodeError, NodeMissingError, Trie

if TYPE_CHECKING:
    from relayminer.miner.entries import Relay
    from relayminer.miner.metrics import MinerMetrics

YIELD_EVERY_RELAYS: Final = 16
"""Updates between two turns of the loop: about a millisecond, so nobody waits for a batch."""
MAX_FETCHES: Final = 1024
"""Rounds of fetching missing nodes for one operation: a path has at most 256 levels."""

T = TypeVar("T")

LoadNodes = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, bytes]]]
"""Digests (48 bytes) to preimages; digests that the store does not hold are left out."""


class OpenTries:
    """The tries in memory of all suppliers of a process, least recently used dropped first.

    Args:
        leaves_max: leaves that they may have together. A trie with more than that is not kept.
        metrics: gets the present figures.
    """

    def __init__(self, leaves_max: int, metrics: MinerMetrics) -> None:
        self._tries: OrderedDict[tuple[str, str], tuple[Trie, int]] = OrderedDict()
        self._leaves_max = leaves_max
        self._leaves = 0
        self._metrics = metrics

    def get(self, supplier: str, session_id: str) -> Trie | None:
        """The working copy of a session's trie, if there is one."""
        held = self._tries.get((supplier, session_id))
        if held is None:
            return None
        self._tries.move_to_end((supplier, session_id))
        return held[0]

    def keep(self, supplier: str, session_id: str, trie: Trie) -> None:
        """Hold `trie` as the working copy; it equals what is durable."""
        self._forget((supplier, session_id))
        leaves = trie.leaves_in_memory
        self._tries[supplier, session_id] = (trie, leaves)
        self._leaves += leaves
        while self._leaves > self._leaves_max:
            self._forget(next(iter(self._tries)))
        self._show()

    def drop(self, supplier: str, session_id: str) -> None:
        """Forget the working copy."""
        self._forget((supplier, session_id))
        self._show()

    def drop_supplier(self, supplier: str) -> None:
        """Forget everything of a supplier that is no longer ours."""
        for key in [key for key in self._tries if key[0] == supplier]:
            self._forget(key)
        self._show()

    def _forget(self, key: tuple[str, str]) -> None:
        held = self._tries.pop(key, None)
        if held is not None:
            self._leaves -= held[1]

    def _show(self) -> None:
        self._metrics.open_tries.value = len(self._tries)
        self._metrics.open_leaves.value = self._leaves


async def add_relays(trie: Trie, relays: Sequence[Relay], load: LoadNodes) -> None:
    """Put relays into a trie, fetching what is not in memory a level at a time for all of them.

    Raises:
        TrieUnavailableError: a node is missing in the store, or is not what its digest says.
    """
    waiting = relays
    for _ in range(MAX_FETCHES):
        missing: set[bytes] = set()
        deferred: list[Relay] = []
        for index, relay in enumerate(waiting):
            try:
                trie.update(relay.key, relay.value, relay.weight)
            except NodeMissingError as error:
                missing.add(error.digest)
                deferred.append(relay)
            except CorruptNodeError as error:
                raise TrieUnavailableError(str(error)) from error
            if index % YIELD_EVERY_RELAYS == YIELD_EVERY_RELAYS - 1:
                await trio.lowlevel.checkpoint()
        if not deferred:
            return
        await _supply(trie, list(missing), load)
        waiting = deferred
    raise TrieUnavailableError("nodes keep missing")


async def with_nodes(trie: Trie, operation: Callable[[], T], load: LoadNodes) -> T:
    """Run `operation` on a trie, fetching the nodes that it misses.

    Raises:
        TrieUnavailableError: as `add_relays`.
    """
    for _ in range(MAX_FETCHES):
        try:
            return operation()
        except NodeMissingError as error:
            await _supply(trie, [error.digest], load)
        except CorruptNodeError as error:
            raise TrieUnavailableError(str(error)) from error
    raise TrieUnavailableError("nodes keep missing")


async def _supply(trie: Trie, digests: Sequence[bytes], load: LoadNodes) -> None:
    nodes = await load(digests)
    for digest in digests:
        preimage = nodes.get(digest)
        if not preimage:
            raise TrieUnavailableError(f"the store has no node {digest.hex()}")
        try:
            trie.supply(digest, preimage)
        except CorruptNodeError as error:
            raise TrieUnavailableError(str(error)) from error
