"""Keeping the shared caches warm: what everybody reads is asked for once, by the leader."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from relayminer.cache.errors import AbsentError, CacheError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ONLY: Final = ""
SINGLETONS: Final = ("shared_params", "proof_params")
KNOWN_SETS: Final = (("applications", "application"), ("services", "service"))
MAX_CONCURRENT_REFRESHES: Final = 8

_log = structlog.get_logger("relayminer.cache")


class Refresher:
    """Asks the chain for everything that is known and tells everybody.

    Args:
        store: The shared store.
        names: Its key names.
        caches: To refresh.
        moment: Told the live parameters.
    """

    def __init__(self, store: Redis, names: KeyNames, caches: Caches, moment: ChainMoment) -> None:
        self._store = store
        self._names = names
        self._caches = caches
        self._moment = moment

    async def refresh(self) -> bool:
        """One round; whether it was complete."""
        try:
            for name in SINGLETONS:
                params = await self._refresh_one(name, ONLY)
                if name == "shared_params":
                    self._moment.learn(params)
        except (CacheError, StateError) as error:
            _log.warning("cache_refresh_failed", reason=str(error))
            return False
        limit = trio.CapacityLimiter(MAX_CONCURRENT_REFRESHES)
        complete = False
        try:
            async with trio.open_nursery() as nursery:
                for known, name in KNOWN_SETS:
                    for member in await self._known(known):
                        nursery.start_soon(partial(self._refresh_known, known, name, member, limit))
        except* StateError as group:
            _log.warning("cache_refresh_failed", reason=str(group.exceptions[0]))
        else:
            complete = True
        return complete

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
                _log.warning("cache_refresh_failed", cache=name, reason=str(error))

    async def _refresh_one(self, name: str, key: str) -> Any:
        cache = self._caches.of(name)
        value = await cache.refresh(key)
        channel = cache.kind.channel(self._names)
        if channel is not None:
            await self._store.command("PUBLISH", channel, cache.kind.announcement(key))
        return value
