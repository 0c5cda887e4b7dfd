"""The blocks seen lately, and how to tell that the chain has another past than it had.

A chain can be set back: validators roll back a block that halted them, a test network starts over.
What was remembered of the heights that it takes back is wrong then, the hashes above all: they
decide which leaf a proof is about.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from relayminer.chain.errors import ChainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.chain.rpc import Block, NodeStatus

HASHES_KEPT: Final = 512
"""Recent blocks whose hash is remembered."""
WALK_BLOCKS: Final = 32
"""How far back the last common block is looked for."""


class History:
    """Hashes of recent blocks."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[int, bytes] = OrderedDict()

    def get(self, height: int) -> bytes | None:
        """The hash (32 bytes) of a block, if it is remembered."""
        return self._hashes.get(height)

    def remember(self, block: Block) -> None:
        """Keep a block's hash; the lowest goes first, so that what was just asked for stays."""
        self._hashes[block.height] = block.hash
        while len(self._hashes) > HASHES_KEPT:
            del self._hashes[min(height for height in self._hashes if height != block.height)]

    def forget_above(self, height: int) -> None:
        """What was known of higher blocks is of another past."""
        for known in [one for one in self._hashes if one > height]:
            del self._hashes[known]

    def is_contradicted(self, block: Block) -> bool:
        """Whether a block is another one than is remembered, or has another parent."""
        own, parent = self._hashes.get(block.height), self._hashes.get(block.height - 1)
        return (own is not None and own != block.hash) or bool(
            parent is not None and block.parent_hash and parent != block.parent_hash
        )

    async def common_height(self, block: Block, fetch: Callable[[int], Awaitable[Block]]) -> int:
        """The highest block below `block` that both pasts have, as far as that can be found out.

        Looks back `WALK_BLOCKS` at most; a block whose hash is not remembered is no witness, and
        what the node does not answer is taken for not common.
        """
        lowest = max(0, block.height - WALK_BLOCKS)
        for height in range(block.height - 1, lowest, -1):
            known = self._hashes.get(height)
            if known is None:
                continue
            try:
                if (await fetch(height)).hash == known:
                    return height
            except ChainError:
                break
        return lowest


def is_older_chain(status: NodeStatus, latest: Block) -> bool:
    """Whether a node is below `latest` and yet newer: times rise with heights, so it was set back.

    A node that lags has blocks that are lower and older.
    """
    return 0 < status.latest_height < latest.height and status.latest_time_ns > latest.time_ns
