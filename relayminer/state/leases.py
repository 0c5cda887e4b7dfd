"""Leases: who owns a supplier, who leads, and for how long.

The lease key is the Go implementation's: its value is the bare owner id and its life bounds the
ownership. Beside it lives a counter of fencing tokens of our own, which no Go process reads: every
acquisition takes the next token, and every script that changes a supplier's state compares it.

A process looks at all of its leases with one script, however many they are: `sweep`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from relayminer.state.errors import FencedError, StateError
from relayminer.state.fence import Fence
from relayminer.state.scripting import chunks, load_script

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from relayminer.state.connection import Argument
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

SWEEP: Final = load_script("lease_sweep")
RELEASE: Final = load_script("lease_release")
BOOT_ID_BYTES: Final = 4
LEASES_PER_SCRIPT: Final = 1000
"""Looked at by one script, which takes the server about two milliseconds."""
TAKE: Final = "+"
LOOK: Final = "?"


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

    Attributes:
        other: who else had it when it was looked at last; None when it was free or ours.
    """

    def __init__(
        self, redis: Redis, key: str, names: KeyNames, *, owner: str, ttl_seconds: float
    ) -> None:
        self.key: Final = key
        self.owner: Final = owner
        self.ttl_seconds: Final = ttl_seconds
        self.other: Holder | None = None
        self._redis = redis
        self._fence_key = names.fence_key(key)
        self._news_channel = names.lease_news_channel
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

    @property
    def keys(self) -> tuple[str, str]:
        """Counter of fencing tokens, and lease: as the scripts want them."""
        return self._fence_key, self.key

    async def acquire(self) -> bool:
        """Takes the lease if it is free or our own; each success has a new token."""
        self._token = None
        await sweep(self._redis, [self], take=[self])
        return self._token is not None

    async def renew(self) -> bool:
        """Prolongs the lease; False means that it is lost and must be acquired anew."""
        if self._token is not None:
            await sweep(self._redis, [self])
        return self._token is not None

    async def release(self) -> bool:
        """Gives the lease up; False when it was not ours any more."""
        token, self._token = self._token, None
        if token is None:
            return False
        arguments = (token, self.owner, self._news_channel)
        return bool(await self._redis.script(RELEASE, self.keys, arguments))

    async def holder(self) -> Holder | None:
        """Who holds it now, by what the server says."""
        owner, remaining_ms = await self._redis.pipeline([("GET", self.key), ("PTTL", self.key)])
        return None if owner is None else _holder(owner, remaining_ms)

    def wish(self, *, take: bool) -> Argument:
        """What a script is to do with it."""
        if self._token is not None:
            return self._token
        return TAKE if take else LOOK

    def learn(self, wished: Argument, reply: Any, asked_at: float) -> None:
        """What the script that was asked at `asked_at` said.

        A reply about a token that was given up in the meantime says nothing about a new one.
        """
        ours = isinstance(reply, int) and reply > 0
        self.other = None if isinstance(reply, int) else _holder(*reply)
        if wished not in (TAKE, LOOK) and wished != self._token:
            return
        self._token = reply if ours else None
        if ours:
            self._held_until = asked_at + self.ttl_seconds

    def unseen(self, reason: str) -> None:
        """Nobody could be asked about it alone: who has it is not known."""
        self.other = Holder(reason, None)


def _holder(owner: bytes, remaining_ms: int) -> Holder:
    remaining_seconds = remaining_ms / 1000 if remaining_ms >= 0 else None
    return Holder(owner.decode(errors="replace"), remaining_seconds)


async def sweep(
    redis: Redis,
    leases: Sequence[Lease],
    take: Collection[Lease] = (),
    *,
    timeout_seconds: float | None = None,
) -> None:
    """Looks at all leases of an owner: prolongs those held, takes those of `take` that are free.

    What came of it is in each lease. All of them have one owner and one life. In a cluster, where
    the keys of two suppliers are in different slots, each lease has a script of its own, and all
    of them leave together.

    Raises:
        StateError: none could be looked at; they are what they were, until their time is up.
    """
    wanted = set(take)
    if not redis.is_cluster:
        for some in chunks(leases, LEASES_PER_SCRIPT):
            await _sweep(redis, some, wanted, timeout_seconds)
        return
    failed: list[StateError] = []

    async def one(lease: Lease) -> None:
        try:
            await _sweep(redis, [lease], wanted, timeout_seconds)
        except StateError as error:
            lease.unseen(str(error))
            failed.append(error)

    async with trio.open_nursery() as nursery:
        for lease in leases:
            nursery.start_soon(one, lease)
    if failed and len(failed) == len(leases):
        raise failed[0]


async def _sweep(
    redis: Redis, leases: Sequence[Lease], take: Collection[Lease], timeout_seconds: float | None
) -> None:
    asked_at = trio.current_time()
    wishes = [lease.wish(take=lease in take) for lease in leases]
    replies = await redis.script(
        SWEEP,
        [key for lease in leases for key in lease.keys],
        (leases[0].owner, max(1, int(leases[0].ttl_seconds * 1000)), *wishes),
        timeout_seconds=timeout_seconds,
    )
    if len(replies) != len(leases):
        raise StateError(f"{len(replies)} answers about {len(leases)} leases")
    for lease, wished, reply in zip(leases, wishes, replies, strict=True):
        lease.learn(wished, reply, asked_at)
