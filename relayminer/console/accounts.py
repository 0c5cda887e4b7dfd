"""Sessions' accounts that are kept up to date: of a ledger only what is new is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.state.ledger import Ledger
from relayminer.story.accounts import Accounts
from relayminer.story.books import Books
from relayminer.story.entries import entry_of

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.state.snapshots import Snapshot
    from relayminer.story.accounts import Account

MAX_RECORDS_A_LOOK: Final = 20_000
"""A long ledger is read in several looks."""


class RunningAccounts:
    """Every session's account, as far as the ledgers were read."""

    def __init__(self, redis: Redis, names: KeyNames) -> None:
        self._ledger = Ledger(redis, names)
        self._books = Books(redis, names)
        self._read_to: dict[str, str] = {}
        self._accounts = Accounts()

    @property
    def suppliers(self) -> set[str]:
        """Whose ledgers were read."""
        return set(self._read_to)

    @property
    def all(self) -> list[Account]:
        """Oldest first."""
        return self._accounts.sorted()

    def of(self, snapshot: Snapshot) -> Account | None:
        """The account of a stored session."""
        return self._accounts.find(
            snapshot.supplier_operator_address,
            snapshot.service_id,
            snapshot.application_address,
            snapshot.session_end_height,
        )

    async def refresh(self) -> None:
        """Read what was written since; raises StateError."""
        left = MAX_RECORDS_A_LOOK
        for supplier in await self._books.suppliers():
            after = self._read_to.setdefault(supplier, "")
            async for record in self._ledger.iterate(supplier, after=after):
                self._accounts.add(entry_of(supplier, record))
                self._read_to[supplier] = record.entry_id
                left -= 1
                if not left:
                    return
