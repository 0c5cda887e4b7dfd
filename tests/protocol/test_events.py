"""Events of settlement: typed records of what CometBFT renders, whatever is in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import events

PREFIX = "pocket.tokenomics."
SETTLED: list[dict[str, Any]] = [
    {"key": "application_address", "value": '"pokt1app"', "index": True},
    {"key": "claim_proof_status_int", "value": "1", "index": True},
    {"key": "claimed_upokt", "value": '"1400000upokt"', "index": True},
    {"key": "deflation_loss_upokt", "value": '"25000upokt"', "index": True},
    {"key": "mint_ratio", "value": '"0.975"', "index": True},
    {"key": "minted_upokt", "value": '"975000upokt"', "index": True},
    {"key": "num_claimed_compute_units", "value": '"7000"', "index": True},
    {"key": "num_estimated_compute_units", "value": '"14000"', "index": True},
    {"key": "num_estimated_relays", "value": '"14"', "index": True},
    {"key": "num_relays", "value": '"7"', "index": True},
    {"key": "overservicing_loss_upokt", "value": '"400000upokt"', "index": True},
    {"key": "proof_requirement_int", "value": "2", "index": True},
    {"key": "reward_distribution", "value": '{"pokt1a":"70upokt","pokt1b":"10upokt"}'},
    {"key": "reward_distribution_detailed", "value": "[]"},
    {"key": "service_id", "value": '"svc1"'},
    {"key": "session_end_block_height", "value": '"20"'},
    {"key": "session_id", "value": '"abc"'},
    {"key": "settled_upokt", "value": '"1000000upokt"'},
    {"key": "supplier_operator_address", "value": '"pokt1sup"'},
    {"key": "supplier_owner_address", "value": '"pokt1own"'},
    {"key": "mode", "value": "EndBlock"},
    {"key": "something_new", "value": None},
]


def test_settled() -> None:
    """Every attribute of a settled claim is in its record; unknown ones are ignored."""
    record = events.parse_event(PREFIX + "EventClaimSettled", events.attributes_of(SETTLED))
    assert record == events.ClaimSettled(
        supplier_operator_address="pokt1sup",
        supplier_owner_address="pokt1own",
        service_id="svc1",
        application_address="pokt1app",
        session_id="abc",
        session_end_height=20,
        proof_requirement=2,
        claim_proof_status=1,
        num_relays=7,
        num_claimed_compute_units=7000,
        num_estimated_compute_units=14000,
        num_estimated_relays=14,
        claimed_upokt=1400000,
        settled_upokt=1000000,
        minted_upokt=975000,
        overservicing_loss_upokt=400000,
        deflation_loss_upokt=25000,
        mint_ratio="0.975",
        rewards_upokt={"pokt1a": 70, "pokt1b": 10},
    )
    assert isinstance(record, events.ClaimSettled)
    assert record.earned_upokt("pokt1a") == 70
    assert record.earned_upokt("pokt1c") == 0


def test_expired() -> None:
    """The reason of an expired claim is the enum's number; an unknown one reads 0."""
    for text, number in (('"PROOF_MISSING"', 1), ('"PROOF_INVALID"', 2), ("9", 0), ("", 0)):
        record = events.parse_event(
            PREFIX + "EventClaimExpired",
            {"expiration_reason": text, "claimed_upokt": '"5upokt"', "num_relays": '"3"'},
        )
        assert isinstance(record, events.ClaimExpired)
        assert record.expiration_reason == number
        assert (record.claimed_upokt, record.num_relays) == (5, 3)


def test_slashed() -> None:
    """A slash says what was lost and what is left."""
    record = events.parse_event(
        PREFIX + "EventSupplierSlashed",
        {
            "proof_missing_penalty": '"250000upokt"',
            "supplier_stake_after_slash": '"750000upokt"',
            "supplier_operator_address": '"pokt1sup"',
        },
    )
    assert isinstance(record, events.SupplierSlashed)
    assert (record.penalty_upokt, record.stake_after_slash_upokt) == (250000, 750000)


def test_discarded() -> None:
    """The chain's words come out unescaped."""
    record = events.parse_event(PREFIX + "EventClaimDiscarded", {"error": '"a \\"b\\" \\u003c\\n"'})
    assert isinstance(record, events.ClaimDiscarded)
    assert record.error == 'a "b" <\n'


def test_other_events() -> None:
    """Events that are none of the four give nothing."""
    assert events.parse_event("pocket.proof.EventClaimCreated", {}) is None
    assert events.parse_event("EventClaimSettled", {}) is None


@given(
    st.sampled_from([events.CLAIM_SETTLED, events.CLAIM_EXPIRED, events.SUPPLIER_SLASHED]),
    st.dictionaries(
        st.sampled_from([*(each["key"] for each in SETTLED), "expiration_reason"]),
        st.text(max_size=20) | st.sampled_from(['"', '""', "null", '{"a":1}', "[", '{"a":{}}']),
    ),
)
def test_strange_attributes(event_type: str, attributes: dict[str, str]) -> None:
    """Whatever is in an event, its record is made."""
    assert events.parse_event(event_type, attributes) is not None


def test_overserviced() -> None:
    """Who was served too much, and what the budget covered."""
    record = events.parse_event(
        PREFIX + "EventApplicationOverserviced",
        {
            "application_addr": '"pokt1app"',
            "supplier_operator_addr": '"pokt1supplier"',
            "expected_burn": '"100upokt"',
            "effective_burn": '"40upokt"',
            "service_id": '"svc1"',
            "session_end_block_height": '"20"',
            "spend_limit_exceeded": "true",
        },
    )
    assert record == events.ApplicationOverserviced(
        "pokt1supplier", "svc1", "pokt1app", 20, 100, 40, is_spend_limit=True
    )
