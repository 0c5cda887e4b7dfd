"""Claims and proofs when the chain, the node or another miner does not play along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from relayminer.protocol.pb.proof_pb2 import Claim, MsgCreateClaim, MsgSubmitProof
from tests.miner.harness import session_ids, until

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tests.miner.harness import Rig

A, B, C = session_ids(3)


def claims_in(mine: Rig) -> int:
    """Claim messages that reached the mempool."""
    return sum(
        isinstance(message, MsgCreateClaim) for sent in mine.chain.sent for message in sent.messages
    )


def proofs_in(mine: Rig) -> int:
    """Proof messages that reached the mempool."""
    return sum(
        isinstance(message, MsgSubmitProof) for sent in mine.chain.sent for message in sent.messages
    )


async def test_one_bad_message_does_not_sink_the_batch(mine: Rig) -> None:
    """The chain refuses one session's claim for good; the others are claimed, proven, settled."""

    def refuse(message: Message) -> str:
        header = message.session_header  # type: ignore[attr-defined]  # both messages have one
        return "proof: session not found" if header.session_id == B else ""

    mine.chain.refuse = refuse
    for session in (A, B, C):
        await mine.log(session, 2)
    async with mine.mining():
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 2, C: 2}
        assert await mine.state(B) == "claim_tx_error"
        lost = [line for line in await mine.ledger() if line["step"] == "lost"]
        assert [line["session_id"] for line in lost] == [B]
        assert lost[0]["lost_upokt"] == 14
        assert "session not found" in lost[0]["reason"]


async def test_lost_transactions_are_sent_again(mine: Rig) -> None:
    """A claim and a proof that vanish from the mempool are noticed missing and sent again."""
    mine.chain.lose = 1
    await mine.log(A, 5)
    async with mine.mining():
        await mine.step_to(15)
        assert await mine.state(A) == "claimed"
        assert claims_in(mine) == 2
        mine.chain.lose = 1
        await mine.step_to(22)
        assert proofs_in(mine) == 2
        assert mine.claimed_counts() == mine.sent


async def test_no_proof_is_sent_that_is_not_required(mine: Rig) -> None:
    """Where the sampling asks for no proof none is sent, and the session counts as a success."""
    mine.chain.proofs.proof_request_probability = 0.0
    mine.chain.proofs.proof_requirement_threshold.amount = "1000000"
    await mine.log(A, 5)
    async with mine.mining():
        await mine.step_to(22)
        assert proofs_in(mine) == 0
        assert await mine.state(A) == "probabilistic_proved"
        assert mine.claimed_counts() == mine.sent
        assert "proof_not_required" in await mine.steps(A)


async def test_a_proof_that_the_chain_does_not_want_harms_no_other(mine: Rig) -> None:
    """The chain calls one proof of a batch not required; the other one is proven."""

    def refuse(message: Message) -> str:
        if isinstance(message, MsgSubmitProof) and message.session_header.session_id == A:
            return "proof not required: proof"
        return ""

    mine.chain.refuse = refuse
    await mine.log(A, 2)
    await mine.log(B, 2)
    async with mine.mining():
        await mine.step_to(19)
        assert await mine.state(A) == "probabilistic_proved"
        assert await mine.state(B) == "proved"


async def test_a_larger_claim_is_not_replaced(mine: Rig) -> None:
    """A claim on chain with more relays than ours stays, and our loss of it is written down."""
    await mine.log(A, 3)
    larger = bytes(32) + (28).to_bytes(8, "big") + (4).to_bytes(8, "big")
    async with mine.mining():
        await mine.step_to(11)
        claim = Claim(supplier_operator_address=mine.supplier, root_hash=larger)
        claim.session_header.session_id = A
        claim.session_header.session_end_block_height = 10
        mine.chain.claims[A, mine.supplier] = claim
        await mine.step_to(17)
        assert claims_in(mine) == 0
        assert mine.chain.claims[A, mine.supplier].root_hash == larger
        assert await mine.state(A) == "claim_tx_error"


async def test_a_smaller_claim_is_replaced(mine: Rig) -> None:
    """A claim on chain with fewer relays than ours gives way."""
    await mine.log(A, 3)
    smaller = bytes(32) + (14).to_bytes(8, "big") + (2).to_bytes(8, "big")
    async with mine.mining():
        await mine.step_to(11)
        claim = Claim(supplier_operator_address=mine.supplier, root_hash=smaller)
        claim.session_header.session_id = A
        claim.session_header.session_end_block_height = 10
        mine.chain.claims[A, mine.supplier] = claim
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 3}


async def test_claims_that_do_not_pay_are_skipped(mine: Rig) -> None:
    """A claim that earns no more than it costs is not made, with the sums in the ledger."""
    mine.chain.proofs.proof_submission_fee.amount = "21"
    await mine.log(A, 3)
    await mine.log(B, 4)
    async with mine.mining():
        await mine.step_to(22)
        assert await mine.state(A) == "claim_skipped"
        assert mine.claimed_counts() == {B: 4}
        line = next(line for line in await mine.ledger() if line["step"] == "skipped")
        assert (line["reward_upokt"], line["cost_upokt"]) == (21, 21)


async def test_profit_can_be_ignored(mine: Rig) -> None:
    """With the check off every claim is made."""
    mine.settings = attrs.evolve(mine.settings, require_profit=False)
    mine.chain.proofs.proof_submission_fee.amount = "1000"
    await mine.log(A, 3)
    async with mine.mining():
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 3}


async def test_claims_with_inconsistent_compute_units_are_skipped(mine: Rig) -> None:
    """A claim that the chain must refuse for its compute units is skipped, the rest goes on."""
    mine.chain.away = True
    await mine.log(A, 2, compute_units_per_relay=5)
    await mine.log(B, 2)
    async with mine.mining():
        # While the chain cannot say what a relay weighs, any weight passes.
        await mine.counted(A, 2)
        await mine.counted(B, 2)
        mine.chain.away = False
        mine.chain.advance()
        await mine.step_to(22)
        assert await mine.state(A) == "claim_skipped"
        assert mine.claimed_counts() == {B: 2}


async def test_the_chain_comes_back_in_time(mine: Rig) -> None:
    """Nothing answers when the window opens; what is left of the window is enough."""
    await mine.log(A, 4)
    async with mine.mining():
        await mine.step_to(11)
        mine.chain.away = True
        mine.chain.advance(2)
        mine.chain.away = False
        mine.chain.advance()
        await mine.step_to(22)
        assert mine.claimed_counts() == mine.sent


async def test_a_session_that_only_the_log_knows_is_claimed_in_the_last_block(mine: Rig) -> None:
    """Nobody mined for it before; the first look finds no session, and there is no later block."""
    await mine.log(A, 30)
    mine.chain.advance(mine.chain.windows(10).claim_close_height - 1 - mine.chain.height)
    async with mine.mining():
        await until(lambda: len(mine.chain.sent) == 1)
        await mine.step_to(21)
    assert mine.claimed_counts() == mine.sent


async def test_a_missed_window_is_told(mine: Rig) -> None:
    """A miner that comes after the claim window says what was lost."""
    await mine.log(A, 4)
    async with mine.mining():
        await mine.counted(A, 4)
    mine.chain.advance(20)
    async with mine.mining():
        await mine.step(1)
        assert await mine.state(A) == "claim_window_closed"
        (line,) = [line for line in await mine.ledger() if line["step"] == "lost"]
        assert (line["relays"], line["lost_upokt"]) == (4, 28)


async def test_proofs_that_never_arrive_end_in_the_ledger(mine: Rig) -> None:
    """When no proof gets through, the expiry and the slash are on record with their amounts."""
    mine.chain.refuse = lambda message: (
        "proof: invalid relay" if isinstance(message, MsgSubmitProof) else ""
    )
    await mine.log(A, 4)
    async with mine.mining():
        await mine.step_to(23)
        assert await mine.state(A) == "proof_tx_error"
        steps = await mine.steps(A)
        assert {"expired", "slashed", "lost", "proof_failed"} <= set(steps)
        record = await mine.record(A)
        assert record is not None
        assert (record.settlement_outcome, record.settlement_height) == ("expired", 20)


async def test_nothing_is_sent_for_a_supplier_that_is_not_staked(mine: Rig) -> None:
    """The chain does not know the supplier: relayers are told, and no transaction leaves."""
    mine.chain.unstaked.add(mine.supplier)
    await mine.log(A, 4)
    async with mine.mining():
        await mine.step_to(22)
        assert mine.chain.sent == []
        assert await mine.state(A) == "claim_window_closed"


async def test_finished_tries_are_deleted(mine: Rig) -> None:
    """After its windows nothing of a session's trie stays in the store."""
    await mine.log(A, 4)
    async with mine.mining():
        await mine.step_to(15)
        assert await mine.redis.command("HLEN", mine.names.smst_nodes_key(mine.supplier, A))
        await mine.step_to(23)
        pattern = mine.names.smst_session_all_pattern(mine.supplier, A)
        assert await mine.redis.command("KEYS", pattern) == []
