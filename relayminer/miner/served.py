"""What relayers say they did for a session: beside what the trie holds, for the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from attrs import frozen

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.state.meter import MeterStore
    from relayminer.state.tally import TallyStore

_log = structlog.get_logger("relayminer.miner.served")


@frozen
class Served:
    """A report, no more.

    Attributes:
        relays: logged.
        consumed_upokt: spent of the application's budget.
        budget_upokt: 0 where none was computed.
    """

    relays: int = 0
    consumed_upokt: int = 0
    budget_upokt: int = 0


async def read_served(
    meter: MeterStore, tally: TallyStore, supplier: str, session_id: str
) -> Served:
    """The counts of a session; zeros where they cannot be read."""
    try:
        meta = await meter.read(session_id, supplier)
        return Served(
            await tally.logged(supplier, session_id),
            await meter.consumed(session_id, supplier),
            0 if meta is None else meta.max_stake_upokt,
        )
    except (StateError, ValueError) as error:
        # No reason to keep a session from being sealed.
        _log.warning("relayers' counts unreadable", session_id=session_id, error=str(error))
        return Served()
