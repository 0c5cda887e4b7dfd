"""What we believe to be on chain, compared with the chain anew: what it has no more is sent again.

A block that is rolled back takes the claims and proofs in it along, and its transactions are in no
mempool any more. So sessions that we believe to be claimed or proven are compared with the chain
after it was set back, at the start of our work (it may have been set back while nobody looked), and
in the last blocks of a window, for whatever we have not noticed.

The block that decides about a proof may be another one after a set-back: then it decides anew, also
about claims of which the one before wanted no proof, and a proof of before is of no use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from relayminer.miner.claim import claims_on_chain
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.records import Phase
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.pb.proof_pb2 import Claim
    from relayminer.protocol.windows import SessionWindows

LAST_LOOKS: Final = 2
"""In so many blocks before the last one of a window: what is missed can still be sent."""

_UNPROVEN = frozenset({SessionState.CLAIMED, SessionState.PROVING})
_PROVED = frozenset({SessionState.PROVED, SessionState.PROBABILISTIC_PROVED})
BELIEVED = _UNPROVEN | _PROVED
"""States of sessions that have a claim on chain."""

_log = structlog.get_logger("relayminer.miner.taken_back")


async def send_again(
    context: SupplierContext, sessions: Sequence[Session], height: int, *, was_set_back: bool
) -> None:
    """Put sessions whose claim or proof the chain has no more to where it is sent.

    Args:
        context: The supplier.
        sessions: Those to compare, in any state.
        height: Last committed block.
        was_set_back: Whether the chain has another past than it had; else nothing but a claim or a
            proof that is gone is believed to have changed.

    Raises:
        ChainError, StateError: not possible now; nothing is lost by doing it again.
    """
    if was_set_back:
        for session in sessions:
            await _forget_attempt(context, session)
    believed = [one for one in sessions if one.state in BELIEVED and not one.trie_deleted]
    if not believed:
        return
    theirs = await claims_on_chain(context, height)
    for session in believed:
        windows = await context.process.facts.windows(session.end_height, height)
        claim = theirs.get(session.session_id)
        state = _state_now(session, claim, windows, height, was_set_back=was_set_back)
        if state is not None and state is not session.state:
            _log.error(
                "the chain does not have what it had, it is sent again",
                supplier=context.address,
                session_id=session.session_id,
                before=session.state.value,
                after=state.value,
                height=height,
            )
            await context.book.move(session, state, "not on chain any more")


async def _forget_attempt(context: SupplierContext, session: Session) -> None:
    """What was sent is in no mempool any more, or of another past: it is not waited for."""
    if session.state is SessionState.CLAIMING and session.claim_attempt is not None:
        await context.store.drop_attempt(session, Phase.CLAIM)
        session.claim_attempt = None
    elif session.state is SessionState.PROVING and session.proof_attempt is not None:
        await context.store.drop_attempt(session, Phase.PROOF)
        session.proof_attempt = None


def is_last_look(session: Session, windows: SessionWindows, height: int) -> bool:
    """Whether a session is to be compared because a window of its will close."""
    if session.state is SessionState.CLAIMED:
        close_height = windows.claim_close_height
    elif session.state is SessionState.PROVED:
        close_height = windows.proof_close_height
    else:
        return False
    return 0 < close_height - height <= LAST_LOOKS


def _is_pending(claim: Claim | None) -> bool:
    return claim is None or claim.proof_validation_status != proof_pb2.VALIDATED


def _state_now(
    session: Session,
    claim: Claim | None,
    windows: SessionWindows,
    height: int,
    *,
    was_set_back: bool,
) -> SessionState | None:
    """Where a session has to go back to; None when it is where it belongs, or it is too late."""
    if claim is None:
        return SessionState.CLAIMING if height < windows.claim_close_height else None
    needs_proof = session.state is SessionState.PROVED or (
        was_set_back and session.state is SessionState.PROBABILISTIC_PROVED
    )
    if needs_proof and _is_pending(claim):
        return SessionState.PROVING if height < windows.proof_close_height else None
    return None
