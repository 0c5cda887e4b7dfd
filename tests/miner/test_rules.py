"""The pure rules: what is due, what it is worth, how it is batched."""

from __future__ import annotations

import pytest

from relayminer.miner.claim_rules import (
    Costs,
    OnChain,
    Profit,
    compare_claim,
    expected_cost_upokt,
    lifetime_seconds,
    resend_height,
    transactions_of,
)
from relayminer.miner.lifecycle import Duty, SessionState, duty
from relayminer.miner.sending import RESENDS_MAX, is_due
from relayminer.miner.sessions import Attempt
from relayminer.protocol.windows import session_windows
from tests.miner.chain import shared_params

WINDOWS = session_windows(shared_params(), 20)


def root(count: int, mark: bytes = b"a") -> bytes:
    """A root with `count` relays."""
    return mark * 32 + bytes(8) + count.to_bytes(8, "big")


@pytest.mark.parametrize(
    ("state", "height", "expected"),
    [
        (SessionState.ACTIVE, 21, Duty.NOTHING),
        (SessionState.ACTIVE, 22, Duty.CLAIM),
        (SessionState.CLAIMING, 25, Duty.CLAIM),
        (SessionState.CLAIMING, 26, Duty.CLAIM_VERDICT),
        (SessionState.ACTIVE, 26, Duty.CLAIM_VERDICT),
        (SessionState.CLAIMED, 25, Duty.NOTHING),
        (SessionState.CLAIMED, 26, Duty.PROVE),
        (SessionState.PROVING, 29, Duty.PROVE),
        (SessionState.PROVING, 30, Duty.PROOF_VERDICT),
        (SessionState.CLAIMED, 99, Duty.PROOF_VERDICT),
        (SessionState.PROVED, 28, Duty.NOTHING),
    ],
)
def test_duty_follows_the_windows(state: SessionState, height: int, expected: Duty) -> None:
    """Claiming and proving are driven at every block of their window, verdicts come after it."""
    assert duty(state, height, WINDOWS) is expected


def test_a_message_is_sent_once_then_given_time() -> None:
    """Due at once, not again while its transaction may still show, then again, with an end."""
    assert is_due(None, 22, 26)
    attempt = Attempt(submit_height=22, last_height=22)
    assert not is_due(attempt, 23, 26)
    assert is_due(attempt, 24, 26)
    assert not is_due(attempt, 26, 26)
    attempt.resends, attempt.tx_hash, attempt.original_tx_hash = RESENDS_MAX, "AB", "AB"
    assert not is_due(attempt, 24, 26)


def test_what_could_not_be_sent_is_due_at_the_next_block() -> None:
    """A deferred message waits one block, however often, and a refused one takes its turn."""
    attempt = Attempt(22, 22, reason="the chain is away", resends=RESENDS_MAX)
    assert not is_due(attempt, 22, 26)
    assert is_due(attempt, 23, 26)
    attempt = Attempt(22, 22, reason="invalid", refused=True)
    assert not is_due(attempt, 23, 26)


def test_tries_that_nobody_knows_to_have_left_are_no_reason_to_give_up() -> None:
    """Owner after owner died or was cut off before the mempool said yes: tried to the end."""
    attempt = Attempt(submit_height=12, last_height=14, resends=RESENDS_MAX + 3)
    assert next(height for height in range(14, 26) if is_due(attempt, height, 26)) < 25
    assert is_due(attempt, 25, 26)
    # What was accepted so often and is not on chain costs a fee each time: once more at the end.
    attempt.tx_hash = attempt.original_tx_hash = "AB"
    assert [height for height in range(14, 27) if is_due(attempt, height, 26)] == [25]
    attempt.last_height = 24
    assert not is_due(attempt, 25, 26)
    # Unless the last one is not known to have left: its owner died before the mempool said yes.
    attempt.tx_hash = ""
    assert is_due(attempt, 25, 26)


def test_resends_spread_over_a_long_window() -> None:
    """A quarter of the window passes before the first resend of a long window."""
    assert resend_height(100, 140, 0) == 110
    assert resend_height(100, 104, 0) == 102


def test_larger_claims_are_never_replaced() -> None:
    """The relay count decides which of two different claims stays."""
    assert compare_claim(root(5), None) is OnChain.ABSENT
    assert compare_claim(root(5), root(5)) is OnChain.OURS
    assert compare_claim(root(5), root(4)) is OnChain.SMALLER
    assert compare_claim(root(5), root(6)) is OnChain.LARGER
    assert compare_claim(root(5), root(5, b"b")) is OnChain.SMALLER


def test_cost_counts_a_proof_as_likely_as_it_is() -> None:
    """From the threshold on a proof is certain, below it as likely as the chain asks for one."""
    costs = Costs(10, 20, 100)
    assert expected_cost_upokt(costs, reward_upokt=50, threshold_upokt=50, p=0.0) == 130
    assert expected_cost_upokt(costs, reward_upokt=49, threshold_upokt=50, p=0.25) == 40
    assert Profit(11, 10).worthwhile
    assert not Profit(10, 10).worthwhile


def test_batches_and_lifetimes() -> None:
    """Batches keep order and size; a lifetime reaches to the end of its window in slow blocks too.

    It is never shorter than two minutes, and never longer than the chain's limit.
    """
    assert list(transactions_of([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert lifetime_seconds(22, 26, 30.0, 590) == 300
    assert lifetime_seconds(22, 260, 30.0, 590) == 590
    assert lifetime_seconds(25, 26, 30.0, 590) == 120
    assert lifetime_seconds(30, 26, 2.0, 590) == 120
    assert lifetime_seconds(30, 26, 2.0, 60) == 60
