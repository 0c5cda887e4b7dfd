"""The blocks that the chain remembers: the latest, up to a bound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from relayminer.devnet.chain.errors import HeightError

if TYPE_CHECKING:
    from relayminer.devnet.chain.values import Block, BlockResults


class History:
    """Blocks with their results; when it is full the oldest leaves for each new one.

    Args:
        limit: how many blocks are kept.
    """

    def __init__(self, limit: int) -> None:
        self._kept: deque[tuple[Block, BlockResults]] = deque(maxlen=limit)

    @property
    def height(self) -> int:
        """The height of the last block, 0 before the first."""
        return self._kept[-1][0].height if self._kept else 0

    @property
    def base_height(self) -> int:
        """The lowest height that is kept, 0 before the first block."""
        return self._kept[0][0].height if self._kept else 0

    @property
    def latest(self) -> tuple[Block, BlockResults] | None:
        """The last block, None before the first."""
        return self._kept[-1] if self._kept else None

    def append(self, block: Block, results: BlockResults) -> Block | None:
        """Keep a block; returns the one that had to go for it."""
        full = len(self._kept) == self._kept.maxlen
        gone = self._kept[0][0] if full else None
        self._kept.append((block, results))
        return gone

    def at(self, height: int | None) -> tuple[Block, BlockResults]:
        """The block at `height` (None: the last); raises HeightError in the RPC server's words."""
        wanted = self.height if height is None else height
        if wanted <= 0:
            raise HeightError(f"height must be greater than 0, but got {wanted}")
        if wanted > self.height:
            raise HeightError(
                f"height {wanted} must be less than or equal to the current blockchain height "
                f"{self.height}"
            )
        if wanted < self.base_height:
            raise HeightError(
                f"height {wanted} is not available, lowest height is {self.base_height}"
            )
        return self._kept[wanted - self.base_height]
