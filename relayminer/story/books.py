"""Reading ledgers and what else the store knows of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.state.ledger import Ledger
from relayminer.story.accounts import accounts_of
from relayminer.story.entries import entry_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.story.accounts import Account
    from relayminer.story.entries import Entry


class Books:
    """The ledgers of all suppliers, read only."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._redis = redis
        self._names = names
        self._ledger = Ledger(redis, names)

    async def suppliers(self) -> list[str]:
        """Every supplier that was ever mined for, sorted."""
        found = await self._redis.command("HKEYS", self._names.settled_heights_key)
        return sorted(name.decode(errors="replace") for name in found)

    async def entries(
        self, suppliers: Sequence[str] = (), *, since_unix_seconds: int = 0
    ) -> AsyncIterator[Entry]:
        """The entries of some suppliers (none: all), one supplier after another, oldest first."""
        after = f"{since_unix_seconds * 1000 - 1}-0" if since_unix_seconds > 0 else ""
        for supplier in suppliers or await self.suppliers():
            async for record in self._ledger.iterate(supplier, after=after):
                yield entry_of(supplier, record)

    async def accounts(
        self, suppliers: Sequence[str] = (), *, since_unix_seconds: int = 0
    ) -> list[Account]:
        """Their sessions' accounts, oldest first."""
        entries = self.entries(suppliers, since_unix_seconds=since_unix_seconds)
        return accounts_of([entry async for entry in entries])
