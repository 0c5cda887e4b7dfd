"""When claims and proofs of a session are accepted. Both windows include both their ends.

Source: `poktroll: x/shared/types/session.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from relayminer.protocol.pb.shared_pb2 import Params


@frozen
class SessionWindows:
    """The heights that matter to a session after its end.

    Attributes:
        session_end_height: last height of the session.
        grace_end_height: last height at which its relays are still served.
        claim_open_height: first height of the claim window.
        claim_close_height: last height of the claim window.
        proof_open_height: first height of the proof window; may equal the claim window's last.
        proof_close_height: last height of the proof window.
        seed_height: the block whose hash decides whether a proof is due and of which leaf.
        settlement_height: the block at whose end the claim is settled or expires.
    """

    session_end_height: int
    grace_end_height: int
    claim_open_height: int
    claim_close_height: int
    proof_open_height: int
    proof_close_height: int
    seed_height: int
    settlement_height: int

    def in_claim_window(self, height: int) -> bool:
        """Whether a claim executed at `height` is in time."""
        return self.claim_open_height <= height <= self.claim_close_height

    def in_proof_window(self, height: int) -> bool:
        """Whether a proof executed at `height` is in time."""
        return self.proof_open_height <= height <= self.proof_close_height


def session_windows(params: Params, session_end_height: int) -> SessionWindows:
    """The windows of the session that ends at `session_end_height` (inclusive).

    Args:
        params: the shared parameters in force at the session's end.
        session_end_height: last height of the session; 0 for the session before the first.
    """
    # The claim window opens one block later than its offset says; the sum that decides about
    # settlement does not know of that block and is compared with "greater than" instead.
    claim_open = session_end_height + params.claim_window_open_offset_blocks + 1
    claim_close = claim_open + params.claim_window_close_offset_blocks
    proof_open = claim_close + params.proof_window_open_offset_blocks
    proof_close = proof_open + params.proof_window_close_offset_blocks
    return SessionWindows(
        session_end_height=session_end_height,
        grace_end_height=session_end_height + params.grace_period_end_offset_blocks,
        claim_open_height=claim_open,
        claim_close_height=claim_close,
        proof_open_height=proof_open,
        proof_close_height=proof_close,
        seed_height=proof_open - 1,
        settlement_height=session_end_height + window_blocks(params) + 1,
    )


def window_blocks(params: Params) -> int:
    """Sum of the four window offsets, in blocks (without the one that opens the claim window)."""
    return (
        params.claim_window_open_offset_blocks
        + params.claim_window_close_offset_blocks
        + params.proof_window_open_offset_blocks
        + params.proof_window_close_offset_blocks
    )


def pending_sessions(params: Params) -> int:
    """How many sessions can wait for settlement at once."""
    return -(-window_blocks(params) // params.num_blocks_per_session)
