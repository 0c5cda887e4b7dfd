"""Settlement: what every block's events say about our suppliers, written into the ledger.

Blocks are read one after another and none is left out. How far they have been read is kept per
supplier, so that a supplier that changes its owner is followed on from where it was left; records
have ids made of what they are about, so that a block read twice is recorded once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
import trio

from relayminer.miner.entries import SessionInfo
from relayminer.miner.errors import LeaseLostError
from relayminer.miner.reconcile import EXPIRED, SETTLED
from relayminer.miner.records import Record, Step, Value, record
from relayminer.protocol.events import (
    ApplicationOverserviced,
    ClaimDiscarded,
    ClaimExpired,
    ClaimSettled,
    SettlementEvent,
    SupplierSlashed,
    attributes_of,
    parse_event,
)
from relayminer.protocol.pb import tokenomics_pb2
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.miner.book import SessionBook
    from relayminer.miner.interfaces import BlockSource
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.sessions import Session
    from relayminer.miner.store import SupplierStore
    from relayminer.watchdog import Pulse

RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.miner.settle")


class Settled(Protocol):
    """What settlement needs of a supplier that we own."""

    @property
    def address(self) -> str:
        """Operator address."""
        ...

    @property
    def store(self) -> SupplierStore:
        """Its store."""
        ...

    @property
    def book(self) -> SessionBook:
        """Its sessions."""
        ...


class Settlement:
    """Follows block events for the suppliers that this process owns."""

    def __init__(self, blocks: BlockSource, metrics: MinerMetrics) -> None:
        self._blocks = blocks
        self._metrics = metrics
        self._suppliers: dict[str, Settled] = {}
        self._read_through: dict[str, int] = {}
        self._joined = trio.Event()

    def through(self, supplier: str) -> int:
        """Last height whose events are recorded for a supplier; 0 when it is not followed."""
        return self._read_through.get(supplier, 0)

    def add(self, supplier: Settled, read_through: int) -> None:
        """Follow a supplier from `read_through + 1` on."""
        self._suppliers[supplier.address] = supplier
        self._read_through[supplier.address] = read_through
        self._joined.set()

    def remove(self, supplier: Settled) -> None:
        """Stop following a supplier."""
        if self._suppliers.get(supplier.address) is supplier:
            del self._suppliers[supplier.address]
            self._read_through.pop(supplier.address, None)

    def is_waited_for(self) -> bool:
        """Whether there is a block that was not read yet."""
        latest = self._blocks.latest
        return latest is not None and latest.height > self._metrics.settled_height.value

    async def run(self, pulse: Pulse) -> None:
        """Follow blocks until cancelled; starts over further back when a supplier joins."""
        while True:
            if not self._suppliers:
                self._joined = trio.Event()
                pulse.idle()
                await self._joined.wait()
            self._joined = trio.Event()
            pulse.got_on()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._restart_on_join, scope, self._joined)
                    await self._follow(min(self._read_through.values()) + 1, pulse)

    async def _restart_on_join(self, scope: trio.CancelScope, joined: trio.Event) -> None:
        await joined.wait()
        scope.cancel()

    async def _follow(self, from_height: int, pulse: Pulse) -> None:
        self._metrics.settled_height.value = from_height - 1
        last_height = from_height - 1
        pulse.idle()
        async for height, events in self._blocks.events(from_height):
            pulse.got_on()
            if height <= last_height:
                # The chain was set back: what was read of these heights is of another past.
                for address, read in self._read_through.items():
                    self._read_through[address] = min(read, height - 1)
            last_height = height
            while True:
                if await self._record_block(height, events):
                    break
                await trio.sleep(RETRY_SECONDS)
                pulse.got_on()
            self._metrics.settled_height.value = height
            pulse.idle()

    async def _record_block(self, height: int, events: Sequence[Any]) -> bool:
        """Record a block for every supplier that has not had it; whether that worked."""
        by_supplier: dict[str, list[SettlementEvent]] = defaultdict(list)
        for event in events:
            parsed = _parsed(event)
            if parsed is not None and parsed.supplier_operator_address in self._suppliers:
                by_supplier[parsed.supplier_operator_address].append(parsed)
        complete = True
        for address, supplier in list(self._suppliers.items()):
            if self._read_through.get(address, 0) >= height:
                continue
            try:
                for parsed in by_supplier.get(address, ()):
                    await self._record(supplier, parsed, height)
                await supplier.store.save_settled_height(height)
            except LeaseLostError:
                # The next owner goes on from the height on record.
                self.remove(supplier)
            except StateError as error:
                complete = False
                _log.warning("block not recorded", supplier=address, error=str(error))
            else:
                if address in self._read_through:
                    self._read_through[address] = height
        return complete

    async def _record(self, supplier: Settled, event: SettlementEvent, height: int) -> None:
        """One event: into the ledger, the session and the metrics."""
        session = self._session_of(supplier, event)
        line = ledger_record(event, session.info if session is not None else None, height)
        is_new = await supplier.store.append_records([line])
        if session is not None and isinstance(event, ClaimSettled | ClaimExpired):
            session.settlement_outcome = SETTLED if isinstance(event, ClaimSettled) else EXPIRED
            session.settlement_height = height
            session.proof_status = event.claim_proof_status
            await supplier.store.save_settlement(session)
        if not is_new:
            return
        service = event.service_id
        match event:
            case ClaimSettled():
                amount = event.settled_upokt
                self._metrics.settled_upokt.bind(supplier.address, service).value += amount
            case SupplierSlashed():
                amount = event.penalty_upokt
                self._metrics.slashed_upokt.bind(supplier.address, service).value += amount
            case ClaimExpired() | ClaimDiscarded() | ApplicationOverserviced():
                pass
        _log.info("settlement", supplier=supplier.address, height=height, step=line.step.value)

    def _session_of(self, supplier: Settled, event: SettlementEvent) -> Session | None:
        if isinstance(event, ClaimSettled) and event.session_id:
            return supplier.book.get(event.session_id)
        return supplier.book.find(
            event.service_id, event.application_address, event.session_end_height
        )


def _parsed(event: Any) -> SettlementEvent | None:
    """An event of settlement, None for any other, and for what a node should not have sent."""
    try:
        return parse_event(event.get("type", ""), attributes_of(event.get("attributes") or ()))
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        _log.error("a block's event cannot be read", error=repr(error))
        return None


def ledger_record(event: SettlementEvent, info: SessionInfo | None, height: int) -> Record:
    """The ledger's line for an event of the block at `height`.

    Args:
        event: What happened.
        info: The session it is about, when we know it; only settled claims say their session.
        height: The block.
    """
    if info is None:
        session_id = event.session_id if isinstance(event, ClaimSettled) else ""
        info = SessionInfo(
            session_id or f"{event.service_id}/{event.application_address}",
            event.service_id,
            event.application_address,
            0,
            event.session_end_height,
        )
    step, fields = _facts(event)
    return record(step, info, height, event.session_end_height, height=height, **fields)


def _facts(event: SettlementEvent) -> tuple[Step, Mapping[str, Value]]:
    match event:
        case ClaimSettled():
            return Step.SETTLED, {
                "relays": event.num_relays,
                "compute_units": event.num_claimed_compute_units,
                "claimed_upokt": event.claimed_upokt,
                "settled_upokt": event.settled_upokt,
                "minted_upokt": event.minted_upokt,
                "earned_upokt": event.earned_upokt(event.supplier_operator_address),
                "overservicing_loss_upokt": event.overservicing_loss_upokt,
                "deflation_loss_upokt": event.deflation_loss_upokt,
                "proof_status": event.claim_proof_status,
            }
        case ClaimExpired():
            return Step.EXPIRED, {
                "reason": tokenomics_pb2.ClaimExpirationReason.Name(event.expiration_reason),
                "relays": event.num_relays,
                "compute_units": event.num_claimed_compute_units,
                "lost_upokt": event.claimed_upokt,
                "proof_status": event.claim_proof_status,
            }
        case SupplierSlashed():
            return Step.SLASHED, {
                "penalty_upokt": event.penalty_upokt,
                "stake_after_upokt": event.stake_after_slash_upokt,
            }
        case ApplicationOverserviced():
            return Step.OVERSERVICED, {
                "expected_burn_upokt": event.expected_burn_upokt,
                "effective_burn_upokt": event.effective_burn_upokt,
                "reason": "spend limit" if event.is_spend_limit else "stake",
            }
        case ClaimDiscarded():
            return Step.DISCARDED, {"reason": event.error}
