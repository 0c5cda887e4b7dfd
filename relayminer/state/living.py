"""The register of living miners: who they are, and which suppliers they would own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relayminer.state.scripting import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from relayminer.state.connection import Argument
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames


class LivingMiners:
    """The register of miners that are alive: suppliers are shared out among them.

    The set of ids and the heartbeats are the Go implementation's. Beside them each of our miners
    says which suppliers it has keys for, so that nobody leaves it one that it cannot work for.
    """

    def __init__(
        self, redis: Redis, names: KeyNames, *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._redis = redis
        self._names = names
        self._now_ns = now_ns
        self._said: tuple[str, bytes] = ("", b"")
        self._known: dict[str, tuple[bytes, frozenset[str]] | None] = {}
        """Who lived the last time, with the text and what it says."""

    async def meet(
        self, miner: str, ttl_seconds: float, suppliers: Iterable[str] = ()
    ) -> Mapping[str, frozenset[str] | None]:
        """Says that `miner` lives and asks who else does, in one round trip.

        Args:
            miner: id of this miner.
            ttl_seconds: how long it is alive without another word.
            suppliers: those that it has keys for.

        Returns:
            The suppliers that each living miner has keys for, by its id; None for a Go miner.
        """
        ttl_ms = max(1, int(ttl_seconds * 1000))
        text = "\n".join(sorted(suppliers)).encode()
        wants = self._names.miner_wants_key(miner)
        # A long list goes into the append-only file once, not at every beat.
        same = self._said == (miner, text)
        commands: list[Sequence[Argument]] = [
            ("SET", self._names.miner_instance_key(miner), self._now_ns(), "PX", ttl_ms),
            ("SADD", self._names.miner_active_set_key, miner),
            ("PEXPIRE", wants, ttl_ms) if same else ("SET", wants, text, "PX", ttl_ms),
            ("SMEMBERS", self._names.miner_active_set_key),
        ]
        known = list(self._known)
        _, _, kept, members, *beats = await self._redis.pipeline([*commands, *self._ask(known)])
        self._said = (miner, text) if kept else ("", b"")
        ids = {member.decode(errors="replace") for member in members}
        if new := sorted(ids - set(known)):
            known += new
            for some in chunks(new):
                beats += await self._redis.pipeline(list(self._ask(some)))
        living: dict[str, frozenset[str] | None] = {}
        for one, lives, their_text in zip(known, beats[::2], beats[1::2], strict=True):
            if lives and one in ids:
                living[one] = self._suppliers(one, their_text)
        await self._bury(sorted(ids - living.keys()))
        self._known = {one: self._known.get(one) for one in living}
        return living

    async def leave(self, miner: str) -> None:
        """Takes `miner` off the register, and tells those who share suppliers out."""
        await self._redis.pipeline(
            [
                ("SREM", self._names.miner_active_set_key, miner),
                ("DEL", self._names.miner_instance_key(miner)),
                ("DEL", self._names.miner_wants_key(miner)),
                ("PUBLISH", self._names.lease_news_channel, miner),
            ]
        )

    def _ask(self, miners: Iterable[str]) -> Iterator[Sequence[Argument]]:
        for miner in miners:
            yield "EXISTS", self._names.miner_instance_key(miner)
            yield "GET", self._names.miner_wants_key(miner)

    async def _bury(self, dead: Sequence[str]) -> None:
        """Take those whose heartbeat ran out off the register."""
        for some in chunks(dead):
            await self._redis.command("SREM", self._names.miner_active_set_key, *some)

    def _suppliers(self, miner: str, text: bytes | None) -> frozenset[str] | None:
        """From the text, taken apart only when it is another one than the last time."""
        if text is None:
            return None
        heard = self._known.get(miner)
        if heard is None or heard[0] != text:
            heard = (text, frozenset(text.decode(errors="replace").split()))
            self._known[miner] = heard
        return heard[1]
