"""The cache leader: one process that publishes blocks and keeps the shared caches warm.

Everybody else reads what it wrote. When it dies, another one takes the lease at the moment that it
runs out; when it gives the lease up, the others hear of it. Until then the caches fall back to the
chain and every process follows blocks itself, so nothing depends on a leader being there.

Who sees no new blocks does not stand for election, and resigns if elected: a leader whose node has
stopped would keep the others from one whose node has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.cache.factors import FactorPublisher
from relayminer.cache.metrics import LeaderMetrics
from relayminer.cache.refresh import Refresher
from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.errors import OUT_OF_MEMORY, FencedError, StateError, StoreReplyError
from relayminer.state.leases import Lease
from relayminer.state.service_factors import ServiceFactorStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.chain.blocks import BlockFollower
    from relayminer.config.settings import CacheSettings, Settings
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics
    from relayminer.watchdog import Pulse, Watchdog

REFRESH_TIMEOUT_SECONDS: Final = 30.0
LOOP_SECONDS: Final = 60.0
"""Longest silence of a loop that has work."""
SAFETY: Final = 0.25
"""Part of the lease's life that is left unused."""
ACQUIRE_SECONDS: Final = 1.0
RELEASE_SECONDS: Final = 1.0
MIN_PAUSE_SECONDS: Final = 0.02
STALE_BLOCKS: Final = 4
STALE_SECONDS: Final = 10.0
"""Without a block for so many block times, and so many seconds, a node has stopped."""

_log = structlog.get_logger("relayminer.cache")


class CacheLeader:
    """A `Service` that leads while it holds the lease, and waits for it otherwise.

    Args:
        store: the shared store.
        names: its key names.
        caches: to refresh.
        moment: told the live parameters.
        follower: the blocks to publish; it must be running.
        events: where to publish them.
        settings: `cache`.
        owner: an id that no other process has (`relayminer.state.leases.owner_id`).
        watchdog: looks after the loops.
        metrics: show who leads.
        also: further loops that only the leader runs, by name.
    """

    name = "cache leader"

    def __init__(
        self,
        *,
        store: Redis,
        names: KeyNames,
        caches: Caches,
        moment: ChainMoment,
        follower: BlockFollower,
        events: BlockEvents,
        settings: CacheSettings,
        owner: str,
        watchdog: Watchdog,
        metrics: LeaderMetrics,
        also: dict[str, Callable[[Pulse], Awaitable[None]]] | None = None,
    ) -> None:
        self._store = store
        self._channel = names.lease_news_channel
        self._refresher = Refresher(store, names, caches, moment)
        self._follower = follower
        self._events = events
        self._settings = settings
        self._stale_seconds = max(STALE_SECONDS, STALE_BLOCKS * moment.block_seconds)
        self._watchdog = watchdog
        self._metrics = metrics
        self._also = also or {}
        self._lease = Lease(
            store,
            names.global_leader_key,
            names,
            owner=owner,
            ttl_seconds=settings.lease_ttl_seconds,
        )
        self._news = trio.Event()
        self._fresh_until = 0.0
        self._fresh = trio.Event()
        self._published_height = 0
        self.refreshed_height = 0
        """Height of the last complete refresh."""

    @property
    def is_leading(self) -> bool:
        """Whether this process leads at this moment."""
        return self._lease.held

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lead whenever possible, until cancelled."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._watch_blocks)
            await self._watchdog.keep("leader", self._stand, LOOP_SECONDS)

    async def _listen(self) -> None:
        """Hear of a lease that was given up."""
        async with self._store.subscribe([self._channel]) as news:
            async for _ in news:
                self._news.set()

    async def _watch_blocks(self) -> None:
        with self._follower.subscribe() as blocks:
            async for _ in blocks:
                self._fresh_until = trio.current_time() + self._stale_seconds
                self._fresh.set()

    @property
    def _is_fresh(self) -> bool:
        """Whether our node's blocks are new."""
        return trio.current_time() < self._fresh_until

    async def _stand(self, pulse: Pulse) -> None:
        """Stand for election again and again."""
        while True:
            if not self._is_fresh:
                pulse.idle()
                self._fresh = trio.Event()
                await self._fresh.wait()
            pulse.got_on()
            self._news = trio.Event()
            # A lease that was got must be known, or nobody would lead until its time is up.
            with trio.move_on_after(ACQUIRE_SECONDS, shield=True):
                await self._try(self._lease.acquire)
            if self._lease.held:
                await self._lead(pulse)
            other = self._lease.other
            wait_seconds = self._settings.lease_renew_seconds
            if other is not None and other.remaining_seconds is not None:
                wait_seconds = min(wait_seconds, other.remaining_seconds)
            with trio.move_on_after(wait_seconds):
                await self._news.wait()
            await trio.sleep(MIN_PAUSE_SECONDS)

    async def _try(self, action: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await action()
        except StateError as error:
            full = isinstance(error, StoreReplyError) and error.code == OUT_OF_MEMORY
            self._metrics.not_reached(full=full)
            return False

    async def _lead(self, pulse: Pulse) -> None:
        """Until the lease is lost, or our node has no new blocks."""
        _log.info("cache_leader_elected", owner=self._lease.owner)
        self._metrics.elected()
        scope = trio.CancelScope(deadline=self._deadline())
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    keep = self._watchdog.keep
                    nursery.start_soon(
                        keep, "publish blocks", self._publish, LOOP_SECONDS, self._is_behind
                    )
                    nursery.start_soon(keep, "refresh caches", self._refresh, LOOP_SECONDS)
                    for name, loop in self._also.items():
                        nursery.start_soon(keep, name, loop, LOOP_SECONDS)
                    await self._renew(scope, pulse)
                    nursery.cancel_scope.cancel()
        finally:
            self._metrics.lost()
            _log.warning("cache_leader_lost", owner=self._lease.owner)
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                await self._try(self._lease.release)

    async def _renew(self, scope: trio.CancelScope, pulse: Pulse) -> None:
        while True:
            pulse.got_on()
            await trio.sleep(self._settings.lease_renew_seconds)
            if not self._is_fresh:
                _log.error("cache_leader_resigns", reason="no new block", height=self._height())
                return
            try:
                if not await self._lease.renew():
                    return
            except StateError as error:
                # Not answered: the lease is ours until its time is up.
                _log.warning("cache_leader_not_renewed", reason=str(error))
                continue
            scope.deadline = self._deadline()

    def _deadline(self) -> float:
        """When we must have stopped: before the lease can be another's."""
        return self._lease.held_until - self._lease.ttl_seconds * SAFETY

    def _height(self) -> int:
        latest = self._follower.latest
        return 0 if latest is None else latest.height

    def _is_behind(self) -> bool:
        return self._height() > self._published_height

    async def _publish(self, pulse: Pulse) -> None:
        with self._follower.subscribe() as blocks:
            while True:
                pulse.idle()
                block = await blocks.receive()
                pulse.got_on()
                try:
                    await self._events.publish(
                        BlockEvent(block.height, block.hash, block.time_ns), self._lease.fence
                    )
                except FencedError as error:
                    _log.error("cache_leader_fenced", reason=str(error))
                    return
                except StateError as error:
                    _log.warning("block_not_published", reason=str(error))
                else:
                    self._metrics.published.value += 1
                self._published_height = block.height

    async def _refresh(self, pulse: Pulse) -> None:
        self.refreshed_height = 0
        with self._follower.subscribe() as blocks:
            while True:
                pulse.idle()
                height = (await blocks.receive()).height
                pulse.got_on()
                due = self.refreshed_height + self._settings.refresh_interval_blocks
                if self.refreshed_height and self.refreshed_height <= height < due:
                    continue
                # What fails is tried again with the next block.
                began, complete = trio.current_time(), False
                with trio.move_on_after(REFRESH_TIMEOUT_SECONDS):
                    complete = await self._refresher.refresh()
                if complete:
                    self.refreshed_height = height
                self._metrics.refreshed(trio.current_time() - began, complete=complete)


def make_leader(
    settings: Settings,
    *,
    store: Redis,
    names: KeyNames,
    caches: Caches,
    moment: ChainMoment,
    follower: BlockFollower,
    owner: str,
    watchdog: Watchdog,
    metrics: Metrics,
) -> CacheLeader:
    """The leader of a process with these settings, with all that a leader does."""
    miner = settings.miner
    factors = FactorPublisher(
        ServiceFactorStore(store, names, ttl_seconds=int(miner.cache_ttl_seconds)),
        miner.default_service_factor,
        miner.service_factors,
    )
    return CacheLeader(
        store=store,
        names=names,
        caches=caches,
        moment=moment,
        follower=follower,
        events=BlockEvents(store, names),
        settings=settings.cache,
        owner=owner,
        watchdog=watchdog,
        metrics=LeaderMetrics(metrics, owner),
        also={"publish service factors": factors.run},
    )
