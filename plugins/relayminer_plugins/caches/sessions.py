"""Sessions, and the terms that hold from a session's start: difficulty and compute units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.plugin import (
    UnsupportedQueryError,
    parse_session,
    service_pb2,
    session_json,
    session_pb2,
)
from relayminer_plugins.caches.common import (
    IMMUTABLE_SECONDS,
    MemoryOnly,
    Unannounced,
    session_seconds,
)

if TYPE_CHECKING:
    from relayminer.plugin import ChainReader, KeyNames, Moment

SessionKey = tuple[str, str, int]
TermsKey = tuple[str, int]


class SessionCache(Unannounced):
    """Sessions by (application, service, height)."""

    name = "session"
    memory_seconds = IMMUTABLE_SECONDS
    absent_seconds = 5.0

    def store_key(self, names: KeyNames, key: SessionKey) -> str | None:
        """One entry per key."""
        application, service, height = key
        return names.session_cache_key(application, service, height)

    def store_seconds(
        self, key: SessionKey, value: session_pb2.Session, now: Moment
    ) -> float | None:
        """Until the session's grace is over."""
        del key
        return session_seconds(value.header.session_end_block_height, now)

    def encode(self, value: session_pb2.Session) -> bytes:
        """JSON in Go's form."""
        return session_json(value)

    def decode(self, data: bytes) -> session_pb2.Session:
        """JSON in Go's form."""
        return parse_session(data)

    async def load(self, chain: ChainReader, key: SessionKey) -> session_pb2.Session:
        """Ask the chain."""
        application, service, height = key
        session: session_pb2.Session = await chain.session(application, service, height)
        return session


class DifficultyCache(MemoryOnly):
    """Relay mining difficulty by (service, height)."""

    name = "difficulty"
    memory_seconds = IMMUTABLE_SECONDS
    absent_seconds = 5.0

    async def load(self, chain: ChainReader, key: TermsKey) -> service_pb2.RelayMiningDifficulty:
        """Ask the chain."""
        service, height = key
        difficulty: service_pb2.RelayMiningDifficulty = await chain.difficulty_at(service, height)
        return difficulty


class ComputeUnitsCache(MemoryOnly):
    """Compute units of one relay by (service, height)."""

    name = "compute_units"
    memory_seconds = IMMUTABLE_SECONDS
    absent_seconds = 5.0

    async def load(self, chain: ChainReader, key: TermsKey) -> int:
        """Ask the chain at that height; a node too old for that is asked for the live value."""
        service, height = key
        try:
            units = await chain.compute_units_at(service, height)
        except UnsupportedQueryError:
            units = 0
        if not units:
            units = (await chain.service(service)).compute_units_per_relay
        return int(units)
