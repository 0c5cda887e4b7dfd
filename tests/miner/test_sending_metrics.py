"""What became of transactions, in numbers."""

from __future__ import annotations

import pytest

from relayminer.chain.errors import (
    ChainError,
    ChainUnavailableError,
    TransactionRefusedError,
)
from relayminer.miner.entries import SessionInfo
from relayminer.miner.records import Phase
from relayminer.miner.sending_metrics import SendingMetrics
from relayminer.miner.sessions import Attempt
from relayminer.miner.submit import Verdict
from relayminer.protocol.pb import proof_pb2
from relayminer.telemetry.metrics import Metrics

WHO = "pokt1one"
SESSION = SessionInfo("id", "svc", "pokt1app", 1, 10)


async def test_transactions_are_counted_by_what_became_of_them() -> None:
    """Taken, refused by the chain, or the node was away; messages only when they were taken."""
    metrics = Metrics()
    sending = SendingMetrics(metrics)
    with sending.broadcast(WHO, Phase.CLAIM, 3):
        pass
    errors: list[ChainError] = [
        ChainUnavailableError("away"),
        TransactionRefusedError("proof", 5, "no such session", "hash"),
        TransactionRefusedError("sdk", 5, "insufficient funds: 1upokt", "hash"),
    ]
    for error in errors:
        with pytest.raises(ChainError), sending.broadcast(WHO, Phase.PROOF, 1):
            raise error
    assert metrics.values("ha_tx_broadcasts") == {
        (WHO, "success"): 1,
        (WHO, "error"): 1,
        (WHO, "refused"): 2,
    }
    assert metrics.values("ha_tx_claims_submitted") == {(WHO,): 3}
    assert metrics.values("ha_tx_proofs_submitted") == {}
    assert metrics.values("ha_tx_proof_errors") == {(WHO, "broadcast"): 3}
    assert metrics.values("ha_tx_insufficient_balance_errors") == {(WHO,): 1}


def test_only_the_first_message_tells_how_late_it_was() -> None:
    """Those that are sent again are counted as that, whatever became of them."""
    metrics = Metrics()
    sending = SendingMetrics(metrics)
    first = Attempt(submit_height=21, last_height=21)
    again = Attempt(submit_height=21, last_height=23, resends=1)
    sending.sent(WHO, Phase.CLAIM, SESSION, first, Verdict.ACCEPTED, 2)
    sending.sent(WHO, Phase.CLAIM, SESSION, first, Verdict.DEFERRED, 3)
    sending.sent(WHO, Phase.CLAIM, SESSION, again, Verdict.ACCEPTED, 4)
    sending.sent(WHO, Phase.CLAIM, SESSION, again, Verdict.REFUSED, 5)
    page = metrics.page().decode()
    name = "ha_miner_claim_submission_latency_blocks"
    assert f'{name}_bucket{{le="2.0",supplier="{WHO}"}} 1.0' in page
    assert f'{name}_count{{supplier="{WHO}"}} 1.0' in page
    assert metrics.values("ha_miner_claim_rebroadcasts") == {
        (WHO, "svc", "success"): 1,
        (WHO, "svc", "error"): 1,
    }


def test_whether_a_proof_is_asked_for() -> None:
    """Every look is one of three: required for a reason, not required, not known."""
    metrics = Metrics()
    looks = SendingMetrics(metrics).requirements
    looks.decided(WHO, proof_pb2.THRESHOLD)
    looks.decided(WHO, proof_pb2.PROBABILISTIC)
    looks.decided(WHO, proof_pb2.NOT_REQUIRED)
    looks.unknown(WHO)
    assert metrics.values("ha_miner_proof_requirement_checks") == {(WHO,): 4}
    assert metrics.values("ha_miner_proof_requirement_required") == {
        (WHO, "threshold"): 1,
        (WHO, "probabilistic"): 1,
    }
    assert metrics.values("ha_miner_proof_requirement_skipped") == {(WHO,): 1}
    assert metrics.values("ha_miner_proof_requirement_errors") == {
        (WHO, "calculate_claimed_amount"): 1
    }
