"""Transactions that wait for a block, oldest first, and those seen lately.

Source: cometbft: mempool/clist_mempool.go. A transaction stays in the cache while it waits and
after a block took it; one that CheckTx or the block refused may come again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE_SIZE = 10_000
BLOCK_BYTES_MAX = 22_020_096
TX_BYTES_MAX = 1_048_576


@frozen(slots=True)
class Waiting:
    """A transaction in the mempool, and the height from which a block may take it."""

    tx: bytes
    earliest_height: int


class Mempool:
    """A bounded queue of transactions with a cache of hashes."""

    def __init__(self, size: int, cache_size: int = CACHE_SIZE) -> None:
        self._size = size
        self._cache_size = cache_size
        self._waiting: OrderedDict[bytes, Waiting] = OrderedDict()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many transactions wait, and how many bytes they have together."""
        return len(self._waiting), sum(len(each.tx) for each in self._waiting.values())

    @property
    def full(self) -> bool:
        """Whether no further transaction fits."""
        return len(self._waiting) >= self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter([each.tx for each in self._waiting.values()])

    def saw(self, digest: bytes) -> bool:
        """Whether the transaction is in the cache."""
        return digest in self._seen

    def remember(self, digest: bytes) -> None:
        """Put a transaction's hash into the cache; the oldest hash leaves a full one."""
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        while len(self._seen) > self._cache_size:
            self._seen.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Let a refused transaction come again."""
        self._seen.pop(digest, None)

    def add(self, digest: bytes, tx: bytes, earliest_height: int = 0) -> None:
        """Let a checked transaction wait."""
        self._waiting[digest] = Waiting(tx, earliest_height)

    def remove(self, digest: bytes) -> None:
        """Take a transaction out; nothing happens when it does not wait."""
        self._waiting.pop(digest, None)

    def reap(
        self, height: int, shuffle: Callable[[list[bytes]], None] | None = None
    ) -> tuple[bytes, ...]:
        """The transactions for the block at `height`: oldest first, as many as its bytes allow."""
        ready = [each.tx for each in self._waiting.values() if each.earliest_height <= height]
        if shuffle is not None:
            shuffle(ready)
        chosen: list[bytes] = []
        total = 0
        for tx in ready:
            total += len(tx)
            if total > BLOCK_BYTES_MAX:
                break
            chosen.append(tx)
        return tuple(chosen)
