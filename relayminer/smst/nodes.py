"""Nodes in memory, packed for tries of a million leaves.

A node is one of:

- `None`: empty;
- 48 bytes, its digest: lazy, what it is must be loaded;
- 80 bytes, path and digest: a stored leaf whose value was dropped;
- `Leaf`: a leaf with its value, because it is not stored yet or because the trie keeps values;
- `Inner`, `Extension`;
- more than 80 bytes, a page: one of these two once it is stored, with all that is below it, when
  that is little (`PAGE_LEAVES`). Most of a trie's memory would be the heads of small objects;
- a tuple: the same for larger subtrees (`StoredInner`, `StoredExtension`). The garbage collector
  stops looking at tuples of such values, and a trie of a million leaves as objects would hold up
  the process for a second whenever it looks at everything.

A page is a kind (1 byte), the digest (48), and then for an inner node the length of its left child
(2), the left and the right child, for an extension its start (1), end (1), path (32) and child.
Children stand there as the bytes that they are as nodes; an empty one as the empty digest.

An empty `digest` means that the node changed since its digest was taken. A node is `persisted`
once a commit has handed it out for storing, or when it was loaded.
"""

from __future__ import annotations

from typing import Final, TypeGuard

from relayminer.smst.digests import (
    DIGEST_BYTES,
    EMPTY_DIGEST,
    EXTENSION_BYTES,
    EXTENSION_PREFIX,
    INNER_BYTES,
    INNER_PREFIX,
    LEAF_MIN_BYTES,
    LEAF_PREFIX,
    PATH_BYTES,
    extension_digest,
    extension_preimage,
    inner_preimage,
    plain_digest,
    preimage_digest,
)
from relayminer.smst.errors import CorruptNodeError, InvalidArgumentError

PACKED_LEAF_BYTES: Final = PATH_BYTES + DIGEST_BYTES
PAGE_LEAVES: Final = 16
"""Leaves of the largest subtree that is one page: opening and closing one stays cheap."""
_INNER_PAGE: Final = 1
_PAGE_HEAD_BYTES: Final = 1 + DIGEST_BYTES


class Leaf:
    """A leaf with its payload: value, weight (8 bytes), count (8 bytes)."""

    __slots__ = ("digest", "path", "payload", "persisted")

    def __init__(self, path: bytes, payload: bytes) -> None:
        self.path = path
        self.payload = payload
        self.digest = b""
        self.persisted = False

    def preimage(self) -> bytes:
        """The bytes that are stored and hashed."""
        return LEAF_PREFIX + self.path + self.payload

    def packed(self) -> bytes:
        """The 80 bytes that stand for this leaf once its value is stored elsewhere."""
        return self.path + self.digest


class Inner:
    """A fork at the depth where it stands."""

    __slots__ = ("digest", "left", "persisted", "right")

    def __init__(
        self, left: Node, right: Node, digest: bytes = b"", *, persisted: bool = False
    ) -> None:
        self.left = left
        self.right = right
        self.digest = digest
        self.persisted = persisted

    def preimage(self) -> bytes:
        """The 113 bytes that are stored and hashed; the children's digests must be settled."""
        left, right = self.left, self.right
        # Most children are frozen; this is the hottest line of a commit.
        return inner_preimage(
            left[0] if isinstance(left, tuple) else digest_of(left),
            right[0] if isinstance(right, tuple) else digest_of(right),
        )


class Extension:
    """A chain of forks with one empty side each, at depths `start` to `end - 1`.

    Only bits `[start, end)` of `path` mean anything; the rest is what the leaf had whose insertion
    made this node, and is stored with it.
    """

    __slots__ = ("child", "digest", "end", "path", "persisted", "start")

    def __init__(self, start: int, end: int, path: bytes, child: Node) -> None:
        self.start = start
        self.end = end
        self.path = path
        self.child = child
        self.digest = b""
        self.persisted = False

    def preimage(self) -> bytes:
        """The 99 bytes that are stored; the child's digest must be settled."""
        return extension_preimage(self.start, self.end, self.path, digest_of(self.child))


StoredInner = tuple[bytes, "Node", "Node"]
"""Digest, left, right."""
StoredExtension = tuple[bytes, "Node", int, int, bytes]
"""Digest, child, start, end, path."""

Stored = bytes | StoredInner | StoredExtension
"""A page or a tuple."""
Node = bytes | Leaf | Inner | Extension | StoredInner | StoredExtension | None


# Forms of a node that carry their digest for good.
SETTLED: Final = (bytes, tuple)


def digest_of(node: Node) -> bytes:
    """The 48-byte digest of a node whose digest is settled."""
    if node is None:
        return EMPTY_DIGEST
    if isinstance(node, bytes):
        if len(node) == DIGEST_BYTES:
            return node
        if len(node) == PACKED_LEAF_BYTES:
            return node[PATH_BYTES:]
        return node[1:_PAGE_HEAD_BYTES]
    if isinstance(node, tuple):
        return node[0]
    return node.digest


def is_stored(node: Node) -> TypeGuard[Stored]:
    """Whether the node is an inner node or an extension in a form that stays."""
    return isinstance(node, tuple) or (isinstance(node, bytes) and len(node) > PACKED_LEAF_BYTES)


def thawed(node: Stored) -> Inner | Extension:
    """A stored node in the form that can be changed; its children keep theirs."""
    if isinstance(node, bytes):
        return _opened(node)
    if len(node) == 3:  # noqa: PLR2004 - the two forms differ in length
        return Inner(node[1], node[2], node[0], persisted=True)
    opened = Extension(node[2], node[3], node[4], node[1])
    opened.digest = node[0]
    opened.persisted = True
    return opened


def frozen(node: Node) -> Node:
    """A stored node in the form that stays; its children must have it already."""
    if isinstance(node, Inner):
        digest, left, right = node.digest, node.left, node.right
        if int.from_bytes(digest[-8:], "big") <= PAGE_LEAVES:
            left, right = left or EMPTY_DIGEST, right or EMPTY_DIGEST
            if isinstance(left, bytes) and isinstance(right, bytes):
                size = len(left).to_bytes(2, "big")
                return b"".join((b"\x01", digest, size, left, right))
        return (digest, left, right)
    if isinstance(node, Extension):
        if isinstance(node.child, bytes) and int.from_bytes(node.digest[-8:], "big") <= PAGE_LEAVES:
            bits = bytes((node.start, node.end))
            return b"".join((b"\x02", node.digest, bits, node.path, node.child))
        return (node.digest, node.child, node.start, node.end, node.path)
    return node.packed() if isinstance(node, Leaf) else node


def _opened(page: bytes) -> Inner | Extension:
    body = page[_PAGE_HEAD_BYTES:]
    node: Inner | Extension
    if page[0] == _INNER_PAGE:
        end = 2 + int.from_bytes(body[:2], "big")
        node = Inner(body[2:end], body[end:])
    else:
        node = Extension(body[0], body[1], body[2 : 2 + PATH_BYTES], body[2 + PATH_BYTES :])
    node.digest = page[1:_PAGE_HEAD_BYTES]
    node.persisted = True
    return node


def freeze_children(node: Leaf | Inner | Extension) -> None:
    """Give the children of a stored node, which are stored too, the form that stays."""
    if isinstance(node, Inner):
        if not isinstance(node.left, SETTLED):
            node.left = frozen(node.left)
        if not isinstance(node.right, SETTLED):
            node.right = frozen(node.right)
    elif isinstance(node, Extension):
        node.child = frozen(node.child)


def is_lazy(node: Node) -> TypeGuard[bytes]:
    """Whether the node is known by its digest only."""
    return isinstance(node, bytes) and len(node) == DIGEST_BYTES


def leaf_path(node: Node) -> bytes | None:
    """The path of a leaf, stored or not; None for every other node."""
    if isinstance(node, bytes):
        return node[:PATH_BYTES] if len(node) == PACKED_LEAF_BYTES else None
    return node.path if isinstance(node, Leaf) else None


def settle(node: Leaf | Inner | Extension) -> bytes:
    """Take the digest of a node whose children's digests are settled; returns its preimage."""
    preimage = node.preimage()
    if not node.digest:
        if isinstance(node, Extension):
            child = digest_of(node.child)
            node.digest = extension_digest(node.start, node.end, node.path, child)
        else:
            node.digest = plain_digest(preimage)
    return preimage


def unsettled(root: Node, *, for_commit: bool) -> list[Leaf | Inner | Extension]:
    """The nodes whose digest is unknown (or, for a commit, that are not stored), children first.

    The order is the library's post-order: left, right, then the node itself.
    """
    found: list[Leaf | Inner | Extension] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node is None or isinstance(node, SETTLED):
            continue
        if node.persisted if for_commit else node.digest:
            continue
        found.append(node)
        if isinstance(node, Inner):
            # Children that cannot have changed need not be looked at again.
            if not isinstance(node.left, SETTLED):
                stack.append(node.left)
            if not isinstance(node.right, SETTLED):
                stack.append(node.right)
        elif isinstance(node, Extension):
            stack.append(node.child)
    found.reverse()
    return found


def check_preimage(digest: bytes, preimage: bytes) -> None:
    """Recompute the digest of a loaded preimage.

    Raises:
        CorruptNodeError: it is not what `digest` stands for.
    """
    try:
        actual = preimage_digest(preimage)
    except InvalidArgumentError as error:
        raise CorruptNodeError(digest, str(error)) from error
    if actual != digest:
        raise CorruptNodeError(digest, f"its {len(preimage)} bytes hash to {actual.hex()}")


def is_leaf_preimage(preimage: bytes) -> bool:
    """Whether a preimage is a leaf's."""
    return preimage[:1] == LEAF_PREFIX and len(preimage) >= LEAF_MIN_BYTES


def pack_leaf(digest: bytes, preimage: bytes) -> bytes:
    """The 80 bytes that stand for a stored leaf."""
    return preimage[1 : 1 + PATH_BYTES] + digest


def parse(digest: bytes, preimage: bytes, depth: int, *, keep_value: bool) -> Node:
    """The node at `depth` that a checked preimage describes; its children are lazy.

    Raises:
        CorruptNodeError: an unknown kind, a wrong size, or an extension of another depth (its
            digest does not bind where it starts).
    """
    prefix = preimage[:1]
    if is_leaf_preimage(preimage):
        if not keep_value:
            return pack_leaf(digest, preimage)
        leaf = Leaf(preimage[1 : 1 + PATH_BYTES], preimage[1 + PATH_BYTES :])
        leaf.digest = digest
        leaf.persisted = True
        return leaf
    node: Inner | Extension
    if prefix == INNER_PREFIX and len(preimage) == INNER_BYTES:
        node = Inner(preimage[1:49], preimage[49:97])
    elif prefix == EXTENSION_PREFIX and len(preimage) == EXTENSION_BYTES:
        start, end = preimage[1], preimage[2]
        if start != depth or end <= start:
            raise CorruptNodeError(digest, f"an extension [{start}, {end}) stands at {depth}")
        node = Extension(start, end, preimage[3:35], preimage[35:83])
    else:
        raise CorruptNodeError(digest, f"{len(preimage)} bytes of kind {prefix.hex() or 'none'}")
    node.digest = digest
    node.persisted = True
    return node
