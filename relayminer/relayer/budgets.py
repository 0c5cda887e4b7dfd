"""The shared meter, as the relayer's `BudgetStore`: whole relays are leased from Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.state.meter import MeterMeta

if TYPE_CHECKING:
    from relayminer.relayer.relay import SessionContext
    from relayminer.state.meter import MeterStore


class SharedBudgets:
    """Leases from the counters that all relayers of the fleet share.

    Args:
        meters: the counters.
        max_opened: sessions remembered as opened here; opening one twice does no harm.
    """

    def __init__(self, meters: MeterStore, *, max_opened: int = 100_000) -> None:
        self._meters = meters
        self._max_opened = max_opened
        self._opened: set[tuple[str, str]] = set()

    async def lease(
        self, context: SessionContext, supplier: str, *, max_upokt: int, wanted_upokt: int
    ) -> int:
        """Count up to `wanted_upokt` as spent, whole relays, never beyond `max_upokt`.

        Raises:
            StateError: the store is away.
        """
        cost_upokt = context.cost_upokt
        if cost_upokt <= 0:
            return wanted_upokt
        key = (context.session_id, supplier)
        if key not in self._opened:
            await self._open(context, supplier, max_upokt)
            if len(self._opened) >= self._max_opened:
                self._opened.clear()
            self._opened.add(key)
        grant = await self._meters.take(
            context.session_id,
            supplier,
            cost_upokt=cost_upokt,
            relays=max(1, wanted_upokt // cost_upokt),
            max_upokt=max_upokt,
        )
        return grant.relays * cost_upokt

    async def give_back(self, session_id: str, supplier: str, unspent_upokt: int) -> None:
        """Count `unspent_upokt` as not spent."""
        self._opened.discard((session_id, supplier))
        await self._meters.give_back(session_id, supplier, unspent_upokt)

    async def _open(self, context: SessionContext, supplier: str, max_upokt: int) -> None:
        await self._meters.open(
            MeterMeta(
                session_id=context.session_id,
                app_address=context.application,
                service_id=context.service,
                supplier_address=supplier,
                session_end_height=context.end_height,
                max_stake_upokt=max_upokt,
            )
        )
