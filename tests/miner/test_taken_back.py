"""A chain that takes blocks back takes claims and proofs along: they are sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.protocol.pb import proof_pb2
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
