"""Tries in memory: loaded lazily, bounded in number, dropped when a checkpoint fails.

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
    from relayminer.telemetry.metrics import Gauge

OPEN_TRIES_MAX: Final = 2048
"""Tries that one process holds in memory."""
YIELD_EVERY_RELAYS: Final = 16
"""Updates between two turns of the loop: about a millisecond, so nobody waits for a batch."""
MAX_FETCHES: Final = 1024
"""Rounds of fetching missing nodes for one operation: a path has at most 256 levels."""

T = TypeVar("T")

LoadNodes = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, bytes]]]
"""Digests (48 bytes) to preimages; digests that the store does not hold are left out."""


class OpenTries:
    """The tries in memory of all suppliers of a process, least recently used dropped first."""

    def __init__(self, open_max: int = OPEN_TRIES_MAX, gauge: Gauge | None = None) -> None:
        self._tries: OrderedDict[tuple[str, str], Trie] = OrderedDict()
        self._open_max = open_max
        self._gauge = gauge

    def __len__(self) -> int:
        return len(self._tries)

    def get(self, supplier: str, session_id: str) -> Trie | None:
        """The working copy of a session's trie, if there is one."""
        trie = self._tries.get((supplier, session_id))
        if trie is not None:
            self._tries.move_to_end((supplier, session_id))
        return trie

    def keep(self, supplier: str, session_id: str, trie: Trie) -> None:
        """Hold `trie` as the working copy; it equals what is durable."""
        self._tries[supplier, session_id] = trie
        self._tries.move_to_end((supplier, session_id))
        while len(self._tries) > self._open_max:
            self._tries.popitem(last=False)
        self._show()

    def drop(self, supplier: str, session_id: str) -> None:
        """Forget the working copy."""
        self._tries.pop((supplier, session_id), None)
        self._show()

    def drop_supplier(self, supplier: str) -> None:
        """Forget everything of a supplier that is no longer ours."""
        for key in [key for key in self._tries if key[0] == supplier]:
            del self._tries[key]
        self._show()

    def _show(self) -> None:
        if self._gauge is not None:
            self._gauge.value = len(self._tries)


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
