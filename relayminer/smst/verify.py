"""Verifying a closest proof against a root, with the chain's tolerance (`smt: proofs.go`)."""

from __future__ import annotations

from typing import Final

from relayminer.smst.digests import (
    DIGEST_BYTES,
    EMPTY_DIGEST,
    LEAF_PREFIX,
    PATH_BYTES,
    TAIL_BYTES,
    bit,
    inner_preimage,
    plain_digest,
)
from relayminer.smst.errors import InvalidProofError
from relayminer.smst.proof import ClosestProof, CompactClosestProof
from relayminer.smst.wire import decode_proof

_ZERO_SUM: Final = bytes(8)


def verify_closest_proof(proof: ClosestProof | CompactClosestProof, root: bytes) -> bool:
    """Whether `proof` holds against the 48-byte `root`; False for every malformed structure.

    It says nothing about the leaf's value: that a relay is in it is the caller's to check.
    """
    try:
        full = proof.decompact() if isinstance(proof, CompactClosestProof) else proof
        full.validate()
        digest = _leaf_digest(full)
    except InvalidProofError:
        return False
    if len(root) != DIGEST_BYTES:
        return False
    count = len(full.closest_proof.side_nodes)
    for index, given in enumerate(full.closest_proof.side_nodes):
        # The reference copies each side node into a buffer of 48 bytes.
        side_node = given[:DIGEST_BYTES].ljust(DIGEST_BYTES, b"\x00")
        if bit(full.closest_path, count - 1 - index):
            digest = _fork_digest(side_node, digest)
        else:
            digest = _fork_digest(digest, side_node)
    return digest == root


def verify_proof_bytes(data: bytes, root: bytes) -> bool:
    """Whether the gob bytes of a `MsgSubmitProof.proof` hold against `root`."""
    try:
        proof = decode_proof(data)
    except InvalidProofError:
        return False
    return verify_closest_proof(proof, root)


def _leaf_digest(proof: ClosestProof) -> bytes:
    payload = proof.closest_value_hash
    path = proof.closest_path[:PATH_BYTES]
    if payload:
        if len(payload) < TAIL_BYTES:
            raise InvalidProofError("the leaf's value has less than 16 bytes")
        # An empty value of weight 0 counts as absent: such a leaf cannot be proven.
        if len(payload) > TAIL_BYTES or payload[:8] != _ZERO_SUM:
            return plain_digest(LEAF_PREFIX + path + payload)
    other = proof.closest_proof.non_membership_leaf_data
    if not other:
        return EMPTY_DIGEST
    if other[1 : 1 + PATH_BYTES] == path:
        raise InvalidProofError("the non-membership data is the leaf that it excludes")
    return plain_digest(LEAF_PREFIX + other[1:])


def _fork_digest(left: bytes, right: bytes) -> bytes:
    return plain_digest(inner_preimage(left, right))
