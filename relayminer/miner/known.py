"""Telling the cache leader which applications and services there are, so that it keeps them warm.

The sets are the Go fleet's. What was told is remembered, so that each is told once by each process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.miner.entries import SessionInfo
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

_log = structlog.get_logger("relayminer.miner")


class KnownEntities:
    """Adds what sessions name to the sets of all that is known."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names
        self._told: set[tuple[str, str]] = set()

    async def tell(self, sessions: Iterable[SessionInfo]) -> None:
        """Tell of those that were not told yet; what fails is told the next time."""
        found: set[tuple[str, str]] = set()
        for info in sessions:
            found.add(("applications", info.application_address))
            found.add(("services", info.service_id))
        new = sorted(found - self._told)
        if not new:
            return
        commands = [("SADD", self._names.cache_known_key(kind), member) for kind, member in new]
        try:
            await self._redis.pipeline(commands)
        except StateError as error:
            _log.warning("known entities not told", error=str(error))
        else:
            self._told.update(new)
