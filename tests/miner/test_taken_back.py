"""A chain that takes blocks back takes claims and proofs along: they are sent again."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.proof_rule import proof_requirement
from tests.miner.harness import WAIT_SECONDS, session_ids, until

if TYPE_CHECKING:
    from tests.miner.harness import Rig

(A,) = session_ids(1)


async def until_state(mine: Rig, state: str) -> None:
    """Wait until the session has this state on record."""
    with trio.fail_after(WAIT_SECONDS):
        while True:
            if await mine.state(A) == state:
                return
            await trio.sleep(0.01)


async def test_a_claim_that_was_taken_back_is_sent_again(mine: Rig) -> None:
    """The block with the claim is rolled back within its window; in the end all is settled."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(13)
        assert await mine.state(A) == "claimed"
        sent = len(mine.chain.sent)
        mine.chain.claims.clear()
        mine.chain.set_back(12)
        await until_state(mine, "claiming")
        mine.chain.advance()
        await until(lambda: len(mine.chain.sent) == sent + 1)
        await until(lambda: mine.driven() == mine.chain.height)
        while mine.chain.height < 21:
            mine.chain.advance()
            await until(lambda: mine.driven() == mine.chain.height)
        assert mine.claimed_counts() == mine.sent


async def test_a_proof_that_was_taken_back_is_sent_again(mine: Rig) -> None:
    """The claim stays, its proof is gone: it is pending again, and slashed if nobody proves."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        while await mine.state(A) != "proved":
            await mine.step()
        height = mine.chain.height
        for claim in mine.chain.claims.values():
            claim.proof_validation_status = proof_pb2.PENDING_VALIDATION
        sent = len(mine.chain.sent)
        mine.chain.set_back(height - 1)
        await until_state(mine, "proving")
        mine.chain.advance()
        await until(lambda: len(mine.chain.sent) == sent + 1)
        while mine.chain.height < 21:
            await until(lambda: mine.driven() == mine.chain.height)
            mine.chain.advance()
        await until(lambda: mine.driven() == mine.chain.height)
        assert mine.claimed_counts() == mine.sent


@pytest.mark.parametrize("back", [1, 3])
async def test_a_set_back_that_took_nothing_of_ours_sends_nothing(mine: Rig, back: int) -> None:
    """The claim is still there: it is believed again, and nothing is sent twice."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(14)
        sent = len(mine.chain.sent)
        mine.chain.set_back(14 - back)
        await until(lambda: mine.driven() == mine.chain.height)
        mine.chain.advance()
        await until(lambda: mine.driven() == mine.chain.height)
        assert await mine.state(A) == "claimed"
        assert len(mine.chain.sent) == sent


async def go_on_to(mine: Rig, height: int) -> None:
    """Commit blocks until `height`, each after the pass for the one before."""
    while mine.chain.height < height:
        await until(lambda: mine.driven() == mine.chain.height)
        mine.chain.advance()
    await until(lambda: mine.driven() == mine.chain.height)


async def test_a_chain_that_has_outgrown_what_we_saw_is_another_past_all_the_same(
    mine: Rig,
) -> None:
    """The first block of the other past that we see is higher than all that we had seen."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(13)
        assert await mine.state(A) == "claimed"
        sent = len(mine.chain.sent)
        mine.chain.claims.clear()
        mine.chain.set_back(14)
        await until(lambda: len(mine.chain.sent) == sent + 1)
        await go_on_to(mine, 21)
        assert mine.claimed_counts() == mine.sent


async def test_a_chain_that_was_set_back_while_nobody_looked_is_noticed_at_the_start(
    mine: Rig,
) -> None:
    """The record says claimed, and the chain that the next process finds has no claim."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(13)
        assert await mine.state(A) == "claimed"
    mine.chain.claims.clear()
    async with mine.mining():
        await go_on_to(mine, 21)
    assert mine.claimed_counts() == mine.sent


@pytest.mark.parametrize("at_height", [12, 13])
async def test_a_claim_that_vanishes_unseen_is_missed_before_its_window_closes(
    mine: Rig, at_height: int
) -> None:
    """No block contradicts another, and the claim is gone: looked for once more in time."""
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(at_height + 1)
        mine.chain.claims.clear()
        await go_on_to(mine, 21)
        assert mine.claimed_counts() == mine.sent


async def test_another_seed_may_ask_for_a_proof_that_the_first_one_did_not(mine: Rig) -> None:
    """The block that decides is replaced: what it spared us is due now, or stake is slashed."""
    chain = mine.chain
    chain.proofs.proof_request_probability = 0.5
    chain.proofs.proof_requirement_threshold.amount = "1000000"
    seed_height = chain.windows(10).seed_height
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        await mine.step_to(seed_height - 1)
        (claim,) = chain.claims.values()

        def seed(wanted: bool) -> bytes:
            """A hash that asks for a proof of the claim, or does not."""
            seeds = (sha256(b"seed %d" % number).digest() for number in range(1000))
            return next(
                one
                for one in seeds
                if (proof_requirement(claim, 210, one, chain.proofs) != proof_pb2.NOT_REQUIRED)
                == wanted
            )

        chain.hashes[seed_height] = seed(wanted=False)
        while await mine.state(A) != "probabilistic_proved":
            await mine.step()
        chain.hashes[seed_height] = seed(wanted=True)
        chain.set_back(seed_height)
        await go_on_to(mine, 21)
        assert chain.slashed == []
        assert mine.claimed_counts() == mine.sent


async def test_a_proof_that_was_sent_for_another_seed_is_not_waited_for(mine: Rig) -> None:
    """It is of a leaf that nobody asks for now: one for the present seed is sent at once."""
    chain = mine.chain
    seed_height = chain.windows(10).seed_height
    await mine.log(A, 30)
    async with mine.mining():
        await mine.counted(A, 30)
        while await mine.state(A) != "proving":
            await mine.step()
        await until(lambda: mine.driven() == chain.height)
        sent = len(chain.sent)
        chain.mempool.clear()
        chain.hashes[seed_height] = sha256(b"another").digest()
        chain.set_back(chain.height)
        await until(lambda: len(chain.sent) == sent + 1)
        await go_on_to(mine, 21)
        assert chain.slashed == []
        assert mine.claimed_counts() == mine.sent
