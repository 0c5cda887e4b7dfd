"""Claims: seal, check, compare with the chain, send.

One group is the sessions of one supplier that end at the same height. Each session gets its own
result; none can spoil the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.claim_rules import OnChain, compare_claim, seal_wait_seconds
from relayminer.miner.errors import TrieUnavailableError
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.reconcile import claim_included
from relayminer.miner.records import Phase, Step, record
from relayminer.miner.rewards import expected_profit
from relayminer.miner.sending import Outgoing, is_due, send_group
from relayminer.protocol.errors import AmountError
from relayminer.protocol.pb.proof_pb2 import MsgCreateClaim
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.reward import is_consistent
from relayminer.smst import root_count, root_sum
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.sessions import Session
    from relayminer.protocol.pb.proof_pb2 import Claim
    from relayminer.protocol.windows import SessionWindows

DRAIN_SECONDS: Final = 5.0
"""How long a pass waits for the log to be processed; the next one waits on."""
LAST_BLOCKS: Final = 2
"""So many blocks before a claim window closes, a log that cannot be drained is not waited for."""

_log = structlog.get_logger("relayminer.miner.claim")


async def claim_group(
    context: SupplierContext, sessions: Sequence[Session], windows: SessionWindows, height: int
) -> None:
    """Bring the claims of sessions with one end on chain, as far as that is possible now.

    Repeatable at every block: what is on chain already is noticed, what is underway is left alone.

    Raises:
        ChainError, StateError: not possible now; the next block tries again.
        LeaseLostError: the supplier is not ours any more.
    """
    for session in sessions:
        if session.state is SessionState.ACTIVE:
            await context.book.move(session, SessionState.CLAIMING, "claim window is open")
            await context.store.publish_meter_cleanup(session.session_id)
    sealed = await _seal_all(context, sessions, windows, height)
    if context.process.shadow is not None:
        return
    theirs = await claims_on_chain(context)
    outgoing: list[Outgoing] = []
    for session in sealed:
        if await _settle_with_chain(context, session, theirs.get(session.session_id), height):
            continue
        if not is_due(session.claim_attempt, height, windows.claim_close_height):
            continue
        if await _is_worth_it(context, session, height):
            outgoing.append(await _message(context, session))
    if outgoing:
        await send_group(
            context,
            Phase.CLAIM,
            outgoing,
            height=height,
            open_height=windows.claim_open_height,
            close_height=windows.claim_close_height,
        )


async def claims_on_chain(context: SupplierContext, min_height: int = 0) -> Mapping[str, Claim]:
    """The supplier's claims in the chain's state, by session id.

    Raises:
        ChainError: the node did not say, or is not at `min_height` yet: what a node that lags
            does not show may well be there.
    """
    claims = await context.process.chain.claims_of(context.address, min_height)
    return {claim.session_header.session_id: claim for claim in claims}


async def seal(context: SupplierContext, session: Session) -> bytes:
    """Seal a session's trie and write down what it holds; returns the root (48 bytes)."""
    root = await context.accumulator.seal(session)
    if root == session.claimed_root:
        return root
    session.relay_count, session.compute_units = root_count(root), root_sum(root)
    served = await context.store.served(session.session_id)
    await context.store.append_records(
        [
            record(Step.SERVED, session.info, relays=served.relays),
            record(
                Step.METERED,
                session.info,
                consumed_upokt=served.consumed_upokt,
                budget_upokt=served.budget_upokt,
            ),
            record(
                Step.MINED,
                session.info,
                relays=session.relay_count,
                compute_units=session.compute_units,
                root=root.hex(),
            ),
        ]
    )
    await context.store.set_state(session, session.state, claimed_root_hash=root)
    session.claimed_root = root
    return root


async def _seal_all(
    context: SupplierContext, sessions: Sequence[Session], windows: SessionWindows, height: int
) -> list[Session]:
    """The sessions that are sealed, after everything in the log has been counted."""
    if any(session.claimed_root is None for session in sessions):
        block_time_seconds = context.process.block_time_seconds
        await trio.sleep(seal_wait_seconds(height, windows.claim_open_height, block_time_seconds))
        drained = await context.ingest.drain(DRAIN_SECONDS)
        if not drained and height < windows.claim_close_height - LAST_BLOCKS:
            # A relay that is logged and not counted is money; there is still time for it.
            _log.warning("the log is not drained, claims wait a block", supplier=context.address)
            return [session for session in sessions if session.claimed_root is not None]
    sealed = []
    for session in sessions:
        try:
            await seal(context, session)
        except (StateError, TrieUnavailableError) as error:
            _log.error(
                "session cannot be sealed",
                supplier=context.address,
                session_id=session.session_id,
                error=str(error),
            )
        else:
            sealed.append(session)
    return sealed


async def _settle_with_chain(
    context: SupplierContext, session: Session, theirs: Claim | None, height: int
) -> bool:
    """Whether nothing more is to be sent for the session, given what the chain holds."""
    root = session.claimed_root
    if root is None:
        return True
    if root_count(root) == 0 or root_sum(root) == 0:
        await skip(context, session, "empty_tree", height)
        return True
    match compare_claim(root, theirs.root_hash if theirs is not None else None):
        case OnChain.OURS:
            await claim_included(context, session, height)
            return True
        case OnChain.LARGER:
            _log.error(
                "the chain holds a larger claim than ours; it is left alone",
                supplier=context.address,
                session_id=session.session_id,
                relays=root_count(root),
            )
            return True
        case _:
            return False


async def _is_worth_it(context: SupplierContext, session: Session, height: int) -> bool:
    """Whether the chain would take the claim and it would earn more than it costs."""
    root, info = session.claimed_root, session.info
    if root is None:
        return False
    per_relay = await _compute_units(context, session)
    if not is_consistent(root, per_relay):
        await skip(context, session, "cupr_mismatch", height)
        return False
    if not context.process.settings.require_profit:
        return True
    try:
        profit = await expected_profit(context, info, root, height)
    except (ChainError, AmountError) as error:
        # Not knowing what a claim earns is no reason to give it away.
        _log.warning("reward is not known", session_id=info.session_id, error=str(error))
        return True
    if profit.worthwhile:
        return True
    await skip(
        context,
        session,
        "unprofitable",
        height,
        reward_upokt=profit.reward_upokt,
        cost_upokt=profit.cost_upokt,
    )
    return False


async def _compute_units(context: SupplierContext, session: Session) -> int:
    try:
        return await context.process.facts.compute_units(
            session.info.service_id, session.info.start_height
        )
    except ChainError as error:
        _log.warning("compute units are not known", error=str(error))
        return 0


async def skip(
    context: SupplierContext, session: Session, reason: str, height: int, **sums: int
) -> None:
    """End a session without a claim, and say why and what that was worth."""
    context.process.metrics.skipped.bind(
        context.address, session.info.service_id, reason
    ).value += 1
    await context.store.append_records(
        [
            record(
                Step.SKIPPED,
                session.info,
                reason=reason,
                relays=session.relay_count,
                compute_units=session.compute_units,
                height=height,
                **sums,
            )
        ]
    )
    await context.book.move(session, SessionState.CLAIM_SKIPPED, reason)


async def _message(context: SupplierContext, session: Session) -> Outgoing:
    root = session.claimed_root or b""
    return Outgoing(
        session,
        MsgCreateClaim(
            supplier_operator_address=context.address,
            session_header=await session_header(context, session.info),
            root_hash=root,
        ),
        {
            "root": root.hex(),
            "relays": session.relay_count,
            "compute_units": session.compute_units,
        },
    )


async def session_header(context: SupplierContext, info: SessionInfo) -> SessionHeader:
    """The header as the chain has it, or as the relays had it when the chain cannot say."""
    own = SessionHeader(
        application_address=info.application_address,
        service_id=info.service_id,
        session_id=info.session_id,
        session_start_block_height=info.start_height,
        session_end_block_height=info.end_height,
    )
    try:
        header = await context.process.facts.session_header(info)
    except ChainError as error:
        _log.warning("session header is not known", session_id=info.session_id, error=str(error))
        return own
    return header if header.session_id == info.session_id else own
