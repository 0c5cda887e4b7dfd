"""The miner from log to ledger, on a real store and a stepped chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.miner.chain import FEE_UPOKT
from tests.miner.harness import session_ids

if TYPE_CHECKING:
    from tests.miner.harness import Rig

A, B, C = session_ids(3)


async def test_relays_become_a_settled_claim(mine: Rig) -> None:
    """What was logged is counted, claimed, proven and settled, and the ledger tells it all."""
    await mine.log(A, 40)
    await mine.log(B, 3)
    async with mine.mining():
        await mine.counted(A, 40)
        await mine.counted(B, 3)
        await mine.step_to(21)
        assert mine.claimed_counts() == mine.sent
        assert await mine.state(A) == "proved"
        assert await mine.steps(A) == [
            "served",
            "metered",
            "mined",
            "claim_intent",
            "claim_submitted",
            "claim_included",
            "proof_intent",
            "proof_submitted",
            "proof_validated",
            "settled",
        ]
        lines = [line for line in await mine.ledger() if line["session_id"] == A]
        settled = next(line for line in lines if line["step"] == "settled")
        assert settled["settled_upokt"] == 40 * 7
        fees = sum(line.get("fee_upokt", 0) for line in await mine.ledger())
        assert fees == FEE_UPOKT * len(mine.chain.sent)
        # Both sessions end together, so they share a claim and a proof transaction.
        assert len(mine.chain.sent) == 2
