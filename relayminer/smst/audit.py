"""Looking at a stored trie node by node, without building it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from relayminer.smst.digests import (
    EMPTY_DIGEST,
    EXTENSION_PREFIX,
    HASH_BYTES,
    LEAF_MIN_BYTES,
    PATH_BYTES,
    TAIL_BYTES,
)
from relayminer.smst.errors import CorruptNodeError
from relayminer.smst.nodes import (
    Extension,
    Inner,
    check_preimage,
    is_leaf_preimage,
    parse,
)

_ONE: Final = (1).to_bytes(8, "big")


@frozen
class StoredLeaf:
    """What a leaf's preimage says."""

    path: bytes
    value: bytes
    weight: int


def children_of(digest: bytes, preimage: bytes, depth: int) -> list[tuple[bytes, int]]:
    """The digests below a stored node that stands at `depth`, each with its depth.

    Raises:
        CorruptNodeError: the preimage is not what `digest` stands for, or no node at that depth.
    """
    check_preimage(digest, preimage)
    if is_leaf_preimage(preimage):
        return []
    node = parse(digest, preimage, depth, keep_value=False)
    below: list[tuple[bytes, int]] = []
    if isinstance(node, Inner):
        below = [(node.left, depth + 1), (node.right, depth + 1)]  # type: ignore[list-item]  # lazy
    elif isinstance(node, Extension):
        below = [(node.child, node.end)]  # type: ignore[list-item]  # lazy
        if preimage[:1] == EXTENSION_PREFIX and preimage[-TAIL_BYTES:] != digest[HASH_BYTES:]:
            raise CorruptNodeError(digest, "an extension whose sums are not its child's")
    return [(child, at) for child, at in below if child != EMPTY_DIGEST]


def read_leaf(preimage: bytes) -> StoredLeaf | None:
    """What a leaf's preimage says; None when it is no leaf of one relay."""
    if not is_leaf_preimage(preimage) or len(preimage) < LEAF_MIN_BYTES or preimage[-8:] != _ONE:
        return None
    return StoredLeaf(
        path=preimage[1 : 1 + PATH_BYTES],
        value=preimage[1 + PATH_BYTES : -TAIL_BYTES],
        weight=int.from_bytes(preimage[-TAIL_BYTES:-8], "big"),
    )


def is_intact(digest: bytes, preimage: bytes) -> bool:
    """Whether a preimage is what its digest stands for."""
    try:
        check_preimage(digest, preimage)
    except CorruptNodeError:
        return False
    return True
