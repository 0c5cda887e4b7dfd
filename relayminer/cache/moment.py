"""The present, as relays are judged by: the chain's height and a few of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.protocol.pb.shared_pb2 import Params


class ChainMoment:
    """The last block height seen, by any way, and the live shared parameters.

    Args:
        block_seconds: expected time between blocks.
        stale_after_blocks: after so many block times without a block, the height is stale.
        clock: seconds, monotonic; Trio's when None.
    """

    def __init__(
        self,
        block_seconds: float,
        *,
        stale_after_blocks: int = 10,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.height = 0
        self.block_seconds = block_seconds
        self.grace_blocks = 1
        self.session_blocks = 10
        self.learned = False
        """Whether the parameters above are the chain's, not our guesses."""
        self._stale_after_seconds = max(block_seconds * stale_after_blocks, 30.0)
        self._clock = clock
        self._seen_at: float | None = None

    def observe(self, height: int) -> bool:
        """A block was seen; True when it is news. Heights never go back."""
        self._seen_at = self._clock()
        if height <= self.height:
            return False
        self.height = height
        return True

    def set_back(self, height: int) -> None:
        """What was observed was of another chain; this one is before `height`."""
        self.height = height - 1

    def learn(self, params: Params) -> None:
        """The live shared parameters are these."""
        self.grace_blocks = params.grace_period_end_offset_blocks
        self.session_blocks = params.num_blocks_per_session
        self.learned = True

    def problem(self) -> str | None:
        """What keeps the height from being trusted, or None."""
        if self._seen_at is None or self.height == 0:
            return "no block height known yet"
        silent_seconds = self._clock() - self._seen_at
        if silent_seconds > self._stale_after_seconds:
            return f"no new block for {silent_seconds:.0f} s (height {self.height})"
        return None
