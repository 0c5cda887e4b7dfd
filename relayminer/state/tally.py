"""How many relays of each session were logged, counted by the relayers that answered them.

The trie knows what will be paid; the tally knows what was logged, so that the two can be compared.
It is a report, not a source of truth: a relayer adds up in memory and writes the sums now and then,
so a crash loses its last moment of counting (never a relay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames


class TallyStore:
    """The tallies in Redis: one counter per supplier and session, all relayers together."""

    def __init__(self, redis: Redis, names: KeyNames, *, ttl_seconds: float) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = int(ttl_seconds)

    async def add(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Add to the tallies of (supplier, session id); raises what `Redis.pipeline` raises."""
        commands: list[tuple[str | int, ...]] = []
        for (supplier, session_id), count in counts.items():
            key = self._names.logged_key(supplier, session_id)
            commands.append(("INCRBY", key, count))
            commands.append(("EXPIRE", key, self._ttl_seconds))
        await self._redis.pipeline(commands)

    async def logged(self, supplier: str, session_id: str) -> int:
        """How many relays of a supplier and session were logged."""
        return int(
            await self._redis.command("GET", self._names.logged_key(supplier, session_id)) or 0
        )
