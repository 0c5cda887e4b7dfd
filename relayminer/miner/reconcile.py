"""What the chain's state makes of our sessions: the only truth about claims and proofs.

A transaction that the mempool took may still fail in its block, with a code that says nothing
(`undefined` 1). So nothing here reads results of transactions: the claim is there or it is not,
its proof status is validated or it is not, its settlement event has come or it has not.

A session's state is always written last: whatever comes before it is repeated after a crash, and
repeating it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from relayminer.miner.claim_rules import OnChain, compare_claim
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.records import Phase, Step, record
from relayminer.miner.rewards import reward_or_zero
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.pb.proof_pb2 import Claim
    from relayminer.protocol.windows import SessionWindows

SETTLEMENT_GRACE_BLOCKS: Final = 30
"""How long after a proof window a verdict waits for the settlement events to be read."""

SETTLED: Final = "settled"
EXPIRED: Final = "expired"

_log = structlog.get_logger("relayminer.miner.reconcile")


async def claim_included(context: SupplierContext, session: Session, height: int) -> None:
    """The chain holds our claim: believe it, and stop sending."""
    claimed = await reward_or_zero(context, session, height)
    await context.store.append_records(
        [
            record(
                Step.CLAIM_INCLUDED,
                session.info,
                height=height,
                relays=session.relay_count,
                compute_units=session.compute_units,
                claimed_upokt=claimed,
                tx_hash=session.claim_tx_hash,
            )
        ]
    )
    await _finish(context, session, Phase.CLAIM, height)
    if session.state in {SessionState.ACTIVE, SessionState.CLAIMING}:
        await context.book.move(session, SessionState.CLAIMED, "the claim is on chain")


async def proof_validated(context: SupplierContext, session: Session, height: int) -> None:
    """The chain has checked the proof and found it good."""
    claimed = await reward_or_zero(context, session, height)
    await context.store.append_records(
        [
            record(
                Step.PROOF_VALIDATED,
                session.info,
                height=height,
                relays=session.relay_count,
                compute_units=session.compute_units,
                claimed_upokt=claimed,
                tx_hash=session.proof_tx_hash,
            )
        ]
    )
    await _finish(context, session, Phase.PROOF, height)
    await context.book.move(session, SessionState.PROVED, "the proof is valid")


async def _finish(context: SupplierContext, session: Session, phase: Phase, height: int) -> None:
    """What was to be sent again until it appeared has appeared."""
    await context.store.drop_attempt(session, phase)
    await context.store.save_outcome(session, phase, height)
    if phase is Phase.CLAIM:
        session.claim_attempt = None
    else:
        session.proof_attempt = None


async def claim_verdict(
    context: SupplierContext,
    session: Session,
    windows: SessionWindows,
    theirs: Claim | None,
    height: int,
) -> None:
    """The claim window is over: claimed, or lost for good.

    Args:
        context: The supplier.
        session: In `active` or `claiming`.
        windows: Of the session.
        theirs: The chain's claim of the session, None when it has none.
        height: Last committed block.
    """
    root = session.claimed_root
    if root is None and theirs is not None:
        # Somebody claimed what we never sealed; the claim is ours if the roots agree.
        root = await context.store.live_root(session.session_id)
        if root is not None and root == theirs.root_hash:
            session.claimed_root = await context.accumulator.seal(session)
    verdict = compare_claim(root or b"", theirs.root_hash if theirs is not None else None)
    if verdict is OnChain.OURS:
        await claim_included(context, session, height)
        return
    attempt = session.claim_attempt
    if theirs is not None:
        state, reason = SessionState.CLAIM_TX_ERROR, "another claim is on chain"
    elif attempt is not None and attempt.refused:
        state, reason = SessionState.CLAIM_TX_ERROR, attempt.reason
    elif session.unreadable:
        state, reason = SessionState.CLAIM_WINDOW_CLOSED, session.unreadable
    elif attempt is not None:
        state, reason = SessionState.CLAIM_WINDOW_CLOSED, "no claim was included in its window"
    else:
        state, reason = SessionState.CLAIM_WINDOW_CLOSED, "no claim was sent in its window"
    _log.debug("claim window closed", height=height, close_height=windows.claim_close_height)
    await context.store.drop_attempt(session, Phase.CLAIM)
    await lose(context, session, state, reason, height)


async def proof_verdict(
    context: SupplierContext,
    session: Session,
    windows: SessionWindows,
    theirs: Claim | None,
    height: int,
) -> None:
    """The proof window is over, and the claim settled or expired in its last block.

    Waits for the settlement events of that block, for they alone tell which of the two; after
    `SETTLEMENT_GRACE_BLOCKS` the session is given up as unknown.
    """
    if session.settlement_outcome == SETTLED:
        if session.proof_status == proof_pb2.VALIDATED:
            await proof_validated(context, session, height)
        else:
            await context.book.move(
                session, SessionState.PROBABILISTIC_PROVED, "settled without a proof"
            )
        return
    if theirs is not None and theirs.proof_validation_status == proof_pb2.VALIDATED:
        await proof_validated(context, session, height)
        return
    read = context.process.settled_through(context.address) >= windows.settlement_height
    late = height >= windows.proof_close_height + SETTLEMENT_GRACE_BLOCKS
    if session.settlement_outcome != EXPIRED and not read and not late:
        return
    attempt = session.proof_attempt
    if attempt is not None and attempt.refused:
        state, reason = SessionState.PROOF_TX_ERROR, attempt.reason
    elif not session.settlement_outcome and theirs is None:
        state, reason = SessionState.CLAIM_MISSING, "the chain had no claim to settle"
    elif session.proof_status == proof_pb2.INVALID:
        state, reason = SessionState.PROOF_TX_ERROR, "the proof was found invalid"
    elif attempt is not None:
        state, reason = SessionState.PROOF_WINDOW_CLOSED, "no proof was included in its window"
    else:
        state, reason = SessionState.PROOF_WINDOW_CLOSED, "no proof was sent in its window"
    await context.store.drop_attempt(session, Phase.PROOF)
    await lose(context, session, state, reason, height)


async def lose(
    context: SupplierContext, session: Session, state: SessionState, reason: str, height: int
) -> None:
    """End a session without reward and say why, and how much is lost."""
    lost = await reward_or_zero(context, session, height)
    await context.store.append_records(
        [
            record(
                Step.LOST,
                session.info,
                state=state.value,
                reason=reason,
                relays=session.relay_count,
                compute_units=session.compute_units,
                lost_upokt=lost,
                height=height,
            )
        ]
    )
    await context.book.move(session, state, reason)
    metrics = context.process.metrics
    metrics.lost_upokt.bind(context.address, session.info.service_id, state.value).value += lost
    _log.error(
        "session lost",
        supplier=context.address,
        session_id=session.session_id,
        state=state.value,
        reason=reason,
        relays=session.relay_count,
        lost_upokt=lost,
    )
