"""The cache leader: one process that publishes blocks and keeps the shared caches warm.

Everybody else reads what it wrote. When it dies, another takes the lease within its life; until
then the caches fall back to the chain by themselves, so nothing depends on a leader being there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
import trio

from relayminer.cache.errors import AbsentError, CacheError
from relayminer.state.block_events import BlockEvent
from relayminer.state.errors import StateError
from relayminer.state.leases import Lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.chain.blocks import BlockFollower
    from relayminer.config.settings import CacheSettings
    from relayminer.state.block_events import BlockEvents
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ONLY = ""
SINGLETONS = ("shared_params", "proof_params")
KNOWN_SETS = (("applications", "application"), ("services", "service"))
REFRESH_TIMEOUT_SECONDS = 30.0
MAX_CONCURRENT_REFRESHES = 8


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
    ) -> None:
        self._store = store
        self._names = names
        self._caches = caches
        self._moment = moment
        self._follower = follower
        self._events = events
        self._settings = settings
        self._lease = Lease(
            store,
            names.global_leader_key,
            names,
            owner=owner,
            ttl_seconds=settings.lease_ttl_seconds,
        )
        self._log = structlog.get_logger("relayminer.cache")
        self.refreshed_height = 0
        """Height of the last complete refresh."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lead whenever possible, until cancelled."""
        task_status.started()
        try:
            while True:
                if await self._try(self._lease.acquire):
                    self._log.info("cache_leader_elected", owner=self._lease.owner)
                    await self._lead()
                    self._log.warning("cache_leader_lost", owner=self._lease.owner)
                await trio.sleep(self._settings.lease_renew_seconds)
        finally:
            with trio.move_on_after(1.0, shield=True):
                await self._try(self._lease.release)

    async def _try(self, action: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await action()
        except StateError:
            return False

    async def _lead(self) -> None:
        """Until the lease is lost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._work)
            while self._lease.held:
                await trio.sleep(self._settings.lease_renew_seconds)
                try:
                    if not await self._lease.renew():
                        break
                except StateError:
                    # Not answered: the lease is ours until its time is up.
                    continue
            nursery.cancel_scope.cancel()

    async def _work(self) -> None:
        self.refreshed_height = 0
        with self._follower.subscribe() as blocks:
            async for block in blocks:
                event = BlockEvent(block.height, block.hash, block.time_ns)
                try:
                    await self._events.publish(event)
                except StateError as error:
                    self._log.warning("block_not_published", reason=str(error))
                due = self.refreshed_height + self._settings.refresh_interval_blocks
                if not self.refreshed_height or block.height >= due:
                    with trio.move_on_after(REFRESH_TIMEOUT_SECONDS):
                        await self._refresh(block.height)

    async def _refresh(self, height: int) -> None:
        """Ask the chain for everything that is known and tell everybody."""
        try:
            for name in SINGLETONS:
                params = await self._refresh_one(name, ONLY)
                if name == "shared_params":
                    self._moment.learn(params)
        except (CacheError, StateError) as error:
            # The next block tries again.
            self._log.warning("cache_refresh_failed", reason=str(error))
            return
        limit = trio.CapacityLimiter(MAX_CONCURRENT_REFRESHES)
        complete = False
        try:
            async with trio.open_nursery() as nursery:
                for known, name in KNOWN_SETS:
                    for member in await self._known(known):
                        nursery.start_soon(partial(self._refresh_known, known, name, member, limit))
        except* StateError as group:
            self._log.warning("cache_refresh_failed", reason=str(group.exceptions[0]))
        else:
            complete = True
        if complete:
            self.refreshed_height = height

    async def _known(self, known: str) -> list[str]:
        members: list[bytes] = await self._store.command(
            "SMEMBERS", self._names.cache_known_key(known)
        )
        return [member.decode(errors="replace") for member in members]

    async def _refresh_known(
        self, known: str, name: str, member: str, limit: trio.CapacityLimiter
    ) -> None:
        async with limit:
            try:
                await self._refresh_one(name, member)
            except AbsentError:
                # Unstaked for good: without this it would be asked for until the end of time.
                await self._store.command("SREM", self._names.cache_known_key(known), member)
            except CacheError as error:
                self._log.warning("cache_refresh_failed", cache=name, reason=str(error))

    async def _refresh_one(self, name: str, key: str) -> Any:
        cache = self._caches.of(name)
        value = await cache.refresh(key)
        channel = cache.kind.channel(self._names)
        if channel is not None:
            await self._store.command("PUBLISH", channel, cache.kind.announcement(key))
        return value
