"""The cache leader: one process of the fleet that tells the others each block and renews caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.cache.errors import AbsentError, LoadError
from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.errors import StateError
from relayminer.state.leases import Lease

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from relayminer.cache.caches import Caches
    from relayminer.chain.blocks import BlockFollower
    from relayminer.config.settings import CacheSettings
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics

SINGLETONS: Final = ("shared_params", "session_params", "proof_params")
KNOWN: Final = {"applications": "application", "services": "service"}
"""Set of names that miners have seen -> the cache type that is kept fresh for them."""
ONLY: Final = ""
SAFETY: Final = 0.25
"""Part of a lease's life that is left unused: for a clock that runs wrong and a busy loop."""
RELEASE_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.cache.leader")


class CacheLeader:
    """A service that stands for election, and leads while it holds the lease.

    Leading means: publish every new block (the key with the last one serves late joiners) and load
    the shared caches from the chain every `refresh_interval_blocks`. A leader that cannot renew its
    lease stops leading before the lease can run out.
    """

    name = "cache leader"

    def __init__(
        self,
        settings: CacheSettings,
        *,
        redis: Redis,
        names: KeyNames,
        caches: Caches,
        follower: BlockFollower,
        owner: str,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._names = names
        self._caches = caches
        self._follower = follower
        self._events = BlockEvents(redis, names)
        self._owner = owner
        self._is_leader = metrics.gauge(
            "ha_miner_leader_status", "1 while this process leads", ("instance",)
        ).bind(owner)
        self._published = metrics.counter(
            "ha_cache_block_events_published_total", "Blocks told to the fleet"
        ).bind()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Stand for election until cancelled; a lease that is held is given back."""
        lease = Lease(
            self._redis,
            self._names.global_leader_key,
            self._names,
            owner=self._owner,
            ttl_seconds=self._settings.lease_ttl_seconds,
        )
        task_status.started()
        try:
            while True:
                if await self._attempt(lease.acquire()):
                    await self._lead(lease)
                await trio.sleep(self._settings.lease_renew_seconds)
        finally:
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                await self._attempt(lease.release())

    async def _attempt(self, step: Awaitable[bool]) -> bool:
        try:
            return await step
        except StateError as error:
            _log.warning("election_store_away", reason=str(error))
            return False

    async def _lead(self, lease: Lease) -> None:
        """Lead under a deadline of our own that every renewal moves on."""
        _log.info("leader_elected", instance=self._owner)
        self._is_leader.value = 1
        margin = self._settings.lease_ttl_seconds * SAFETY
        try:
            with trio.CancelScope(deadline=lease.held_until - margin) as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._duties)
                    while lease.held:
                        await trio.sleep(self._settings.lease_renew_seconds)
                        if await self._attempt(lease.renew()):
                            scope.deadline = lease.held_until - margin
                    nursery.cancel_scope.cancel()
        finally:
            self._is_leader.value = 0
        _log.warning("leader_lost", instance=self._owner)

    async def _duties(self) -> None:
        refreshed_height = 0
        with self._follower.subscribe() as blocks:
            async for block in blocks:
                try:
                    await self._events.publish(BlockEvent(block.height, block.hash, block.time_ns))
                    self._published.value += 1
                except StateError as error:
                    _log.warning("block_not_published", height=block.height, reason=str(error))
                if block.height >= refreshed_height + self._settings.refresh_interval_blocks:
                    refreshed_height = block.height
                    await self._refresh()

    async def _refresh(self) -> None:
        """Load what everybody uses; what cannot be loaded is tried again at the next turn."""
        for kind in SINGLETONS:
            await self._refresh_one(kind, ONLY)
        for known, kind in KNOWN.items():
            try:
                members = await self._redis.command("SMEMBERS", self._names.cache_known_key(known))
            except StateError as error:
                _log.warning("known_names_unread", kind=known, reason=str(error))
                continue
            for member in members:
                await self._refresh_one(kind, member.decode())

    async def _refresh_one(self, kind: str, key: str) -> None:
        try:
            await self._caches.of(kind).refresh(key)
        except (AbsentError, LoadError) as error:
            _log.info("cache_not_refreshed", kind=kind, key=key, reason=str(error))
