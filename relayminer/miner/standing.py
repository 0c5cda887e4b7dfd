"""How things stand: what waits in the logs, and the money that is at risk right now.

Looked at now and then, not by those who scrape: a page of metrics never waits for the store.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.rewards import reward_upokt
from relayminer.protocol.errors import AmountError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.interfaces import BlockSource
    from relayminer.miner.sessions import Session
    from relayminer.telemetry.metrics import Labels, Metrics
    from relayminer.watchdog import Pulse

LOOK_SECONDS: Final = 5.0
SUPPLIERS_MAX: Final = 1_000
"""Suppliers whose logs are looked at; of more, the rest has no gauges."""
CLAIM: Final = "claim"
PROOF: Final = "proof"
_WINDOWS: Final = {
    SessionState.ACTIVE: CLAIM,
    SessionState.CLAIMING: CLAIM,
    SessionState.CLAIMED: PROOF,
    SessionState.PROVING: PROOF,
}

_log = structlog.get_logger("relayminer.miner.standing")


class StandingMetrics:
    """The gauges, each of all owned suppliers at once: of one that has left nothing stays."""

    def __init__(self, metrics: Metrics) -> None:
        self.waiting: dict[Labels, float] = {}
        self.pending: dict[Labels, float] = {}
        self.oldest: dict[Labels, float] = {}
        self.risk: dict[Labels, float] = {}
        supplier = ("supplier",)
        metrics.gauge(
            "relayminer_log_relays", "Relays in the log that no durable trie holds yet", supplier
        ).read_all = lambda: self.waiting
        metrics.gauge(
            "ha_transport_redis_pending_messages",
            "Log entries read and not yet acknowledged",
            ("supplier_addr",),
        ).read_all = lambda: self.pending
        metrics.gauge(
            "relayminer_log_oldest_seconds", "Age of the oldest relay in the log", supplier
        ).read_all = lambda: self.oldest
        metrics.gauge(
            "relayminer_upokt_at_risk",
            "Sessions whose claim or proof window is open and whose message is not on chain, uPOKT",
            ("supplier", "window"),
        ).read_all = lambda: self.risk
        self.height = metrics.gauge("ha_miner_current_block_height", "Last block seen.").bind()


class Standing:
    """Looks at every supplier that this process owns.

    Args:
        metrics: the gauges.
        blocks: for the present height.
        now: Unix seconds.
    """

    def __init__(
        self, metrics: StandingMetrics, blocks: BlockSource, now: Callable[[], float] = time.time
    ) -> None:
        self._metrics = metrics
        self._blocks = blocks
        self._now = now
        self._suppliers: dict[str, SupplierContext] = {}
        self._joined = trio.Event()
        metrics.height.read = self._height

    def add(self, supplier: SupplierContext) -> None:
        """Look at a supplier from now on."""
        self._suppliers[supplier.address] = supplier
        self._joined.set()

    def remove(self, supplier: SupplierContext) -> None:
        """Look no more."""
        if self._suppliers.get(supplier.address) is supplier:
            del self._suppliers[supplier.address]
        self._forget(supplier.address)

    async def run(self, pulse: Pulse) -> None:
        """Look now and then, until cancelled."""
        while True:
            pulse.got_on()
            for supplier in list(self._suppliers.values())[:SUPPLIERS_MAX]:
                await self._look(supplier)
                pulse.got_on()
            pulse.idle()
            with trio.move_on_after(LOOK_SECONDS):
                await self._joined.wait()
            self._joined = trio.Event()

    async def _look(self, supplier: SupplierContext) -> None:
        address = supplier.address
        try:
            backlog = await supplier.store.backlog()
            risk = await self._risk(supplier)
        except (StateError, ChainError) as error:
            # What was last known of it is no news.
            _log.debug("how it stands is not known", supplier=address, error=str(error))
            self._forget(address)
            return
        if address not in self._suppliers:
            return
        label, metrics = (address,), self._metrics
        metrics.waiting[label] = backlog.entries
        metrics.pending[label] = backlog.pending
        since = self._now() - backlog.oldest_unix_ms / 1_000 if backlog.oldest_unix_ms else 0.0
        metrics.oldest[label] = max(0.0, since)
        for window, upokt in risk.items():
            metrics.risk[address, window] = upokt

    async def _risk(self, supplier: SupplierContext) -> dict[str, float]:
        """What would be lost if nothing more was done, by window."""
        sums = {CLAIM: 0.0, PROOF: 0.0}
        height = self._height()
        for session in supplier.book:
            window = _WINDOWS.get(session.state)
            if window is None or not session.relay_count:
                continue
            windows = await supplier.process.facts.windows(session.end_height, height)
            opens = windows.claim_open_height if window is CLAIM else windows.proof_open_height
            if height >= opens:
                sums[window] += await self._worth_upokt(supplier, session, height)
        return sums

    async def _worth_upokt(self, supplier: SupplierContext, session: Session, height: int) -> int:
        try:
            # A reward is about the sums of a root, not about its digest.
            root = session.claimed_root or (
                bytes(32) + session.compute_units.to_bytes(8) + session.relay_count.to_bytes(8)
            )
            return await reward_upokt(supplier, session.info, root, height)
        except (AmountError, OverflowError):
            # A record that somebody else has spoilt.
            return 0

    def _height(self) -> int:
        latest = self._blocks.latest
        return 0 if latest is None else latest.height

    def _forget(self, address: str) -> None:
        metrics = self._metrics
        for gauge in (metrics.waiting, metrics.pending, metrics.oldest):
            gauge.pop((address,), None)
        for window in (CLAIM, PROOF):
            metrics.risk.pop((address, window), None)
