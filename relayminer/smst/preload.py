"""Linking many stored nodes into a trie at once."""

from __future__ import annotations

import attrs

from relayminer.smst.digests import EMPTY_DIGEST, PATH_BYTES
from relayminer.smst.errors import CorruptNodeError
from relayminer.smst.nodes import (
    Extension,
    Inner,
    Node,
    check_preimage,
    freeze_children,
    frozen,
    is_lazy,
    is_leaf_preimage,
    is_stored,
    pack_leaf,
    parse,
    thawed,
)


@attrs.frozen
class Preloaded:
    """What became of the nodes of a preload.

    Attributes:
        linked: how many nodes are in the trie now that were lazy before.
        unreachable: digests that the root does not reach: what a crash left behind, to be removed.
        missing: digests that the trie needs and that were not among the nodes at all.
        corrupt: digests whose preimage was something else; none of them was used.
    """

    linked: int
    unreachable: list[bytes]
    missing: list[bytes]
    corrupt: list[bytes]


class NodeIndex:
    """Stored nodes, gathered in any order and pace before they are linked into a trie.

    A leaf whose value the trie will not keep is packed at once: the values of a million leaves
    must not be in memory together.

    Args:
        keep_values: as the trie's.
    """

    def __init__(self, *, keep_values: bool = False) -> None:
        self._keep_values = keep_values
        self._nodes: dict[bytes, bytes] = {}
        self._corrupt: list[bytes] = []

    def add(self, digest: bytes, preimage: bytes) -> None:
        """Take a stored node; one that is not what `digest` stands for is only remembered."""
        try:
            check_preimage(digest, preimage)
        except CorruptNodeError:
            self._corrupt.append(digest)
            return
        if not self._keep_values and is_leaf_preimage(preimage):
            preimage = pack_leaf(digest, preimage)
        self._nodes[digest] = preimage

    def link(self, root: Node) -> tuple[Node, Preloaded]:
        """Resolve every lazy node below `root` that was added; returns the new root node.

        The index is used up by it.
        """
        missing: list[bytes] = []
        opened: list[Inner | Extension] = []
        linked = 0
        # A frame is a place that may be lazy: the parent (None: the root), its right side?, depth.
        stack: list[tuple[Inner | Extension | None, bool, Node, int]] = [(None, False, root, 0)]
        while stack:
            parent, right, node, depth = stack.pop()
            if isinstance(node, bytes) and is_lazy(node) and node != EMPTY_DIGEST:
                found = self._take(node, depth)
                if found is None:
                    if node not in self._corrupt:
                        missing.append(node)
                    continue
                linked += 1
                node = found
            elif is_stored(node):
                node = thawed(node)
            if parent is None:
                root = node
            else:
                _replace(parent, node, right=right)
            if isinstance(node, Inner):
                opened.append(node)
                stack.append((node, True, node.right, depth + 1))
                stack.append((node, False, node.left, depth + 1))
            elif isinstance(node, Extension):
                opened.append(node)
                stack.append((node, False, node.child, node.end))
        return self._frozen(root, opened), Preloaded(
            linked, list(self._nodes), missing, self._corrupt
        )

    def _frozen(self, root: Node, opened: list[Inner | Extension]) -> Node:
        """Give every stored node of `opened`, parents first, the form that stays."""
        if self._keep_values:
            return root
        # A stored node has stored children only, and everything above a changed one has changed.
        for node in reversed(opened):
            if node.persisted:
                freeze_children(node)
        return frozen(root) if isinstance(root, Inner | Extension) and root.persisted else root

    def _take(self, digest: bytes, depth: int) -> Node:
        """The node that was added under `digest`, or None."""
        entry = self._nodes.pop(digest, None)
        if entry is None or entry[PATH_BYTES:] == digest:
            return entry
        try:
            return parse(digest, entry, depth, keep_value=self._keep_values)
        except CorruptNodeError:
            self._corrupt.append(digest)
            return None


def _replace(parent: Inner | Extension, node: Node, *, right: bool) -> None:
    if isinstance(parent, Extension):
        parent.child = node
    elif right:
        parent.right = node
    else:
        parent.left = node
