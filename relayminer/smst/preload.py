"""Linking many stored nodes into a trie at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.smst.digests import EMPTY_DIGEST, LEAF_MIN_BYTES, LEAF_PREFIX
from relayminer.smst.errors import CorruptNodeError
from relayminer.smst.nodes import Extension, Inner, Node, check_preimage, is_lazy, parse

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class Preloaded:
    """What became of the nodes of a preload.

    Attributes:
        linked: how many nodes are in the trie now that were lazy before.
        unreachable: digests that the root does not reach: what a crash left behind, to be removed.
        missing: digests that the trie needs and that were not among the nodes.
        corrupt: digests whose preimage was something else; none of them was used.
    """

    linked: int
    unreachable: list[bytes]
    missing: list[bytes]
    corrupt: list[bytes]


def preload(
    root: Node, nodes: Iterable[tuple[bytes, bytes]], *, keep_values: bool
) -> tuple[Node, Preloaded]:
    """Resolve every lazy node below `root` that is among `nodes`; returns the new root node."""
    index, corrupt = _checked(nodes, keep_values=keep_values)
    missing: list[bytes] = []
    linked = 0
    # A frame is a place that may be lazy: the parent (None for the root), its right side?, depth.
    stack: list[tuple[Inner | Extension | None, bool, Node, int]] = [(None, False, root, 0)]
    while stack:
        parent, right, node, depth = stack.pop()
        if is_lazy(node) and isinstance(node, bytes) and node != EMPTY_DIGEST:
            try:
                node = _take(index, node, depth, keep_values=keep_values)
            except CorruptNodeError as error:
                corrupt.append(error.digest)
                continue
            if is_lazy(node) and isinstance(node, bytes):
                missing.append(node)
                continue
            linked += 1
            if parent is None:
                root = node
            elif isinstance(parent, Extension):
                parent.child = node
            elif right:
                parent.right = node
            else:
                parent.left = node
        if isinstance(node, Inner):
            stack.append((node, True, node.right, depth + 1))
            stack.append((node, False, node.left, depth + 1))
        elif isinstance(node, Extension):
            stack.append((node, False, node.child, node.end))
    return root, Preloaded(linked, list(index), missing, corrupt)


def _checked(
    nodes: Iterable[tuple[bytes, bytes]], *, keep_values: bool
) -> tuple[dict[bytes, bytes | None], list[bytes]]:
    """The nodes whose preimage is right; a leaf as its packed form where values are dropped.

    A million leaves' values must not be in memory at once, and a packed leaf is what stays.
    """
    index: dict[bytes, bytes | None] = {}
    corrupt: list[bytes] = []
    for digest, preimage in nodes:
        try:
            check_preimage(digest, preimage)
        except CorruptNodeError:
            corrupt.append(digest)
            continue
        if not keep_values and preimage[:1] == LEAF_PREFIX and len(preimage) >= LEAF_MIN_BYTES:
            packed = parse(digest, preimage, 0, keep_value=False)
            index[digest] = packed if isinstance(packed, bytes) else None
        else:
            index[digest] = preimage
    return index, corrupt


def _take(
    index: dict[bytes, bytes | None], digest: bytes, depth: int, *, keep_values: bool
) -> Node:
    entry = index.pop(digest, None)
    if entry is None:
        return digest
    if not keep_values and entry[32:] == digest:
        return entry
    return parse(digest, entry, depth, keep_value=keep_values)
