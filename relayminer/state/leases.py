"""Leases: who owns a supplier, who leads, and for how long.

The lease key is the Go implementation's: its value is the bare owner id and its life bounds the
ownership. Beside it lives a counter of fencing tokens of our own, which no Go process reads: every
acquisition takes the next token, and every script that changes a supplier's state compares it.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

import attrs
import trio

from relayminer.state.errors import FencedError
from relayminer.state.fence import Fence
from relayminer.state.scripting import chunks, load_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ACQUIRE: Final = load_script("lease_acquire")
RENEW: Final = load_script("lease_renew")
RELEASE: Final = load_script("lease_release")
BOOT_ID_BYTES: Final = 4


def owner_id(name: str, boot_id: str | None = None) -> str:
    """An owner id that no other process and no earlier life of this one has had.

    A name alone is not enough: a container restarted in place finds its old lease and must not
    take it for one that it holds.
    """
    return f"{name}-{boot_id or secrets.token_hex(BOOT_ID_BYTES)}"


@attrs.frozen
class Holder:
    """Who has a lease, and for how many seconds more (None: it has no end)."""

    owner: str
    remaining_seconds: float | None


class Lease:
    """One lease, held or not.

    `held` turns false before the lease can run out on the server, whatever becomes of the
    connection: the time is counted from before the command was sent.
    """

    def __init__(
        self, redis: Redis, key: str, names: KeyNames, *, owner: str, ttl_seconds: float
    ) -> None:
        self.key = key
        self.owner = owner
        self._redis = redis
        self._fence_key = names.fence_key(key)
        self._ttl_seconds = ttl_seconds
        self._token: int | None = None
        self._held_until = 0.0

    @property
    def held(self) -> bool:
        """Whether the lease is surely ours at this moment."""
        return self._token is not None and trio.current_time() < self._held_until

    @property
    def held_until(self) -> float:
        """The moment on Trio's clock from which it may be somebody else's."""
        return self._held_until if self._token is not None else 0.0

    @property
    def fence(self) -> Fence:
        """The right to change what this lease protects.

        Raises:
            FencedError: the lease is not held (any more).
        """
        if self._token is None or not self.held:
            raise FencedError(f"the lease {self.key} is not held")
        return Fence(self.key, self._fence_key, self.owner, self._token)

    async def acquire(self) -> bool:
        """Takes the lease if it is free or our own; each success has a new token."""
        asked_at = trio.current_time()
        token = await self._redis.script(
            ACQUIRE, (self._fence_key, self.key), (self.owner, self._ttl_ms)
        )
        self._token = int(token) or None
        self._held_until = asked_at + self._ttl_seconds
        return self._token is not None

    async def renew(self) -> bool:
        """Prolongs the lease; False means that it is lost and must be acquired anew."""
        if self._token is None:
            return False
        asked_at = trio.current_time()
        renewed = await self._redis.script(
            RENEW, (self._fence_key, self.key), (self._token, self.owner, self._ttl_ms)
        )
        if renewed:
            self._held_until = asked_at + self._ttl_seconds
        else:
            self._token = None
        return bool(renewed)

    async def release(self) -> bool:
        """Gives the lease up; False when it was not ours any more."""
        token, self._token = self._token, None
        if token is None:
            return False
        return bool(
            await self._redis.script(RELEASE, (self._fence_key, self.key), (token, self.owner))
        )

    async def holder(self) -> Holder | None:
        """Who holds it now, by what the server says."""
        owner, remaining_ms = await self._redis.pipeline([("GET", self.key), ("PTTL", self.key)])
        if owner is None:
            return None
        return Holder(owner.decode(), remaining_ms / 1000 if remaining_ms >= 0 else None)

    @property
    def _ttl_ms(self) -> int:
        return max(1, int(self._ttl_seconds * 1000))


class LivingMiners:
    """The register of miners that are alive: others share suppliers out by its size."""

    def __init__(
        self, redis: Redis, names: KeyNames, *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._redis = redis
        self._names = names
        self._now_ns = now_ns

    async def beat(self, miner: str, ttl_seconds: float) -> None:
        """Says that `miner` is alive for `ttl_seconds` more."""
        await self._redis.transaction(
            [
                (
                    "SET",
                    self._names.miner_instance_key(miner),
                    self._now_ns(),
                    "PX",
                    max(1, int(ttl_seconds * 1000)),
                ),
                ("SADD", self._names.miner_active_set_key, miner),
            ]
        )

    async def leave(self, miner: str) -> None:
        """Takes `miner` off the register."""
        await self._redis.transaction(
            [
                ("SREM", self._names.miner_active_set_key, miner),
                ("DEL", self._names.miner_instance_key(miner)),
            ]
        )

    async def alive(self) -> list[str]:
        """The living miners' ids, sorted; those whose heartbeat ran out are taken off."""
        key = self._names.miner_active_set_key
        found_ids = await self._redis.command("SMEMBERS", key)
        members = sorted(member.decode(errors="replace") for member in found_ids)
        found: list[int] = []
        for some in chunks(members):
            found += await self._redis.pipeline(
                [("EXISTS", self._names.miner_instance_key(miner)) for miner in some]
            )
        dead = [miner for miner, exists in zip(members, found, strict=True) if not exists]
        for some in chunks(dead):
            await self._redis.command("SREM", key, *some)
        return [miner for miner in members if miner not in set(dead)]
