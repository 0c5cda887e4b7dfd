"""Sessions, windows, sampling, difficulty, metering and events against the reference."""

from __future__ import annotations

import hashlib
import json
import struct
from fractions import Fraction
from typing import Any

import pytest

from relayminer.protocol import budget, codec, difficulty, events, gorand, proof_rule, reward
from relayminer.protocol import session as grid
from relayminer.protocol.errors import AmountError
from relayminer.protocol.pb import proof_pb2, shared_pb2
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.windows import pending_sessions, session_windows, window_blocks
from tests.vector_data import load

pytestmark = pytest.mark.vectors


def shared_params(values: dict[str, Any]) -> shared_pb2.Params:
    """Parameters from a case."""
    return shared_pb2.Params(**{name: int(value) for name, value in values.items()})


def bits(value: float) -> str:
    """IEEE 754, big-endian hex."""
    return struct.pack(">d", value).hex()


def test_session_ids() -> None:
    """Grid, pre-image and id of every session."""
    for case in load("session_ids.json")["cases"]:
        params = shared_params(case["params"])
        height = case["height"]
        assert grid.session_start(params, height) == case["session_start"]
        assert grid.session_end(params, height) == case["session_end"]
        assert grid.session_number(params, height) == case["session_number"]
        parts = (
            bytes.fromhex(case["start_block_hash"]),
            case["service_id"],
            case["application_address"],
            case["session_start"],
        )
        assert grid.session_pre_image(*parts).hex() == case["pre_image"]
        assert grid.session_id(*parts) == case["session_id"]


def test_session_suppliers() -> None:
    """Weights and order of the suppliers of every session."""
    for case in load("session_suppliers.json")["cases"]:
        pre_image = bytes.fromhex(case["pre_image"])
        addresses = [each["operator_address"] for each in case["candidates_in_store_order"]]
        for each in case["candidates_in_store_order"]:
            weight = grid.supplier_weight(pre_image, each["operator_address"])
            assert weight == int(each["weight"])
        selected = grid.select_suppliers(pre_image, addresses, case["num_suppliers_per_session"])
        assert selected == case["suppliers"]


def check_heights(params: shared_pb2.Params, at_end: shared_pb2.Params, row: Any) -> None:
    """Everything that is recorded for one height."""
    height = row["height"]
    end = grid.session_end(params, height)
    windows = session_windows(at_end, end)
    ours = {
        "session_start": grid.session_start(params, height),
        "session_end": end,
        "session_number": grid.session_number(params, height),
        "next_session_start": end + 1,
        "is_session_start": grid.session_start(params, height) == height,
        "is_session_end": end == height,
        "grace_period_end": windows.grace_end_height,
        "claim_window_open": windows.claim_open_height,
        "claim_window_close": windows.claim_close_height,
        "proof_window_open": windows.proof_open_height,
        "proof_window_close": windows.proof_close_height,
        "earliest_claim_commit": windows.claim_open_height,
        "earliest_proof_commit": windows.proof_open_height,
        "settlement_height": windows.settlement_height,
        "height": height,
    }
    assert {name: ours[name] for name in row} == row


def test_session_windows() -> None:
    """Grid and windows at every recorded height of every parameter set."""
    vectors = load("session_windows.json")
    for case in vectors["cases"]:
        params = shared_params(case["params"])
        assert pending_sessions(params) == case["num_pending_sessions"]
        assert window_blocks(params) == case["session_end_to_proof_window_close_blocks"]
        for row in case["heights"]:
            check_heights(params, params, row)


def test_params_histories() -> None:
    """With a history, the grid follows the height's parameters and windows the session end's."""
    for history in load("session_windows.json")["histories"]:
        epochs = [
            (update["effective_height"], shared_params(update["params"]))
            for update in history["updates"]
        ]

        def in_force(
            height: int, epochs: list[tuple[int, shared_pb2.Params]] = epochs
        ) -> shared_pb2.Params:
            return [params for start, params in epochs if start <= height][-1]

        for row in history["heights"]:
            params = in_force(row["height"])
            check_heights(params, in_force(grid.session_end(params, row["height"])), row)


def test_go_math_rand() -> None:
    """The first draws of every seed are Go's."""
    for case in load("go_math_rand.json")["cases"]:
        seed = int(case["seed"])
        assert gorand.first_int63(seed) == int(case["first_int63"]), seed
        assert gorand.first_int63(seed) == int(case["uint64_words"][0], 16) % 2**63
        assert gorand._second_int63(seed) == int(case["uint64_words"][1], 16) % 2**63
        assert bits(gorand.first_float64(seed)) == case["first_float64_bits"], seed


def test_seeded_float64() -> None:
    """Samples of bytes are the chain's, and so are the seeds that they use."""
    for case in load("seeded_float64.json")["cases"]:
        data = bytes.fromhex(case["input"])
        digest = hashlib.sha256(data).digest()
        assert digest.hex() == case["sha256"]
        assert gorand.varint_seed(digest) == int(case["varint_seed"])
        assert bits(gorand.seeded_float64(data)) == case["bits"]


def test_proof_requirement() -> None:
    """Claim bytes, hash, sample, amount and decision of every claim."""
    for case in load("proof_requirement.json")["cases"]:
        root, target = bytes.fromhex(case["root_hash"]), bytes.fromhex(case["target_hash"])
        seed_hash = bytes.fromhex(case["seed_block_hash"])
        claim = proof_pb2.Claim(
            supplier_operator_address=case["supplier_operator_address"],
            session_header=SessionHeader(**case["session_header"]),
            root_hash=root,
            proof_validation_status=case["proof_validation_status"],
        )
        assert codec.encode(claim).hex() == case["claim_bytes"]
        assert proof_rule.claim_hash(claim).hex() == case["claim_hash"]
        assert bits(proof_rule.proof_sample(claim, seed_hash)) == case["sample_bits"]
        amount = reward.claimed_upokt(
            root,
            target,
            shared_pb2.Params(
                compute_units_to_tokens_multiplier=case["compute_units_to_tokens_multiplier"],
                compute_unit_cost_granularity=case["compute_unit_cost_granularity"],
            ),
        )
        assert amount == int(case["claimed_upokt"])
        params = proof_pb2.Params(proof_request_probability=case["proof_request_probability"])
        params.proof_requirement_threshold.amount = case["proof_requirement_threshold_upokt"]
        params.proof_requirement_threshold.denom = "upokt"
        decision = proof_rule.proof_requirement(claim, amount, seed_hash, params)
        assert proof_pb2.ProofRequirementReason.Name(decision) == case["requirement"]


def test_proof_path() -> None:
    """The path to prove, from seed block and session id."""
    for case in load("proof_path.json")["cases"]:
        path = proof_rule.proof_path(bytes.fromhex(case["block_hash"]), case["session_id"])
        assert path.hex() == case["path"]


def test_claimed_amounts() -> None:
    """Estimates and claimed amounts of every root, and a refusal where the chain panics."""
    for case in load("difficulty.json")["cases"]:
        root, target = bytes.fromhex(case["root_hash"]), bytes.fromhex(case["target_hash"])
        params = shared_pb2.Params(
            compute_units_to_tokens_multiplier=int(case["compute_units_to_tokens_multiplier"]),
            compute_unit_cost_granularity=int(case["compute_unit_cost_granularity"]),
        )
        assert reward.root_sum(root) == int(case["sum"])
        assert reward.root_count(root) == int(case["count"])
        assert reward.estimated_compute_units(root, target) == int(case["estimated_compute_units"])
        assert reward.estimated_relays(root, target) == int(case["estimated_relays"])
        if "claimed_upokt_panic" in case:
            with pytest.raises(AmountError):
                reward.claimed_upokt(root, target, params)
        else:
            assert reward.claimed_upokt(root, target, params) == int(case["claimed_upokt"])


def test_difficulty() -> None:
    """Which hashes count, how targets scale, and how the average moves."""
    vectors = load("difficulty.json")
    for case in vectors["applicability"]:
        applicable = difficulty.is_applicable(
            bytes.fromhex(case["relay_hash"]), bytes.fromhex(case["target_hash"])
        )
        assert applicable == case["applicable"]
    for case in vectors["scaling"]:
        check_scaling(case)
    for case in vectors["ema"]:
        ema = difficulty.update_ema(int(case["prev_ema"]), int(case["relays"]))
        assert ema == int(case["new_ema"]), case


def check_scaling(case: dict[str, Any]) -> None:
    """One target, its probability and multiplier as exact fractions."""
    wanted, ema = int(case["target_num_relays"]), int(case["relays_ema"])
    if "target_hash" not in case:
        with pytest.raises(AmountError):
            difficulty.scale_target(wanted, ema)
        return
    target = difficulty.scale_target(wanted, ema)
    assert target.hex() == case["target_hash"]
    if "panic" in case:
        with pytest.raises(AmountError):
            reward.estimated_compute_units(bytes(48), target)
        return
    probability = Fraction(int.from_bytes(target), difficulty.MAX_TARGET)
    assert probability == Fraction(case["probability"])
    assert 1 / probability == Fraction(case["multiplier"])


def test_metering() -> None:
    """Relay prices and session budgets of every case."""
    vectors = load("metering.json")
    for case in vectors["cases"]:
        live, pinned = shared_params(case["live_params"]), shared_params(case["params_at_height"])
        height = case["current_height"]
        running = height <= 0 or case["session_end_height"] >= height
        factor = case["service_factor"]
        allowed = budget.session_budget_upokt(
            int(case["app_stake_upokt"]),
            case["num_suppliers_per_session"],
            live if running else pinned,
            factor,
        )
        assert allowed == int(case["max_stake_upokt"])
        cost = budget.relay_cost_upokt(
            case["compute_units_per_relay"], pinned if case["session_start_height"] > 0 else live
        )
        assert cost == int(case["relay_cost_upokt"])
    for case in vectors["cupr_guard"]:
        root = bytes(32) + int(case["sum"]).to_bytes(8) + int(case["count"]).to_bytes(8)
        assert reward.is_consistent(root, int(case["cupr"])) == case["consistent"]


STATUS_LABELS = {1: "proven", 2: "invalid", 3: "expired"}
REASON_LABELS = {0: "unspecified", 1: "proof_missing", 2: "proof_invalid"}


def extract(record: events.SettlementEvent, supplier: str, height: int) -> dict[str, Any]:
    """What the reference's monitor logs, from our record."""
    common: dict[str, Any] = {
        "service_id": record.service_id,
        "session_end_height": record.session_end_height,
        "settlement_height": height,
        "supplier": record.supplier_operator_address,
    }
    if isinstance(record, events.ClaimSettled):
        return common | {
            "compute_units": record.num_claimed_compute_units,
            "num_relays": record.num_relays,
            "status": STATUS_LABELS.get(record.claim_proof_status, "unknown"),
            "upokt_earned": record.earned_upokt(supplier),
        }
    if isinstance(record, events.ClaimExpired):
        return common | {
            "claimed_upokt": record.claimed_upokt,
            "compute_units": record.num_claimed_compute_units,
            "num_relays": record.num_relays,
            "expiration_reason": REASON_LABELS[record.expiration_reason],
        }
    if isinstance(record, events.SupplierSlashed):
        return common | {"penalty": f"{record.penalty_upokt}upokt"}
    assert isinstance(record, events.ClaimDiscarded)
    # The reference leaves JSON escapes in the text; we do not.
    return common | {"error": json.dumps(record.error, ensure_ascii=False)}


def test_events() -> None:
    """Every settlement event gives the reference's figures; the others are ignored."""
    vectors = load("events.json")
    supplier = vectors["managed_supplier"]
    for case in vectors["cases"]:
        record = events.parse_event(case["type"], events.attributes_of(case["attributes"]))
        if case["extracted"] is None:
            # It does not read how much an application's budget covered; we do.
            ours_alone = isinstance(record, events.ApplicationOverserviced)
            assert record is None or record.supplier_operator_address != supplier or ours_alone
            continue
        assert record is not None, case["label"]
        expected = case["extracted"]
        if "error" in expected:
            expected = expected | {
                "error": json.dumps(json.loads(f'"{expected["error"]}"'), ensure_ascii=False)
            }
        assert extract(record, supplier, vectors["settlement_height"]) == expected, case["label"]


def test_event_texts() -> None:
    """Amounts and attribute texts are read as by the reference."""
    vectors = load("events.json")
    for case in vectors["upokt_amounts"]:
        assert events.upokt_of(case["text"]) == case["amount"], case
    for case in vectors["attribute_values"]:
        assert events.text_of(case["attribute"]) == case["string"], case
        assert events.integer_of(case["attribute"]) == case["int"], case
    finalized = vectors["block_results"]["finalize_block_events"]
    for rendered, case in zip(finalized, vectors["cases"], strict=False):
        parsed = events.parse_event(rendered["type"], events.attributes_of(rendered["attributes"]))
        assert parsed is not None
        recorded = events.attributes_of(case["attributes"])
        assert parsed == events.parse_event(case["type"], recorded)


def test_claim_pipeline() -> None:
    """Of whole sessions: the filter, claim bytes and hash, sample, path and message values."""
    for case in load("claim_proof_pipeline.json")["cases"]:
        target = bytes.fromhex(case["target_hash"])
        for relay in case["relays"]:
            relay_hash = hashlib.sha256(bytes.fromhex(relay["relay_bytes"])).digest()
            assert relay_hash.hex() == relay["relay_hash"]
            assert difficulty.is_applicable(relay_hash, target) == relay["applicable"]
            request = codec.decode(RelayRequest, bytes.fromhex(relay["request"]))
            assert codec.encode(request).hex() == relay["request"]
        root = bytes.fromhex(case["claim_root"])
        assert reward.is_consistent(root, case["compute_units_per_relay"])
        header = SessionHeader(**case["session_header"])
        claim = proof_pb2.Claim(
            supplier_operator_address=case["supplier_operator_address"],
            session_header=header,
            root_hash=root,
        )
        seed_hash = bytes.fromhex(case["proof_seed_block_hash"])
        assert codec.encode(claim).hex() == case["claim_bytes"]
        assert proof_rule.claim_hash(claim).hex() == case["claim_hash"]
        assert proof_rule.proof_sample(claim, seed_hash) == case["sample"]
        assert proof_rule.proof_path(seed_hash, header.session_id).hex() == case["proof_path"]
        message = proof_pb2.MsgCreateClaim(
            supplier_operator_address=case["supplier_operator_address"],
            session_header=header,
            root_hash=root,
        )
        assert codec.encode(message).hex() == case["create_claim_value"]
        submit = proof_pb2.MsgSubmitProof(
            supplier_operator_address=case["supplier_operator_address"],
            session_header=header,
            proof=bytes.fromhex(case["proof"]),
        )
        assert codec.encode(submit).hex() == case["submit_proof_value"]
