"""Settlement: hand-computed cases of every rule, and conservation of what there is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayminer.devnet.chain import Event, services
from relayminer.devnet.chain.distribution import shareholder_amounts
from relayminer.devnet.chain.tables import APPLICATIONS, CLAIMS, CONFIG_UPDATES, SUPPLIERS
from relayminer.devnet.chain.validators import proportional
from relayminer.protocol.address import module_address
from relayminer.protocol.pb import application_pb2, proof_pb2, shared_pb2
from tests.devnet.chain.settling import (
    UPOKT_PER_RELAY,
    held,
    make,
    module_gap,
    of,
    put_claim,
    settle,
    supply,
    upokt,
)
from tests.devnet.chain.world import SERVICE, World

PER_SESSION_BUDGET = 5_000_000_000


def set_stake(world: World, app: str, amount: int) -> None:
    """Let an application have this stake, and its module the coins."""
    address = world.address(app)
    application = application_pb2.Application()
    application.CopyFrom(world.chain.store.get(APPLICATIONS, address) or application)
    application.stake.amount = str(amount)
    world.chain.store.set(APPLICATIONS, address, application)


def test_shares_of_one_claim() -> None:
    """One settled claim must pay 70/5/15/0 per cent and the rest to the DAO."""
    world = make()
    put_claim(world, "supplier1", 33)
    before = {
        name: world.balance(world.address(name))
        for name in ("supplier1", "validator1", "source_owner", "dao")
    }
    (settled,) = of(settle(world), "EventClaimSettled")
    amount = 33 * UPOKT_PER_RELAY
    assert upokt(settled, "settled_upokt") == amount
    gained = {name: world.balance(world.address(name)) - before[name] for name in before}
    assert gained == {
        "supplier1": amount * 70 // 100,
        "validator1": amount * 5 // 100,
        "source_owner": amount * 15 // 100,
        "dao": amount * 10 // 100,
    }


def test_budget_caps_each_claim() -> None:
    """Above the budget every claimant must get the same floor, and be told what was lost."""
    world = make()
    for supplier in ("supplier1", "supplier2"):
        put_claim(world, supplier, 30_000)
    events = settle(world)
    for settled in of(events, "EventClaimSettled"):
        assert upokt(settled, "settled_upokt") == PER_SESSION_BUDGET // 2
        assert upokt(settled, "overservicing_loss_upokt") == 3_000_000_000 - PER_SESSION_BUDGET // 2
    for overserviced in of(events, "EventApplicationOverserviced"):
        assert upokt(overserviced, "expected_burn") == 3_000_000_000
        assert upokt(overserviced, "effective_burn") == PER_SESSION_BUDGET // 2
        assert overserviced.value("spend_limit_exceeded") == "false"


def test_bonus_uses_what_others_left() -> None:
    """With a multiplier above 1 the unused part of the budget must go to those above the floor."""
    world = make(params={"tokenomics": {"overservicing_bonus_multiplier": 3}})
    put_claim(world, "supplier1", 5_000)
    put_claim(world, "supplier2", 60_000)
    settled = {
        event.value("supplier_operator_address"): upokt(event, "settled_upokt")
        for event in of(settle(world), "EventClaimSettled")
    }
    floor, used = PER_SESSION_BUDGET // 2, 500_000_000
    assert settled[f'"{world.address("supplier1")}"'] == used
    assert settled[f'"{world.address("supplier2")}"'] == floor + (floor - used)


def test_spend_limit_binds() -> None:
    """A per-session spend limit below the stake's share must cap and be named in the event."""
    world = make()
    address = world.address("app1")
    application = application_pb2.Application()
    application.CopyFrom(world.chain.store.get(APPLICATIONS, address) or application)
    application.per_session_spend_limit.denom = "upokt"
    application.per_session_spend_limit.amount = "1000000"
    world.chain.store.set(APPLICATIONS, address, application)
    put_claim(world, "supplier1", 100)
    events = settle(world)
    (settled,) = of(events, "EventClaimSettled")
    assert upokt(settled, "settled_upokt") == 1_000_000
    assert of(events, "EventApplicationOverserviced")[0].value("spend_limit_exceeded") == "true"


def test_mint_ratio_burns_the_difference() -> None:
    """With a mint ratio below 1 less must be minted than burned, and the event must say so."""
    world = make(params={"tokenomics": {"mint_ratio": 0.975}})
    put_claim(world, "supplier1", 33)
    before = supply(world)
    (settled,) = of(settle(world), "EventClaimSettled")
    assert settled.value("mint_ratio") == '"0.975"'
    assert upokt(settled, "minted_upokt") == 3_217_500
    assert upokt(settled, "deflation_loss_upokt") == 82_500
    assert supply(world) == before - 82_500


def test_inflation_mints_and_counts_in_the_budget() -> None:
    """Inflation must be minted on top, rounded up, and lower what a budget can settle."""
    world = make(params={"tokenomics": {"global_inflation_per_claim": 0.1}})
    put_claim(world, "supplier1", 60_000)
    before = supply(world)
    events = settle(world)
    (settled,) = of(events, "EventClaimSettled")
    most = PER_SESSION_BUDGET * 10 // 11
    assert upokt(settled, "settled_upokt") == most
    assert supply(world) == before - (-most // 10)
    (overserviced,) = of(events, "EventApplicationOverserviced")
    assert upokt(overserviced, "expected_burn") == 6_600_000_000


def test_revenue_shares() -> None:
    """Shares must be floored by percentage, the remainder going to the first shareholder."""
    shares = [
        shared_pb2.ServiceRevenueShare(address="b", rev_share_percentage=33),
        shared_pb2.ServiceRevenueShare(address="a", rev_share_percentage=67),
    ]
    assert shareholder_amounts(shares, 101) == {"b": 34, "a": 67}
    with pytest.raises(ValueError, match="sum to 67"):
        shareholder_amounts(shares[1:], 100)


def test_broken_revenue_shares_pay_the_owner() -> None:
    """A configuration whose shares do not sum to 100 must pay the owner and say why."""
    world = make()
    store = world.chain.store
    operator = world.address("supplier1")
    for key, update in store.items(CONFIG_UPDATES):
        if key[2] == operator:
            broken = shared_pb2.ServiceConfigUpdate()
            broken.CopyFrom(update)
            broken.service.rev_share[0].rev_share_percentage = 99
            store.set(CONFIG_UPDATES, key, broken)
    put_claim(world, "supplier1", 10)
    (fallback,) = of(settle(world), "EventSupplierRevShareFallbackDistribution")
    assert upokt(fallback, "amount") == 700_000
    assert fallback.value("observed_sum_percentage") == '"99"'


def test_unproven_claim_expires_and_slashes_to_unbonding() -> None:
    """A supplier slashed below its minimum stake must unbond and leave later sessions."""
    world = make(
        params={"proof": {"proof_missing_penalty": {"denom": "upokt", "amount": "9999999"}}}
    )
    put_claim(world, "supplier1", 10, status=proof_pb2.PENDING_VALIDATION)
    before = supply(world)
    events = settle(world)
    assert of(events, "EventClaimExpired")[0].value("expiration_reason") == '"PROOF_MISSING"'
    kinds = [event.type.rpartition(".")[2] for event in events]
    assert kinds.index("EventSupplierUnbondingBegin") < kinds.index("EventSupplierSlashed")
    (slashed,) = of(events, "EventSupplierSlashed")
    assert upokt(slashed, "proof_missing_penalty") == 2_000_000
    assert upokt(slashed, "supplier_stake_after_slash") == 0
    assert supply(world) == before - 2_000_000
    record = world.chain.store.get(SUPPLIERS, world.address("supplier1"))
    assert record is not None
    assert record.unstake_session_end_height == 30
    world.advance(31)
    members = [each.operator_address for each in world.session(31).suppliers]
    assert world.address("supplier1") not in members


def test_application_below_minimum_unbonds() -> None:
    """An application that settlement leaves below its minimum stake must begin to unbond."""
    world = make()
    set_stake(world, "app1", 100_000_001)
    put_claim(world, "supplier1", 1)
    (begun,) = of(settle(world), "EventApplicationUnbondingBegin")
    assert begun.value("reason") == '"APPLICATION_UNBONDING_REASON_BELOW_MIN_STAKE"'
    assert begun.value("session_end_height") == '"30"'
    assert begun.value("unbonding_end_height") == '"50"'
    world.advance(50)
    assert world.chain.store.get(APPLICATIONS, world.address("app1")) is None


def test_faulty_claim_is_discarded() -> None:
    """A claim whose sum is not count times compute units must be discarded, paying nothing."""
    world = make()
    put_claim(world, "supplier1", 10, units_per_relay=999)
    before = held(world)
    events = settle(world)
    (discarded,) = of(events, "EventClaimDiscarded")
    assert "claim compute units" in (discarded.value("error") or "")
    assert not of(events, "EventClaimSettled")
    assert held(world) == before
    assert world.chain.store.items(CLAIMS) == []


def test_difficulty_moves_with_settled_relays() -> None:
    """Settled relays must set the difficulty from the next session on, not before."""
    world = make(params={"service": {"target_num_relays": 10}})
    put_claim(world, "supplier1", 40)
    (updated,) = of(settle(world), "EventRelayMiningDifficultyUpdated")
    assert updated.value("new_num_relays_ema") == '"40"'
    target = updated.value("new_target_hash_hex_encoded")
    assert target == '"' + (((2**256 - 1) // 4).to_bytes(32, "big")).hex() + '"'
    assert services.difficulty_at(world.chain.store, SERVICE, 31).num_relays_ema == 40
    assert services.difficulty_at(world.chain.store, SERVICE, 27).num_relays_ema == 10


@given(
    stakes=st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.integers(1, 10**15), min_size=1
    ),
    amount=st.integers(0, 10**15),
)
def test_proportional_rewards_conserve(stakes: dict[str, int], amount: int) -> None:
    """Rewards by stake must add up to the amount, each within one of its exact share."""
    shares = proportional(stakes, amount)
    assert sum(shares.values()) == amount
    total = sum(stakes.values())
    for name, share in shares.items():
        assert abs(share - Fraction(stakes[name] * amount, total)) < 1


claims = st.lists(
    st.tuples(
        st.integers(1, 200_000),
        st.sampled_from([proof_pb2.VALIDATED, proof_pb2.PENDING_VALIDATION, proof_pb2.INVALID]),
        st.sampled_from([1000, 1000, 1000, 7]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    claimed=claims,
    mint_ratio=st.sampled_from([1.0, 0.975, 0.5]),
    inflation=st.sampled_from([0.0, 0.1, 0.00001]),
    multiplier=st.integers(0, 4),
)
def test_settlement_conserves(
    claimed: list[tuple[int, proof_pb2.ClaimProofStatus, int]],
    mint_ratio: float,
    inflation: float,
    multiplier: int,
) -> None:
    """Whatever settles: balances equal the supply, module accounts cover the stakes they keep."""
    rules = {
        "mint_ratio": mint_ratio,
        "global_inflation_per_claim": inflation,
        "overservicing_bonus_multiplier": multiplier,
    }
    world = make(suppliers=6, params={"tokenomics": rules})
    for index, (relays, status, units) in enumerate(claimed, start=1):
        put_claim(world, f"supplier{index}", relays, status=status, units_per_relay=units)
    before = supply(world)
    gaps = {module: module_gap(world, module) for module in ("application", "supplier")}
    events = settle(world)
    assert held(world) == supply(world)
    burned = sum(upokt(e, "total_amount") for e in batches(events, "burn"))
    minted = sum(upokt(e, "total_amount") for e in batches(events, "mint"))
    slashed = sum(upokt(e, "proof_missing_penalty") for e in of(events, "EventSupplierSlashed"))
    assert supply(world) == before + minted - burned - slashed
    assert module_gap(world, "application") == gaps["application"]
    assert module_gap(world, "supplier") == gaps["supplier"]
    assert world.balance(module_address("tokenomics")) == 0
    settled = sum(upokt(e, "settled_upokt") for e in of(events, "EventClaimSettled"))
    assert settled == burned
    assert settled <= PER_SESSION_BUDGET


def batches(events: list[Event], kind: str) -> list[Event]:
    """The settlement batches of one kind of operation."""
    return [e for e in of(events, "EventSettlementBatch") if e.value("op_type") == f'"{kind}"']
