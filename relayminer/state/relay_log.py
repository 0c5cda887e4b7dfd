"""The relay log, writing side: one stream per supplier, one field `data` per entry.

An append is confirmed when its entry id comes back. It is never repeated here: when the answer
stays out, only the caller knows whether a second entry would harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.state.scripting import load_script

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

FIELD: Final = "data"
APPEND_ONCE: Final = load_script("log_append_once")


class RelayLog:
    """Appends mined relays (the bytes of `pocket.ha.MinedRelayMessage`)."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names
        # Built once: this is the one name that is needed for every relay. As many as suppliers.
        self._streams: dict[str, str] = {}

    async def append(
        self, supplier: str, mined: bytes, *, timeout_seconds: float | None = None
    ) -> bytes:
        """Appends one relay; returns the entry's id, such as `1795225579999-0`.

        Raises:
            StoreAwayError: not confirmed; `maybe_executed` says whether it may be in the log.
            StoreFullError, StoreReplyError: not in the log.
        """
        # No trimming and no expiry: entries leave the log when a miner has made them durable.
        entry_id: bytes = await self._redis.command(
            "XADD", self._stream(supplier), "*", FIELD, mined, timeout_seconds=timeout_seconds
        )
        return entry_id

    async def append_once(
        self,
        supplier: str,
        mined: bytes,
        *,
        session_id: str,
        request_hash: bytes,
        ttl_seconds: int,
    ) -> bytes | None:
        """Appends one relay unless its request was logged in this session before.

        Args:
            supplier: operator address.
            mined: the entry.
            session_id: whose replays to look at.
            request_hash: hash of the signed request, 32 bytes.
            ttl_seconds: how long the session's request hashes are remembered.

        Returns:
            The entry's id, or None for a replay.

        Raises:
            StateError: as `append`.
        """
        entry_id: bytes | None = await self._redis.script(
            APPEND_ONCE,
            (self._stream(supplier), self._names.relay_replay_key(session_id)),
            (mined, request_hash, ttl_seconds),
        )
        return entry_id

    async def length(self, supplier: str) -> int:
        """Entries in the supplier's log, pending ones included."""
        return int(await self._redis.command("XLEN", self._names.stream_key(supplier)))

    def _stream(self, supplier: str) -> str:
        key = self._streams.get(supplier)
        if key is None:
            key = self._streams[supplier] = self._names.stream_key(supplier)
        return key
