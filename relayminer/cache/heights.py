"""Keeps the present up to date: the height, from whoever says it first, and the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.cache.errors import CacheError

if TYPE_CHECKING:
    from relayminer.cache.caches import Caches
    from relayminer.cache.metrics import HeightMetrics
    from relayminer.cache.moment import ChainMoment
    from relayminer.chain.blocks import BlockFollower
    from relayminer.state.block_events import BlockEvent, BlockEvents

SHARED_PARAMS: Final = "shared_params"
ONLY: Final = ""
LEARN_AGAIN_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.cache")


class HeightKeeper:
    """A `Service` that feeds a `ChainMoment`.

    It has started when a height and the live parameters are known, so nothing that starts after it
    judges a relay by height 0 or by guessed parameters (K-33).

    Args:
        moment: what is kept up to date.
        caches: where the live parameters come from, once a session.
        events: blocks published in the shared store, or None.
        follower: this process's own view of the chain, or None; it goes on when nobody publishes.
        metrics: shows what is heard.
    """

    name = "heights"

    def __init__(
        self,
        moment: ChainMoment,
        caches: Caches,
        *,
        events: BlockEvents | None = None,
        follower: BlockFollower | None = None,
        metrics: HeightMetrics,
    ) -> None:
        self._moment = moment
        self._params = caches.of(SHARED_PARAMS)
        self._events = events
        self._follower = follower
        self._metrics = metrics
        metrics.height.read = lambda: moment.height
        self._news = trio.Event()
        self._published: BlockEvent | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Observe heights until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._events is not None:
                nursery.start_soon(self._listen, self._events)
            if self._follower is not None:
                nursery.start_soon(self._follow, self._follower)
            await self._learn()
            task_status.started()
            while True:
                learned_at = self._moment.height
                while learned_at <= self._moment.height < learned_at + self._moment.session_blocks:
                    await self._news.wait()
                await self._learn()

    async def _until(self, height: int) -> None:
        while self._moment.height < height:
            await self._news.wait()

    async def _learn(self) -> None:
        """Ask for the parameters; the first time until they are had, later the old ones will do."""
        await self._until(1)
        while True:
            try:
                self._moment.learn(await self._params.get(ONLY))
            except CacheError as error:
                _log.warning("shared_params_unknown", reason=str(error))
                if self._moment.learned:
                    return
                await trio.sleep(LEARN_AGAIN_SECONDS)
            else:
                return

    def _observe(self, height: int) -> None:
        if self._moment.observe(height):
            news, self._news = self._news, trio.Event()
            news.set()

    async def _listen(self, events: BlockEvents) -> None:
        async with events.listen() as blocks:
            async for block in blocks:
                self._metrics.heard.value += 1
                if self._is_of_another_chain(block):
                    continue
                if self._published is None or block.height > self._published.height:
                    self._published = block
                self._observe(block.height)

    async def _follow(self, follower: BlockFollower) -> None:
        set_backs = follower.set_backs
        with follower.subscribe() as blocks:
            async for block in blocks:
                self._metrics.block(block.height, block.time_ns)
                if follower.set_backs != set_backs:
                    set_backs = follower.set_backs
                    self._moment.set_back(block.height)
                published = self._published
                if published is not None and self._is_of_another_chain(published):
                    _log.warning(
                        "the store spoke of another chain's block",
                        published=published.height,
                        height=block.height,
                    )
                    self._published = None
                    self._moment.set_back(block.height)
                self._observe(block.height)

    def _is_of_another_chain(self, block: BlockEvent) -> bool:
        """Whether a published block is higher than our node's and yet older.

        Times rise with heights, so it is of another chain, or of this one before it was set back.
        A node that lags has blocks that are lower and older.
        """
        latest = None if self._follower is None else self._follower.latest
        if latest is None:
            return False
        return block.height > latest.height and block.time_ns < latest.time_ns
