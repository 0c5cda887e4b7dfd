"""After the chain was set back: what it took back is sent again, while there is time.

A block that is rolled back takes the claims and proofs in it along, and its transactions are in no
mempool any more. Sessions that we believe to be claimed or proven are compared with the chain anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relayminer.miner.claim import claims_on_chain
from relayminer.miner.lifecycle import SessionState
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.pb.proof_pb2 import Claim
    from relayminer.protocol.windows import SessionWindows

_CLAIMED = frozenset({SessionState.CLAIMED, SessionState.PROVING, SessionState.PROVED})

_log = structlog.get_logger("relayminer.miner.taken_back")


async def send_again(context: SupplierContext, height: int) -> None:
    """Put sessions whose claim or proof the chain took back to where it is sent.

    Args:
        context: The supplier.
        height: Last committed block, after the set-back.

    Raises:
        ChainError, StateError: not possible now; nothing is lost by doing it again.
    """
    believed = [one for one in context.book if one.state in _CLAIMED and not one.trie_deleted]
    if not believed:
        return
    theirs = await claims_on_chain(context, height)
    for session in believed:
        windows = await context.process.facts.windows(session.end_height, height)
        state = _state_now(session, theirs.get(session.session_id), windows, height)
        if state is None:
            continue
        _log.error(
            "the chain took back what it had, it is sent again",
            supplier=context.address,
            session_id=session.session_id,
            before=session.state.value,
            after=state.value,
            height=height,
        )
        await context.book.move(session, state, "the chain was set back")


def _state_now(
    session: Session, claim: Claim | None, windows: SessionWindows, height: int
) -> SessionState | None:
    """Where a session has to go back to; None when it is where it belongs, or it is too late."""
    if claim is None:
        return SessionState.CLAIMING if height < windows.claim_close_height else None
    is_proved = session.state is SessionState.PROVED
    if is_proved and claim.proof_validation_status != proof_pb2.VALIDATED:
        return SessionState.PROVING if height < windows.proof_close_height else None
    return None
