"""Closest proofs: full and compact form, and the checks on their structure.

`smt: proofs.go`. In both forms absent bytes are None, and empty bytes count as absent, because the
wire format cannot tell them apart.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from relayminer.smst.digests import (
    DIGEST_BYTES,
    EMPTY_DIGEST,
    PATH_BITS,
    PATH_BYTES,
    bit,
    preimage_digest,
)
from relayminer.smst.errors import InvalidArgumentError, InvalidProofError

MAX_SIDE_NODES: Final = PATH_BITS
MAX_INDEX_BYTES: Final = 2
MIN_NON_MEMBERSHIP_BYTES: Final = 33


@frozen
class MerkleProof:
    """The way from a leaf up to the root.

    Attributes:
        side_nodes: sibling digests (48 bytes each), the deepest first.
        sibling_data: preimage of the deepest sibling, in full: a leaf brings its relay along.
        non_membership_leaf_data: never present in proofs of ours.
    """

    side_nodes: tuple[bytes, ...] = ()
    sibling_data: bytes | None = None
    non_membership_leaf_data: bytes | None = None


@frozen
class CompactMerkleProof:
    """A merkle proof without its empty side nodes; a set bit of the mask marks each of them."""

    side_nodes: tuple[bytes, ...] = ()
    bit_mask: bytes = b""
    num_side_nodes: int = 0
    sibling_data: bytes | None = None
    non_membership_leaf_data: bytes | None = None


@frozen
class CompactClosestProof:
    """The form that goes on the wire: indexes as minimal big-endian bytes."""

    path: bytes
    flipped_bits: tuple[bytes, ...]
    depth: bytes
    closest_path: bytes
    closest_value_hash: bytes | None
    closest_proof: CompactMerkleProof | None

    def decompact(self) -> ClosestProof:
        """The full form.

        Raises:
            InvalidProofError: a length or the mask breaks a rule.
        """
        _require(len(self.path) == PATH_BYTES, f"the path has {len(self.path)} bytes, not 32")
        _require(len(self.depth) <= MAX_INDEX_BYTES, "the depth has more than 2 bytes")
        for index in self.flipped_bits:
            _require(len(index) <= MAX_INDEX_BYTES, "a flipped index has more than 2 bytes")
        if self.closest_proof is None:
            raise InvalidProofError("the proof of the closest leaf is absent")
        return ClosestProof(
            path=self.path,
            flipped_bits=tuple(int.from_bytes(index, "big") for index in self.flipped_bits),
            depth=int.from_bytes(self.depth, "big"),
            closest_path=self.closest_path,
            closest_value_hash=self.closest_value_hash or None,
            closest_proof=_decompact(self.closest_proof),
        )


@frozen
class ClosestProof:
    """A proof of the leaf that is met first on the way along `path`.

    Attributes:
        path: the 32 bytes that were followed.
        flipped_bits: indexes of the bits where the trie had no such side, in the order met.
        depth: how deep the leaf stands.
        closest_path: the leaf's own path.
        closest_value_hash: the leaf's value, weight (8 bytes) and count (8 bytes); None when the
            trie is empty.
        closest_proof: the way up.
    """

    path: bytes
    flipped_bits: tuple[int, ...]
    depth: int
    closest_path: bytes
    closest_value_hash: bytes | None
    closest_proof: MerkleProof

    @property
    def leaf_value(self) -> bytes | None:
        """The proven leaf's value (the relay's bytes); None when it is absent or too short."""
        payload = self.closest_value_hash
        return None if payload is None or len(payload) < 16 else payload[:-16]  # noqa: PLR2004 - weight and count

    def compact(self) -> CompactClosestProof:
        """The compact form.

        Raises:
            InvalidProofError: the proof's structure breaks a rule (a leaf at depth 256 does).
        """
        self.validate()
        return CompactClosestProof(
            path=self.path,
            flipped_bits=tuple(_minimal(index) for index in self.flipped_bits),
            depth=_minimal(self.depth),
            closest_path=self.closest_path,
            closest_value_hash=self.closest_value_hash,
            closest_proof=_compact(self.closest_proof),
        )

    def validate(self) -> None:
        """Check everything that does not depend on the root.

        Raises:
            InvalidProofError: a rule is broken.
        """
        _require(len(self.path) == PATH_BYTES, f"the path has {len(self.path)} bytes, not 32")
        _require(0 <= self.depth <= PATH_BITS, f"depth {self.depth} is not in [0, 256]")
        walked = bytearray(self.path)
        for index in self.flipped_bits:
            _require(0 <= index <= self.depth, f"flipped bit {index} is not in [0, {self.depth}]")
            _require(index < PATH_BITS, "there is no bit 256 to flip")
            walked[index >> 3] ^= 0x80 >> (index & 7)
        _require(len(self.closest_path) >= PATH_BYTES, "the closest path has less than 32 bytes")
        for index in range(self.depth):
            if bit(walked, index) != bit(self.closest_path, index):
                raise InvalidProofError(f"path and closest path differ in bit {index}")
        _validate_merkle_proof(self.closest_proof)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidProofError(reason)


def _minimal(index: int) -> bytes:
    return index.to_bytes(max(1, (index.bit_length() + 7) // 8), "big")


def _validate_merkle_proof(proof: MerkleProof) -> None:
    _require(len(proof.side_nodes) <= MAX_SIDE_NODES, "there are more than 256 side nodes")
    other = proof.non_membership_leaf_data
    _require(not other or len(other) >= MIN_NON_MEMBERSHIP_BYTES, "non-membership data is short")
    if not proof.sibling_data or not proof.side_nodes:
        # Without sibling data the reference looks at no side node's length.
        return
    for side_node in proof.side_nodes:
        _require(len(side_node) == DIGEST_BYTES, "a side node has not 48 bytes")
    try:
        digest = preimage_digest(proof.sibling_data)
    except InvalidArgumentError as error:
        raise InvalidProofError(f"the sibling data is no node: {error}") from error
    _require(digest == proof.side_nodes[0], "the sibling data is not the first side node")


def _compact(proof: MerkleProof) -> CompactMerkleProof:
    mask = bytearray((len(proof.side_nodes) + 7) // 8)
    kept: list[bytes] = []
    for index, side_node in enumerate(proof.side_nodes):
        if side_node == EMPTY_DIGEST:
            mask[index >> 3] |= 0x80 >> (index & 7)
        else:
            kept.append(side_node)
    return CompactMerkleProof(
        side_nodes=tuple(kept),
        bit_mask=bytes(mask),
        num_side_nodes=len(proof.side_nodes),
        sibling_data=proof.sibling_data,
        non_membership_leaf_data=proof.non_membership_leaf_data,
    )


def _decompact(proof: CompactMerkleProof) -> MerkleProof:
    count = proof.num_side_nodes
    _require(0 <= count <= MAX_SIDE_NODES, f"{count} side nodes are not in [0, 256]")
    _require(len(proof.bit_mask) == (count + 7) // 8, "the mask's length is wrong")
    stored = iter(proof.side_nodes)
    side_nodes: list[bytes] = []
    if count:
        # The whole mask counts here, bits beyond the last side node too.
        empty = int.from_bytes(proof.bit_mask, "big").bit_count()
        _require(len(proof.side_nodes) == count - empty, "mask and side nodes do not agree")
        for index in range(count):
            side_node = EMPTY_DIGEST if bit(proof.bit_mask, index) else next(stored, None)
            if side_node is None:
                raise InvalidProofError("the mask promises more side nodes than there are")
            side_nodes.append(side_node)
    return MerkleProof(
        side_nodes=tuple(side_nodes),
        sibling_data=proof.sibling_data or None,
        non_membership_leaf_data=proof.non_membership_leaf_data or None,
    )
