"""Taking a leaf out of a trie, as the library does it (`smt: smst.go`).

The relay miner never deletes. An inner node that loses one side to an inner sibling stays, with
one empty child; such a trie, imported anew, gives proofs that do not verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.smst.digests import bit
from relayminer.smst.errors import KeyNotFoundError
from relayminer.smst.nodes import (
    Extension,
    Inner,
    Node,
    digest_of,
    is_lazy,
    is_stored,
    leaf_path,
    thawed,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class Place:
    """Where a descent along `path` ended: the node there, its depth, the nodes above it."""

    path: bytes
    trail: list[Inner | Extension]
    node: Node
    depth: int


def remove(
    place: Place, *, resolve: Callable[[Node, int], Node], forget: Callable[[Node], None]
) -> Node:
    """Remove the leaf at `place`; returns the trie's new root node.

    Raises:
        KeyNotFoundError: there is no leaf for that path.
        NodeMissingError, CorruptNodeError: the leaf's sibling cannot be loaded.
    """
    if leaf_path(place.node) != place.path:
        raise KeyNotFoundError(f"there is no leaf at path {place.path.hex()}")
    _resolve_sibling(place, resolve)
    # From here on nothing can fail.
    depths: list[int] = []
    depth = 0
    for node in place.trail:
        depths.append(depth)
        forget(node)
        depth = node.end if isinstance(node, Extension) else depth + 1
        _dirty(node)
    forget(place.node)
    below: Node = None
    for node, at in zip(reversed(place.trail), reversed(depths), strict=True):
        if isinstance(node, Extension):
            below = _shrink_extension(node, below, forget)
        else:
            below = _shrink_inner(node, bit(place.path, at), below, forget)
    return below


def _resolve_sibling(place: Place, resolve: Callable[[Node, int], Node]) -> None:
    """Load what stands beside the leaf: it may have to move up."""
    parent = place.trail[-1] if place.trail else None
    if isinstance(parent, Inner):
        if bit(place.path, place.depth - 1):
            parent.left = resolve(parent.left, place.depth)
        else:
            parent.right = resolve(parent.right, place.depth)


def _dirty(node: Inner | Extension) -> None:
    node.persisted = False
    node.digest = b""


def _shrink_extension(node: Extension, below: Node, forget: Callable[[Node], None]) -> Node:
    if leaf_path(below) is not None:
        return below
    if isinstance(below, Extension):
        forget(below)
        _dirty(below)
        below.start = node.start
        return below
    node.child = below
    return node


def _shrink_inner(node: Inner, side: int, below: Node, forget: Callable[[Node], None]) -> Node:
    if side:
        node.right = below
        sibling = node.left
    else:
        node.left = below
        sibling = node.right
    if is_lazy(sibling) and not any(digest_of(sibling)):
        sibling = None
    if below is not None and sibling is not None:
        return node
    rest = sibling if below is None else below
    if is_stored(rest):
        rest = thawed(rest)
    if leaf_path(rest) is not None:
        return rest
    if isinstance(rest, Extension):
        forget(rest)
        _dirty(rest)
        rest.start -= 1
        return rest
    return node
