"""Money in numbers: the ledger's lines, counted as they are written.

A line enters the ledger once, whoever writes it and however often, so what is counted here is what
the ledger says. The names are those of the Go miner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.miner.lifecycle import SessionState
from relayminer.miner.records import Step
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from relayminer.miner.records import Record
    from relayminer.telemetry.metrics import CounterFamily, Metrics

PROVEN: Final = "proven"
NOT_REQUIRED: Final = "not_required"
INVALID: Final = "invalid"
FOUND: Final = "on_chain_found"
MISSING: Final = "on_chain_missing"
STORE_LOST: Final = "store_lost"
_LATENCY_BLOCKS: Final = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0)
_STATUS: Final[dict[int, str]] = {
    proof_pb2.PENDING_VALIDATION: NOT_REQUIRED,
    proof_pb2.VALIDATED: PROVEN,
    proof_pb2.INVALID: INVALID,
}
_ONE_EACH: Final = {
    Step.CLAIM_SUBMITTED: "claims_submitted",
    Step.PROOF_SUBMITTED: "proofs_submitted",
    Step.SLASHED: "supplier_slashed",
    Step.DISCARDED: "claims_discarded",
}
_CLAIM_MISSING: Final = {SessionState.CLAIM_WINDOW_CLOSED.value, SessionState.CLAIM_TX_ERROR.value}
_PROOF_MISSING: Final = {SessionState.PROOF_WINDOW_CLOSED.value, SessionState.PROOF_TX_ERROR.value}


class MoneyMetrics:
    """The metric families of claims, proofs and settlement."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._by_service = {
            name: self._counter(name, text)
            for name, text in (
                ("claims_submitted", "Claims in the mempool, those sent again included"),
                ("proofs_submitted", "Proofs in the mempool, those sent again included"),
                ("relays_claimed", "Relays of claims that are on chain"),
                ("compute_units_claimed", "Compute units of claims that are on chain"),
                ("upokt_claimed", "Expected reward of claims that are on chain, uPOKT"),
                ("relays_proved", "Relays of claims whose proof the chain found valid"),
                ("compute_units_proved", "Compute units of claims whose proof is valid"),
                ("upokt_proved", "Expected reward of claims whose proof is valid, uPOKT"),
                ("compute_units_settled", "Compute units of settled claims, whatever their status"),
                ("upokt_earned", "The operator's own share of settled claims, uPOKT"),
                ("supplier_slashed", "Penalties"),
                ("claims_discarded", "Claims that the chain dropped for an error"),
            )
        }
        self._by_reason = {
            name: self._counter(name, text, "reason")
            for name, text in (
                ("relays_lost", "Relays of sessions that end without reward"),
                ("compute_units_lost", "Compute units of sessions that end without reward"),
                ("sessions_failed", "Sessions that end without reward"),
                ("claims_expired_by_reason", "Claims that expired"),
                ("relays_expired_by_reason", "Relays of claims that expired"),
                ("compute_units_expired_by_reason", "Compute units of claims that expired"),
                ("upokt_expired_by_reason", "What claims that expired were about, uPOKT"),
            )
        }
        self._by_status = {
            name: self._counter(name, text, "status")
            for name, text in (
                ("claims_settled_by_status", "Claims settled: proven, not_required, invalid"),
                ("relays_settled_by_status", "Relays of settled claims"),
                ("compute_units_settled_by_status", "Compute units of settled claims"),
            )
        }
        self._claim_outcome = self._counter(
            "claim_inclusion_outcome", "Claims found on chain, or not", "outcome"
        )
        self._proof_outcome = self._counter(
            "proof_inclusion_outcome", "Proofs that the chain has taken, or not", "outcome"
        )
        self._latency_blocks = metrics.histogram(
            "ha_miner_settlement_latency_blocks",
            "From a session's end to its settlement, blocks",
            ("supplier", "status"),
            _LATENCY_BLOCKS,
        )

    def _counter(self, name: str, text: str, *more: str) -> CounterFamily:
        return self._metrics.counter(f"ha_miner_{name}", text, ("supplier", "service_id", *more))

    def count(self, supplier: str, line: Record) -> None:
        """Count a line that is new in the ledger."""
        facts = line.fields
        service = str(facts.get("service_id", ""))
        match line.step:
            case Step.CLAIM_INTENT:
                self._begin(supplier, service)
            case Step.CLAIM_INCLUDED:
                self._claim_outcome.bind(supplier, service, FOUND).value += 1
                self._add(
                    supplier,
                    service,
                    relays_claimed=_number(line, "relays"),
                    compute_units_claimed=_number(line, "compute_units"),
                    upokt_claimed=_number(line, "claimed_upokt"),
                )
            case Step.PROOF_VALIDATED:
                self._proof_outcome.bind(supplier, service, FOUND).value += 1
                self._add(
                    supplier,
                    service,
                    relays_proved=_number(line, "relays"),
                    compute_units_proved=_number(line, "compute_units"),
                    upokt_proved=_number(line, "claimed_upokt"),
                )
            case Step.LOST:
                self._lost(supplier, service, line)
            case Step.RELAYS_LOST:
                self._add_lost(supplier, service, STORE_LOST, line)
            case Step.SETTLED:
                self._settled(supplier, service, line)
            case Step.EXPIRED:
                self._expired(supplier, service, line)
            case step if step in _ONE_EACH:
                self._by_service[_ONE_EACH[step]].bind(supplier, service).value += 1

    def _begin(self, supplier: str, service: str) -> None:
        """Show zeros before the first sums: a series that begins at a sum shows no increase."""
        for family in self._by_service.values():
            family.bind(supplier, service)
        for family in self._by_status.values():
            for status in (PROVEN, NOT_REQUIRED):
                family.bind(supplier, service, status)

    def _add(self, supplier: str, service: str, **sums: int) -> None:
        for name, amount in sums.items():
            self._by_service[name].bind(supplier, service).value += amount

    def _lost(self, supplier: str, service: str, line: Record) -> None:
        state = str(line.fields.get("state", ""))
        if state in _CLAIM_MISSING:
            self._claim_outcome.bind(supplier, service, MISSING).value += 1
        elif state in _PROOF_MISSING:
            self._proof_outcome.bind(supplier, service, MISSING).value += 1
        self._by_reason["sessions_failed"].bind(supplier, service, state).value += 1
        self._add_lost(supplier, service, state, line)

    def _add_lost(self, supplier: str, service: str, reason: str, line: Record) -> None:
        for name in ("relays", "compute_units"):
            family = self._by_reason[f"{name}_lost"]
            family.bind(supplier, service, reason).value += _number(line, name)

    def _settled(self, supplier: str, service: str, line: Record) -> None:
        status = _STATUS.get(_number(line, "proof_status"), "unknown")
        for name, amount in (
            ("claims", 1),
            ("relays", _number(line, "relays")),
            ("compute_units", _number(line, "compute_units")),
        ):
            family = self._by_status[f"{name}_settled_by_status"]
            family.bind(supplier, service, status).value += amount
        self._add(
            supplier,
            service,
            upokt_earned=_number(line, "earned_upokt"),
            compute_units_settled=_number(line, "compute_units"),
        )
        blocks = _number(line, "height") - _number(line, "session_end_height")
        self._latency_blocks.bind(supplier, status).observe(blocks)

    def _expired(self, supplier: str, service: str, line: Record) -> None:
        reason = str(line.fields.get("reason", ""))
        for name, amount in (
            ("claims", 1),
            ("relays", _number(line, "relays")),
            ("compute_units", _number(line, "compute_units")),
            ("upokt", _number(line, "lost_upokt")),
        ):
            family = self._by_reason[f"{name}_expired_by_reason"]
            family.bind(supplier, service, reason).value += amount


def _number(line: Record, name: str) -> int:
    value = line.fields.get(name, 0)
    return value if isinstance(value, int) else 0
