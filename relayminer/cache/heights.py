"""Keeps the block height up to date, from whoever says it first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from relayminer.cache.moment import ChainMoment
    from relayminer.chain.blocks import BlockFollower
    from relayminer.state.block_events import BlockEvents


class HeightKeeper:
    """A `Service` that feeds a `ChainMoment`.

    Args:
        moment: what is kept up to date.
        events: blocks published in the shared store, or None.
        follower: this process's own view of the chain, or None. It seeds the height, so that no
            relayer waits for the next block (K-33), and goes on when nobody publishes.
    """

    name = "heights"

    def __init__(
        self,
        moment: ChainMoment,
        *,
        events: BlockEvents | None = None,
        follower: BlockFollower | None = None,
    ) -> None:
        self._moment = moment
        self._events = events
        self._follower = follower

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Observe heights until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._events is not None:
                nursery.start_soon(self._listen, self._events)
            if self._follower is not None:
                nursery.start_soon(self._follow, self._follower)
            task_status.started()
            await trio.sleep_forever()

    async def _listen(self, events: BlockEvents) -> None:
        async with events.listen() as blocks:
            async for block in blocks:
                self._moment.observe(block.height)

    async def _follow(self, follower: BlockFollower) -> None:
        with follower.subscribe() as blocks:
            async for block in blocks:
                self._moment.observe(block.height)
