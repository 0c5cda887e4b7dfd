"""The sparse merkle sum trie, pure: update, commit, root, closest proof, gob."""

from relayminer.smst.audit import StoredLeaf, children_of, is_intact, read_leaf
from relayminer.smst.commit import Change, Commit
from relayminer.smst.digests import EMPTY_DIGEST, EMPTY_ROOT, root_count, root_hash, root_sum
from relayminer.smst.errors import (
    CorruptNodeError,
    InvalidArgumentError,
    InvalidProofError,
    KeyNotFoundError,
    NodeMissingError,
    ProofDecodeError,
    SmstError,
)
from relayminer.smst.preload import NodeIndex, Preloaded
from relayminer.smst.proof import (
    ClosestProof,
    CompactClosestProof,
    CompactMerkleProof,
    MerkleProof,
)
from relayminer.smst.trie import Trie, hash_path
from relayminer.smst.verify import verify_closest_proof, verify_proof_bytes
from relayminer.smst.wire import decode_proof, encode_proof

__all__ = [
    "EMPTY_DIGEST",
    "EMPTY_ROOT",
    "Change",
    "ClosestProof",
    "Commit",
    "CompactClosestProof",
    "CompactMerkleProof",
    "CorruptNodeError",
    "InvalidArgumentError",
    "InvalidProofError",
    "KeyNotFoundError",
    "MerkleProof",
    "NodeIndex",
    "NodeMissingError",
    "Preloaded",
    "ProofDecodeError",
    "SmstError",
    "StoredLeaf",
    "Trie",
    "children_of",
    "decode_proof",
    "encode_proof",
    "hash_path",
    "is_intact",
    "read_leaf",
    "root_count",
    "root_hash",
    "root_sum",
    "verify_closest_proof",
    "verify_proof_bytes",
]
