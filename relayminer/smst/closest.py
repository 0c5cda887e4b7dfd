"""Walking a trie towards a path and proving the leaf that is met (`smt: smt.go`).

The walk is the library's, special cases included, because the bytes of a proof are compared:
where a side is empty it steps back, flips the bit of the path and goes the other way.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define

from relayminer.smst.digests import EMPTY_DIGEST, PATH_BITS, PATH_BYTES, bit
from relayminer.smst.errors import InvalidArgumentError, InvalidProofError
from relayminer.smst.nodes import Extension, Inner, Leaf, Node, digest_of, leaf_path
from relayminer.smst.proof import ClosestProof, MerkleProof

Resolve = Callable[[Node, int], Node]
PayloadOf = Callable[[Node], bytes]


@define
class _Walk:
    """Where a walk stands and what it has passed."""

    path: bytearray
    node: Node
    parent: Node = None
    sibling: Node = None
    sibling_depth: int = 0
    depth: int = 0
    step: int = 0
    leaf_depth: int = 0
    siblings: list[bytes] = Factory(list)
    flipped: list[int] = Factory(list)


def prove(root: Node, path: bytes, *, resolve: Resolve, payload_of: PayloadOf) -> ClosestProof:
    """Prove the leaf closest to `path`; every digest of the trie must be settled.

    Raises:
        InvalidArgumentError: the path has not 32 bytes.
        InvalidProofError: the leaf stands at depth 256 of an imported trie.
        NodeMissingError, CorruptNodeError: from `resolve` and `payload_of`.
    """
    if len(path) != PATH_BYTES:
        raise InvalidArgumentError(f"a path has 32 bytes, not {len(path)}")
    walk = _Walk(path=bytearray(path), node=root)
    while walk.depth < PATH_BITS and _advance(walk, resolve):
        pass
    return _result(walk, bytes(path), resolve, payload_of)


def _advance(walk: _Walk, resolve: Resolve) -> bool:
    """One level down; False when the walk has ended."""
    if walk.node is not None:
        walk.parent = walk.node
    walk.node = resolve(walk.node, walk.depth)
    if walk.node is not None:
        walk.step = 0
    else:
        _step_back(walk, resolve)
    if leaf_path(walk.node) is not None:
        walk.leaf_depth = walk.depth
        return False
    if isinstance(walk.node, Extension):
        _enter_extension(walk, walk.node, resolve)
    if not isinstance(walk.node, Inner):
        # Only an empty trie gets here, or one that deletions left with an empty side.
        walk.leaf_depth = walk.depth
        return False
    inner = walk.node
    if bit(walk.path, walk.depth):
        walk.node, walk.sibling = inner.right, inner.left
    else:
        walk.node, walk.sibling = inner.left, inner.right
    walk.siblings.append(digest_of(walk.sibling))
    walk.depth += 1
    walk.step += 1
    walk.sibling_depth = walk.depth
    return True


def _step_back(walk: _Walk, resolve: Resolve) -> None:
    if walk.siblings:
        walk.siblings.pop()
    walk.depth -= walk.step
    walk.node = resolve(walk.parent, walk.depth)
    walk.path[walk.depth >> 3] ^= 0x80 >> (walk.depth & 7)
    walk.flipped.append(walk.depth)


def _enter_extension(walk: _Walk, extension: Extension, resolve: Resolve) -> None:
    """Pass an extension that agrees with the path, or unfold one that does not."""
    if all(bit(walk.path, i) == bit(extension.path, i) for i in range(walk.depth, extension.end)):
        length = extension.end - walk.depth
        walk.siblings.extend([EMPTY_DIGEST] * length)
        walk.depth += length
        walk.step += length
        walk.node = resolve(extension.child, walk.depth)
        return
    unfolded: Node = extension.child
    for index in range(extension.end - 1, walk.depth - 1, -1):
        forward = bit(extension.path, index)
        unfolded = Inner(None, unfolded) if forward else Inner(unfolded, None)
    walk.node = unfolded


def _result(walk: _Walk, path: bytes, resolve: Resolve, payload_of: PayloadOf) -> ClosestProof:
    if walk.node is None:
        return ClosestProof(
            path=path,
            flipped_bits=tuple(walk.flipped),
            depth=walk.leaf_depth,
            closest_path=EMPTY_DIGEST,
            closest_value_hash=None,
            closest_proof=MerkleProof(),
        )
    closest = leaf_path(walk.node)
    if closest is None:
        raise InvalidProofError("the leaf stands at depth 256 and cannot be proven")
    sibling = resolve(walk.sibling, walk.sibling_depth)
    return ClosestProof(
        path=path,
        flipped_bits=tuple(walk.flipped),
        depth=walk.leaf_depth,
        closest_path=closest,
        closest_value_hash=payload_of(walk.node),
        closest_proof=MerkleProof(
            side_nodes=tuple(reversed(walk.siblings)),
            sibling_data=_preimage(sibling, payload_of),
        ),
    )


def _preimage(node: Node, payload_of: PayloadOf) -> bytes | None:
    if node is None:
        return None
    if isinstance(node, Leaf | Inner | Extension):
        return node.preimage()
    return b"\x00" + (leaf_path(node) or b"") + payload_of(node)
