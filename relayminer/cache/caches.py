"""All caches of a process, by the name of their type, and the messages that empty them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
import trio

from relayminer.cache.errors import UnknownCacheError
from relayminer.cache.tiers import Cache
from relayminer.state.subscription import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.cache.metrics import CacheMetrics
    from relayminer.cache.moment import ChainMoment
    from relayminer.plugin import CacheType, ChainReader
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames


class Caches:
    """A cache per installed type. A `Service` that listens for invalidations."""

    name = "caches"

    def __init__(
        self,
        kinds: Mapping[str, CacheType[Any, Any]],
        *,
        chain: ChainReader,
        store: Redis | None,
        names: KeyNames,
        moment: ChainMoment,
        max_entries: int,
        metrics: CacheMetrics,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._store = store
        self._names = names
        self._log = structlog.get_logger("relayminer.cache")
        self._caches = {
            name: Cache[Any, Any](
                kind,
                chain=chain,
                store=store,
                names=names,
                moment=moment,
                max_entries=max_entries,
                metrics=metrics,
                clock=clock,
            )
            for name, kind in kinds.items()
        }

    def of(self, name: str) -> Cache[Any, Any]:
        """The cache of the type `name`.

        Raises:
            UnknownCacheError: no such type is installed.
        """
        try:
            return self._caches[name]
        except KeyError:
            known = ", ".join(sorted(self._caches)) or "none"
            raise UnknownCacheError(
                f"cache type {name!r} is not installed (group relayminer.caches has: {known})"
            ) from None

    def detail(self) -> dict[str, object] | None:
        """Values whose source, the chain, is away, and how old they are; None while it is there."""
        away: dict[str, object] = {
            name: {
                "chain_away_seconds": round(cache.chain_away_seconds, 1),
                "oldest_value_seconds": round(cache.oldest_seconds, 1),
            }
            for name, cache in self._caches.items()
            if cache.chain_away_seconds is not None
        }
        return away or None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forget what others say has changed, until cancelled."""
        listeners = self._listeners()
        if self._store is None or not listeners:
            task_status.started()
            await trio.sleep_forever()
            return
        async with self._store.subscribe(sorted(listeners)) as messages:
            task_status.started()
            async for event in messages:
                if isinstance(event, Message):
                    self.handle(event.channel, event.payload)
                else:
                    # While we were away anything may have changed.
                    for caches in listeners.values():
                        for cache in caches:
                            cache.forget_all()

    def handle(self, channel: str, payload: bytes) -> None:
        """Act on one message."""
        for cache in self._listeners().get(channel, ()):
            try:
                cache.hear(payload)
            except (ValueError, TypeError, KeyError) as error:
                self._log.warning("bad_invalidation", channel=channel, reason=str(error))

    def _listeners(self) -> dict[str, list[Cache[Any, Any]]]:
        listeners: dict[str, list[Cache[Any, Any]]] = {}
        for cache in self._caches.values():
            channel = cache.kind.channel(self._names)
            if channel is not None:
                listeners.setdefault(channel, []).append(cache)
        return listeners
