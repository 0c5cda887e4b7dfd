"""The relay log, writing side: one stream per supplier, one field `data` per entry.

An append is confirmed when its entry id comes back. It is never repeated here: when the answer
stays out, only the caller knows whether a second entry would harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from relayminer.state.errors import StoreReplyError
from relayminer.state.scripting import load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

FIELD: Final = "data"
APPEND_ONCE: Final = load_script("log_append_once")


@frozen
class OnceEntry:
    """A relay to be logged once: `relay_hash` (32 bytes) is remembered with its session."""

    supplier: str
    session_id: str
    relay_hash: bytes
    mined: bytes = field(repr=False)


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
            (self._stream(supplier), self._names.relay_replay_key(session_id, supplier)),
            (mined, request_hash, ttl_seconds),
        )
        return entry_id

    async def remember(
        self, supplier: str, session_id: str, request_hash: bytes, *, ttl_seconds: int
    ) -> bool:
        """Remembers a request as `append_once` does, without an entry; False for a replay.

        Raises:
            StateError: it may or may not be remembered.
        """
        key = self._names.relay_replay_key(session_id, supplier)
        added, _ = await self._redis.transaction(
            [("SADD", key, request_hash), ("EXPIRE", key, ttl_seconds)]
        )
        return bool(added)

    async def append_all_once(
        self, entries: Sequence[OnceEntry], *, ttl_seconds: int
    ) -> list[bytes | None]:
        """Appends relays in order, each unless its `relay_hash` was logged this way before.

        Returns:
            Per relay the entry's id, or None for one that was logged before.

        Raises:
            StateError: some of them may be in the log; doing all again is harmless.
        """
        commands = [
            (
                *("EVALSHA", APPEND_ONCE.digest, 2),
                self._stream(one.supplier),
                self._names.relay_replay_key(one.session_id, one.supplier),
                *(one.mined, one.relay_hash, ttl_seconds),
            )
            for one in entries
        ]
        try:
            return await self._redis.pipeline(commands)
        except StoreReplyError as error:
            if error.code != "NOSCRIPT":
                raise
        await self._redis.command("SCRIPT", "LOAD", APPEND_ONCE.text)
        return await self._redis.pipeline(commands)

    async def page(
        self, supplier: str, first: str, last: str, count: int
    ) -> list[tuple[bytes, bytes]]:
        """Up to `count` entries (id, mined) of the supplier's log between two ids."""
        found = await self._redis.command(
            "XRANGE", self._stream(supplier), first, last, "COUNT", count
        )
        return [(entry_id, fields[1]) for entry_id, fields in found]

    async def length(self, supplier: str) -> int:
        """Entries in the supplier's log, pending ones included."""
        return int(await self._redis.command("XLEN", self._names.stream_key(supplier)))

    def _stream(self, supplier: str) -> str:
        key = self._streams.get(supplier)
        if key is None:
            key = self._streams[supplier] = self._names.stream_key(supplier)
        return key
