"""Which claims need a proof, and of which leaf.

One block decides both: the one before the proof window opens (`SessionWindows.seed_height`).

Source: `poktroll: pkg/crypto/protocol/proof_path.go`,
`x/proof/keeper/proof_requirement.go`, `x/proof/types/claim.go`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from relayminer.protocol import codec
from relayminer.protocol.gorand import seeded_float64
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from relayminer.protocol.pb.proof_pb2 import Claim, Params, ProofRequirementReason


def proof_path(seed_block_hash: bytes, session_id: str) -> bytes:
    """The 32-byte path whose closest leaf must be proven.

    Args:
        seed_block_hash: 32 bytes.
        session_id: the 64 hex characters as text.
    """
    return hashlib.sha256(seed_block_hash + session_id.encode()).digest()


def claim_hash(claim: Claim) -> bytes:
    """32 bytes. The validation status is part of it: it changes once a proof was checked."""
    return hashlib.sha256(codec.encode(claim)).digest()


def proof_sample(claim: Claim, seed_block_hash: bytes) -> float:
    """The draw of a claim, in [0, 1)."""
    return seeded_float64(claim_hash(claim) + seed_block_hash)


def proof_requirement(
    claim: Claim, claimed_upokt: int, seed_block_hash: bytes, params: Params
) -> ProofRequirementReason:
    """Whether and why `claim` needs a proof.

    Args:
        claim: as on chain; a miner that looks ahead leaves the status pending.
        claimed_upokt: its amount.
        seed_block_hash: 32 bytes.
        params: the proof module's live parameters.
    """
    if claimed_upokt >= int(params.proof_requirement_threshold.amount or 0):
        return proof_pb2.THRESHOLD
    if proof_sample(claim, seed_block_hash) <= params.proof_request_probability:
        return proof_pb2.PROBABILISTIC
    return proof_pb2.NOT_REQUIRED
