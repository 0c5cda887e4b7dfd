"""Difficulty, rewards and budgets: printed vectors of wire 17.4 and 16.2, and what always holds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import budget, difficulty, reward
from relayminer.protocol.errors import AmountError
from relayminer.protocol.pb.shared_pb2 import Params

HALF = bytes.fromhex("7f" + "ff" * 31)
UINT64 = st.integers(min_value=0, max_value=2**64 - 1)
LOCAL = Params(
    num_blocks_per_session=10,
    claim_window_open_offset_blocks=1,
    claim_window_close_offset_blocks=8,
    proof_window_close_offset_blocks=8,
    compute_units_to_tokens_multiplier=100,
    compute_unit_cost_granularity=1,
)


def root(total: int, count: int) -> bytes:
    """A root over nothing in particular."""
    return bytes(range(32)) + total.to_bytes(8) + count.to_bytes(8)


def test_printed_targets() -> None:
    """Targets of known averages; at or below the wanted volume everything counts."""
    assert difficulty.scale_target(50, 100) == HALF
    assert difficulty.scale_target(100000, 123456).hex() == (
        "cf5c7fef03515a1c6673fd5884b61470021f95d4bc73318054ef693d71ffbc0c"
    )
    assert difficulty.scale_target(100000, 99999) == difficulty.BASE_TARGET
    assert difficulty.scale_target(7, 7) == difficulty.BASE_TARGET
    with pytest.raises(AmountError):
        difficulty.scale_target(1, 0)


@pytest.mark.parametrize(
    ("previous", "relays", "average"),
    [(100, 200, 110), (100000, 123456, 102345), (100000, 0, 89999), (10, 20, 11), (7, 7, 7)],
)
def test_printed_averages(previous: int, relays: int, average: int) -> None:
    """The average moves a tenth of the way, truncated as the chain's floats are."""
    assert difficulty.update_ema(previous, relays) == average


@given(UINT64, UINT64)
def test_average_lies_between(previous: int, relays: int) -> None:
    """The average never leaves the two values by more than rounding."""
    average = difficulty.update_ema(previous, relays)
    exact = Fraction(difficulty._ALPHA * relays + difficulty._BETA * previous, 2**55)
    assert abs(average - exact) <= 2
    assert average <= 2**64


def test_printed_reward() -> None:
    """The amounts of a known claim at half difficulty."""
    params = Params(compute_units_to_tokens_multiplier=100, compute_unit_cost_granularity=1)
    known = root(5000, 5)
    assert reward.claimed_upokt(known, HALF, params) == 1000000
    assert reward.estimated_compute_units(known, HALF) == 10000
    assert reward.estimated_relays(known, HALF) == 10
    assert reward.claimed_upokt(root(1000, 1), difficulty.BASE_TARGET, params) == 100000


def test_impossible_amounts() -> None:
    """Zero targets and granularities, roots of other lengths and 257-bit amounts are refused."""
    params = Params(compute_units_to_tokens_multiplier=1, compute_unit_cost_granularity=1)
    with pytest.raises(AmountError):
        reward.claimed_upokt(root(1, 1), bytes(32), params)
    with pytest.raises(AmountError):
        reward.claimed_upokt(root(1, 1), HALF, Params())
    with pytest.raises(AmountError):
        reward.claimed_upokt(root(2, 1), (1).to_bytes(32), params)
    for bad in (b"", bytes(32), bytes(47), bytes(49)):
        with pytest.raises(AmountError):
            reward.root_sum(bad)
        with pytest.raises(AmountError):
            reward.root_count(bad)
    with pytest.raises(AmountError):
        budget.relay_cost_upokt(1, Params())


def test_empty_roots() -> None:
    """No relays or no compute units are worth nothing and estimate nothing."""
    assert reward.estimated_relays(root(0, 0), HALF) == 0
    assert reward.estimated_relays(root(3, 5), HALF) == 0
    assert reward.claimed_upokt(root(0, 0), HALF, LOCAL) == 0


@given(UINT64, UINT64, st.integers(min_value=1, max_value=2**256 - 1))
def test_amounts_are_exact(total: int, count: int, target: int) -> None:
    """Every amount is the exact fraction, floored once."""
    params = Params(
        compute_units_to_tokens_multiplier=42000000, compute_unit_cost_granularity=1000000
    )
    known, target_hash = root(total, count), target.to_bytes(32)
    assert (reward.root_sum(known), reward.root_count(known)) == (total, count)
    exact = Fraction(difficulty.MAX_TARGET, target) * total * 42
    if exact >= 2**256:
        with pytest.raises(AmountError):
            reward.claimed_upokt(known, target_hash, params)
    else:
        amount = reward.claimed_upokt(known, target_hash, params)
        assert amount <= exact < amount + 1
    units = difficulty.MAX_TARGET * total // target % 2**64
    assert reward.estimated_compute_units(known, target_hash) == units


def test_consistency() -> None:
    """Every relay must weigh the service's units, modulo 2^64; an unknown weight passes."""
    assert reward.is_consistent(root(5000, 5), 1000)
    assert not reward.is_consistent(root(5001, 5), 1000)
    assert reward.is_consistent(root(5001, 5), 0)
    assert reward.is_consistent(root(2**64 - 2, 2**63 - 1), 2)
    assert reward.is_consistent(root(0, 2**63), 2)


def test_local_network_budget() -> None:
    """On the local network a relay costs 100000 uPOKT and 15 suppliers share a third."""
    assert budget.relay_cost_upokt(1000, LOCAL) == 100000
    assert budget.relay_cost_upokt(0, LOCAL) == 100
    assert budget.session_budget_upokt(10_000_000_000, 15, LOCAL) == 666666666 // 3
    assert budget.session_budget_upokt(10_000_000_000, 15, LOCAL, 0.5) == 5_000_000_000
    assert budget.session_budget_upokt(10_000_000_000, 0, Params()) == 5_000_000_000


@given(st.integers(min_value=0, max_value=10**18), st.integers(min_value=0, max_value=100))
def test_budgets_never_exceed_the_stake(stake: int, suppliers: int) -> None:
    """All suppliers of all sessions that can wait together stay within the stake."""
    allowed = budget.session_budget_upokt(stake, suppliers, LOCAL)
    assert 0 <= allowed * max(1, suppliers) * 3 <= stake
