"""Notices about what all processes of a fleet see alike: one of them tells (`state.notices`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.insight.conditions import Key

OF_THE_FLEET: Final = frozenset({"fees", "store unsafe"})
"""Events that are so for every process that can see them: an account's balance on chain, and how
the server of the store is set up. Penalties, losses and windows are seen by one process only."""
KEEP_SECONDS: Final = 60.0


class Words(Protocol):
    """Who tells."""

    async def take(self, event: str, subject: str) -> bool:
        """Whether it is ours to tell that something is so."""
        ...

    async def take_back(self, event: str, subject: str) -> bool:
        """Whether it is ours to tell that it is over."""
        ...

    async def keep(self, words: Iterable[tuple[str, str]]) -> None:
        """Let the words of troubles that are still so live on."""
        ...


class Fleet:
    """Asks, for events of the fleet, whether it is this process that tells."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._kept_at = float("-inf")

    async def may_tell(self, key: Key, *, is_over: bool) -> bool:
        """Whether it is ours to tell that something is so, or that it is over."""
        if key[0] not in OF_THE_FLEET:
            return True
        return await (self._words.take_back(*key) if is_over else self._words.take(*key))

    async def keep(self, keys: Iterable[Key]) -> None:
        """Let the words of troubles that are still so live on; done now and then."""
        now = trio.current_time()
        if now - self._kept_at >= KEEP_SECONDS:
            self._kept_at = now
            await self._words.keep([key for key in keys if key[0] in OF_THE_FLEET])
