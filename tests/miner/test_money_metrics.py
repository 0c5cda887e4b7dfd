"""What the miner's metrics say of money is what its ledger says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relayminer.miner.entries import SessionInfo
from relayminer.miner.money import MoneyMetrics
from relayminer.miner.records import Step, record
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from relayminer.miner.records import Record

INFO = SessionInfo("s1", "anvil", "app", 1, 10)


def line(step: Step, **fields: Any) -> Record:
    """A ledger line about one session."""
    return record(step, INFO, **fields)


SUMS = {"relays": 4, "compute_units": 40}
CASES = [
    (line(Step.CLAIM_SUBMITTED), {"claims_submitted_total": 1}),
    (line(Step.PROOF_SUBMITTED), {"proofs_submitted_total": 1}),
    (line(Step.SLASHED), {"supplier_slashed_total": 1}),
    (line(Step.DISCARDED), {"claims_discarded_total": 1}),
    (
        line(Step.CLAIM_INCLUDED, **SUMS, claimed_upokt=7),
        {"relays_claimed_total": 4, "compute_units_claimed_total": 40, "upokt_claimed_total": 7},
    ),
    (
        line(Step.PROOF_VALIDATED, **SUMS, claimed_upokt=7),
        {"relays_proved_total": 4, "compute_units_proved_total": 40, "upokt_proved_total": 7},
    ),
    (
        line(Step.LOST, **SUMS, state="proof_window_closed"),
        {"relays_lost_total": 4, "sessions_failed_total": 1, "compute_units_lost_total": 40},
    ),
    (line(Step.RELAYS_LOST, **SUMS), {"relays_lost_total": 4, "compute_units_lost_total": 40}),
    (
        line(Step.SETTLED, **SUMS, height=40, proof_status=1, earned_upokt=6),
        {
            "claims_settled_by_status_total": 1,
            "relays_settled_by_status_total": 4,
            "compute_units_settled_by_status_total": 40,
            "upokt_earned_total": 6,
            "settlement_latency_blocks_sum": 30,
        },
    ),
    (
        line(Step.EXPIRED, **SUMS, reason="PROOF_MISSING", lost_upokt=7),
        {
            "claims_expired_by_reason_total": 1,
            "relays_expired_by_reason_total": 4,
            "compute_units_expired_by_reason_total": 40,
            "upokt_expired_by_reason_total": 7,
        },
    ),
]


@pytest.mark.parametrize(("one", "sums"), CASES, ids=[one.step.value for one, _ in CASES])
def test_a_line_of_the_ledger_moves_its_counters(one: Record, sums: dict[str, float]) -> None:
    """Each step adds what it is about to the counters that the Go miner has for it."""
    metrics = Metrics()
    MoneyMetrics(metrics).count("pokt1", one)
    samples = {
        sample.name.removeprefix("ha_miner_"): sample.value
        for family in metrics.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_outcome_total"))
    }
    assert {name: samples[name] for name in sums} == sums


@pytest.mark.parametrize(
    ("status", "text"), [(0, "not_required"), (1, "proven"), (2, "invalid"), (9, "unknown")]
)
def test_a_settled_claim_is_counted_under_its_status(status: int, text: str) -> None:
    """A claim that needed no proof is no failure and has a name of its own."""
    metrics = Metrics()
    MoneyMetrics(metrics).count("pokt1", line(Step.SETTLED, height=40, proof_status=status))
    page = metrics.page().decode()
    assert f'claims_settled_by_status_total{{service_id="anvil",status="{text}"' in page
