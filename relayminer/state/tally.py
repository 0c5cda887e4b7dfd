"""How many relays each session brought, counted by the relayers that answered them.

The trie knows what will be paid; the tally knows what was served and logged, so that the two can be
compared. It is a report, not a source of truth: a relayer adds up in memory and writes the sums now
and then, so a crash loses its last moment of counting (never a relay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

LOGGED: Final = "logged"
SERVED: Final = "served"


@frozen
class SessionTally:
    """Relays of one supplier in one session, all relayers together."""

    logged: int = 0
    served: int = 0


class TallyStore:
    """The tallies in Redis: one hash per supplier and session, one field per count."""

    def __init__(self, redis: Redis, names: KeyNames, *, ttl_seconds: float) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = int(ttl_seconds)

    def _key(self, supplier: str, session_id: str) -> str:
        return f"{self._names.base}:relayminer:tally:{supplier}:{session_id}"

    async def add(self, counts: dict[tuple[str, str], SessionTally]) -> None:
        """Add to the tallies of (supplier, session id); raises what `Redis.pipeline` raises."""
        commands: list[tuple[str | int, ...]] = []
        for (supplier, session_id), count in counts.items():
            key = self._key(supplier, session_id)
            commands.append(("HINCRBY", key, LOGGED, count.logged))
            commands.append(("HINCRBY", key, SERVED, count.served))
            commands.append(("EXPIRE", key, self._ttl_seconds))
        await self._redis.pipeline(commands)

    async def read(self, supplier: str, session_id: str) -> SessionTally:
        """The tally of one supplier and session; zeros when nobody has counted."""
        logged, served = await self._redis.command(
            "HMGET", self._key(supplier, session_id), LOGGED, SERVED
        )
        return SessionTally(logged=int(logged or 0), served=int(served or 0))
