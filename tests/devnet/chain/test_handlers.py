"""The order and the words of what MsgCreateClaim and MsgSubmitProof refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.protocol.pb import proof_pb2
from tests.devnet.chain.world import COMPUTE_UNITS, Miner, World

if TYPE_CHECKING:
    from relayminer.devnet.chain import TxResult

SESSION_END = 10
CLAIM_OPEN = 12
PROOF_OPEN = 20
PREFIX = "failed to execute message; message index: 0: rpc error: code = "


@pytest.fixture
def miner() -> Miner:
    """A supplier with two relays in the first session, one block before the claim window."""
    world = World.make(suppliers=4, params={"session": {"num_suppliers_per_session": 3}})
    world.advance(1)
    session = world.session(1)
    names = {address: name for name, address in world.chain.genesis.keys.names.items()}
    supplier = names[session.suppliers[0].operator_address]
    made = Miner(world, supplier, session).mine(2)
    world.advance(CLAIM_OPEN - 1)
    return made


def outsider(miner: Miner) -> str:
    """A supplier that is not in the session."""
    members = {each.operator_address for each in miner.session.suppliers}
    names = (f"supplier{index}" for index in range(1, 5))
    return next(name for name in names if miner.world.address(name) not in members)


def root(units: int, relays: int) -> bytes:
    """A root with any digest."""
    return bytes(32) + units.to_bytes(8, "big") + relays.to_bytes(8, "big")


def assert_refused(result: TxResult, status: str, text: str) -> None:
    """A refusal in a block, in the chain's form."""
    assert (result.codespace, result.code) == ("undefined", 1)
    assert result.log.startswith(f"{PREFIX}{status} desc = "), result.log
    assert text in result.log


def test_claim_window_is_inclusive(miner: Miner) -> None:
    """A claim must pass in the first and in the last block of its window, and not beside it."""
    world = miner.world
    assert miner.run(miner.claim()).ok
    world.advance(PROOF_OPEN - 1)
    assert miner.run(miner.claim()).ok
    assert_refused(
        miner.run(miner.claim()),
        "FailedPrecondition",
        "current block height (21) is greater than session claim window close height (20): claim "
        "attempted outside of the session's claim window",
    )


def test_claim_too_early(miner: Miner) -> None:
    """A claim one block before its window must be refused with both heights."""
    world = World.make()
    world.advance(1)
    early = Miner(world, "supplier1", world.session(1)).mine(1)
    world.advance(CLAIM_OPEN - 2)
    assert_refused(
        early.run(early.claim()),
        "FailedPrecondition",
        "current block height (11) is less than the session's earliest claim commit height (12)",
    )
    assert miner.relays == 2


def test_claim_refusals(miner: Miner) -> None:
    """Wrong session id, stranger and wrong compute units must be refused each in its words."""
    wrong_id = miner.claim()
    wrong_id.session_header.session_id = "00" * 32
    assert_refused(miner.run(wrong_id), "InvalidArgument", ": invalid session ID")
    strange = Miner(miner.world, outsider(miner), miner.session).mine(1)
    assert_refused(
        strange.run(strange.claim()),
        "InvalidArgument",
        f'not found in session ID "{miner.session.session_id}": supplier not found',
    )
    wrong_units = miner.claim()
    wrong_units.root_hash = root(2 * COMPUTE_UNITS + 1, 2)
    assert_refused(
        miner.run(wrong_units),
        "InvalidArgument",
        "claim compute units: 2001 is not equal to number of relays 2 * compute units per relay "
        "1000 for service develop-http: mismatch: claim compute units != number of relays * "
        "service compute units per relay",
    )


def test_check_tx_refuses_malformed_claims(miner: Miner) -> None:
    """What is wrong without looking at the state must be refused by CheckTx with its own code."""
    cases = []
    for change in ({"root_hash": root(0, 1)}, {"root_hash": root(1000, 0)}, {"root_hash": b"x"}):
        claim = miner.claim()
        claim.root_hash = change["root_hash"]
        cases.append((claim, 1104))
    headless = miner.claim()
    headless.ClearField("session_header")
    cases.append((headless, 1115))
    for claim, code in cases:
        result = miner.run(claim)
        assert (result.codespace, result.code) == ("proof", code), result.log


def test_second_claim_replaces_the_first(miner: Miner) -> None:
    """A second claim must replace the first and be announced as an update."""
    first = miner.run(miner.claim())
    second = miner.run(miner.mine(1).claim())
    kinds = [event.type for event in (*first.events, *second.events)]
    assert kinds.count("pocket.proof.EventClaimCreated") == 1
    assert kinds.count("pocket.proof.EventClaimUpdated") == 1
    request = proof_pb2.QueryAllClaimsRequest(session_id=miner.session.session_id)
    (claim,) = miner.world.chain.query("/pocket.proof.Query/AllClaims", request).claims
    assert claim.root_hash == miner.trie.root


def at_proof_window(miner: Miner, *, claimed: bool = True) -> None:
    """Claim, if asked, and go to the block before the proof window."""
    if claimed:
        assert miner.run(miner.claim()).ok
    miner.world.advance(PROOF_OPEN - 1)


def test_proof_without_claim(miner: Miner) -> None:
    """A proof without a claim must be refused, naming session and supplier."""
    at_proof_window(miner, claimed=False)
    assert_refused(miner.run(miner.proof()), "FailedPrecondition", "no claim found for session ID")


def test_proof_for_another_supplier(miner: Miner) -> None:
    """A proof over relays that name another supplier must be refused as a mismatch."""
    at_proof_window(miner)
    proof = miner.proof()
    other = miner.session.suppliers[1].operator_address
    names = {address: name for name, address in miner.world.chain.genesis.keys.names.items()}
    proof.supplier_operator_address = other
    result = miner.world.run([proof], miner.world.key(names[other]))
    assert_refused(
        result,
        "FailedPrecondition",
        "supplier type mismatch: supplier operator address does not match the claim or proof",
    )


def test_proof_bytes_that_are_none(miner: Miner) -> None:
    """Bytes that are no compact proof must be refused as an invalid proof."""
    at_proof_window(miner)
    proof = miner.proof()
    proof.proof = b"nonsense"
    assert_refused(miner.run(proof), "FailedPrecondition", ": invalid proof")


def test_proof_fee_needs_more_than_itself() -> None:
    """A balance that equals the fee must not be enough; one more upokt must be."""
    fee = 1_000_000
    for balance, enough in ((fee, False), (fee + 1, True)):
        world = World.make()
        world.advance(1)
        miner = Miner(world, "supplier1", world.session(1)).mine(2)
        world.advance(CLAIM_OPEN - 1)
        at_proof_window(miner)
        from relayminer.devnet.chain.tables import BALANCES  # noqa: PLC0415 - one use

        # Two thousand go to the fee of the transaction first.
        key = (world.address("supplier1"), "upokt")
        world.chain.store.set(BALANCES, key, balance + 2000)
        result = miner.run(miner.proof())
        assert result.ok is enough, result.log
        if not enough:
            assert_refused(
                result,
                "FailedPrecondition",
                "account has 1000000, but the proof submission fee is 1000000upokt: not enough "
                "funds to submit proof",
            )


def test_proof_not_required() -> None:
    """A proof that nobody asked for must be refused, its fee given back, and the claim settled."""
    world = World.make(params={"proof": {"proof_request_probability": 0.0}})
    world.advance(1)
    miner = Miner(world, "supplier1", world.session(1)).mine(2)
    world.advance(CLAIM_OPEN - 1)
    at_proof_window(miner)
    before = world.balance(world.address("supplier1"))
    assert_refused(miner.run(miner.proof()), "FailedPrecondition", "desc = proof not required")
    assert world.balance(world.address("supplier1")) == before - 2000
    world.advance(world.windows(SESSION_END).settlement_height)
    kinds = [event.type for event in world.chain.block_results().finalize_block_events]
    assert "pocket.tokenomics.EventClaimSettled" in kinds


def test_one_bad_claim_fails_the_batch(miner: Miner) -> None:
    """A transaction with one refused message must store none of its claims."""
    bad = miner.claim()
    bad.session_header.session_id = "00" * 32
    result = miner.world.run([miner.claim(), bad], miner.world.key(miner.supplier))
    assert result.log.startswith("failed to execute message; message index: 1: ")
    everything = proof_pb2.QueryAllClaimsRequest()
    assert not miner.world.chain.query("/pocket.proof.Query/AllClaims", everything).claims


def test_simulation_shows_what_blocks_refuse(miner: Miner) -> None:
    """Simulation at the last height must refuse a claim whose window opens with the next block."""
    from relayminer.devnet.chain import QueryError  # noqa: PLC0415 - one use

    tx = miner.world.sign([miner.claim()], miner.world.key(miner.supplier))
    with pytest.raises(QueryError, match="claim window"):
        miner.world.chain.simulate(tx)
    assert miner.world.chain.broadcast(tx).ok
    miner.world.block()
    assert miner.world.chain.block_results().tx_results[0].ok
