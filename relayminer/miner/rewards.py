"""What claims are worth and cost, asked at the heights that the protocol pins (uPOKT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relayminer.chain.errors import ChainError
from relayminer.miner.claim_rules import Costs, Profit, expected_cost_upokt
from relayminer.protocol.errors import AmountError
from relayminer.protocol.reward import claimed_upokt
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.miner.context import SupplierContext
    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.sessions import Session

_log = structlog.get_logger("relayminer.miner.rewards")


async def expected_profit(
    context: SupplierContext, info: SessionInfo, root: bytes, height: int
) -> Profit:
    """What a claim of `root` would earn and cost, by difficulty and parameters at session start."""
    facts = context.process.facts
    params = await facts.proof_params(height)
    reward = await reward_upokt(context, info, root, height)
    cost = expected_cost_upokt(
        Costs(
            context.fees.claim_upokt,
            context.fees.proof_upokt,
            int(params.proof_submission_fee.amount or 0),
        ),
        reward_upokt=reward,
        threshold_upokt=int(params.proof_requirement_threshold.amount or 0),
        p=params.proof_request_probability,
    )
    return Profit(reward_upokt=reward, cost_upokt=cost)


async def reward_upokt(
    context: SupplierContext, info: SessionInfo, root: bytes, height: int
) -> int:
    """The amount that a claim of `root` is about (crypto.md 8.2), uPOKT."""
    facts = context.process.facts
    return claimed_upokt(
        root,
        await facts.target(info.service_id, info.start_height),
        await facts.shared_params(info.start_height, height),
    )


async def reward_or_zero(context: SupplierContext, session: Session, height: int) -> int:
    """What a session would have earned, uPOKT; 0 when nobody can say."""
    root = session.claimed_root
    try:
        if root is None:
            root = await context.store.live_root(session.session_id)
        return 0 if root is None else await reward_upokt(context, session.info, root, height)
    except (ChainError, StateError, AmountError) as error:
        _log.warning("reward is not known", session_id=session.session_id, error=str(error))
        return 0
