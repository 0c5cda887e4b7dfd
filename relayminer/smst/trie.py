"""The sparse merkle sum trie: update, delete, look up, commit, import by root.

Rules and order of store operations: `smt: smt.go, smst.go, extension_node.go`. Nothing here does
I/O: a node that is not in memory comes from `load` or `Trie.supply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from relayminer.smst import closest, removal
from relayminer.smst.commit import Change, Commit
from relayminer.smst.digests import (
    DIGEST_BYTES,
    EMPTY_DIGEST,
    EMPTY_ROOT,
    MAX_UINT64,
    PATH_BITS,
    PATH_BYTES,
    bit,
    leaf_payload,
    root_count,
    root_sum,
)
from relayminer.smst.errors import CorruptNodeError, InvalidArgumentError, NodeMissingError
from relayminer.smst.nodes import (
    Extension,
    Inner,
    Leaf,
    Node,
    check_preimage,
    digest_of,
    freeze_children,
    frozen,
    is_lazy,
    is_stored,
    leaf_path,
    parse,
    settle,
    thawed,
    unsettled,
)
from relayminer.smst.preload import NodeIndex, Preloaded

if TYPE_CHECKING:
    from relayminer.smst.proof import ClosestProof

Load = Callable[[bytes], bytes | None]

# Clears the bits before an extension's start from the difference of two paths.
_FROM_BIT: Final = tuple((1 << (PATH_BITS - index)) - 1 for index in range(PATH_BITS))


def hash_path(key: bytes) -> bytes:
    """The path of a key (32 bytes): its SHA-256, even where the key is a hash itself."""
    return sha256(key).digest()


class Trie:
    """One sparse merkle sum trie.

    Every operation either succeeds or leaves the trie as it was. `NodeMissingError` says which
    node to fetch for a retry; `CorruptNodeError` says that the store does not hold what the root
    promises.

    After `commit` the trie regards its nodes as stored and has dropped the leaves' values. When
    the changes cannot be written, either keep them and write them before those of any later
    commit, or discard this trie and import the last root that is durable.

    Not safe for concurrent use: one owner, or a lock around it.

    Args:
        root: the 48-byte root to import; nothing is loaded until it is needed.
        load: returns the preimage stored under a 48-byte digest, or None (or raises KeyError).
        path_hasher: makes a 32-byte path of a key; anything but SHA-256 is for tests.
        keep_values: keep the values of stored leaves in memory, so that no proof needs `load`.

    Raises:
        InvalidArgumentError: the root has not 48 bytes.
    """

    __slots__ = ("_hash_path", "_keep_values", "_load", "_loaded", "_orphans", "_root", "_supplied")

    def __init__(
        self,
        root: bytes = EMPTY_ROOT,
        load: Load | None = None,
        path_hasher: Callable[[bytes], bytes] = hash_path,
        *,
        keep_values: bool = False,
    ) -> None:
        if len(root) != DIGEST_BYTES:
            raise InvalidArgumentError(f"a root has 48 bytes, not {len(root)}")
        self._root: Node = None if root == EMPTY_ROOT else bytes(root)
        self._load = load
        self._hash_path = path_hasher
        self._keep_values = keep_values
        self._orphans: list[bytes] = []
        self._loaded = 0
        self._supplied: dict[bytes, bytes] = {}

    @property
    def root(self) -> bytes:
        """The 48-byte root: hash, sum, count."""
        for node in unsettled(self._root, for_commit=False):
            settle(node)
        return digest_of(self._root)

    @property
    def sum(self) -> int:
        """Compute units in the trie, modulo 2^64."""
        return root_sum(self.root)

    @property
    def count(self) -> int:
        """Relays in the trie."""
        return root_count(self.root)

    @property
    def leaves_in_memory(self) -> int:
        """Leaves that the trie's memory is good for: all, or so many as were loaded and added."""
        return min(self._loaded, self.count)

    def supply(self, digest: bytes, preimage: bytes) -> None:
        """Hand over a node that an operation missed.

        Raises:
            CorruptNodeError: `preimage` is not what `digest` stands for; it is not kept.
        """
        check_preimage(digest, preimage)
        self._supplied[digest] = preimage

    def preload(self, nodes: Iterable[tuple[bytes, bytes]]) -> Preloaded:
        """Link stored nodes into memory, in any order, and say what did not fit.

        A session is resumed so: import the durable root, preload the whole nodes hash.
        """
        index = NodeIndex(keep_values=self._keep_values)
        for digest, preimage in nodes:
            index.add(digest, preimage)
        return self.link(index)

    def link(self, index: NodeIndex) -> Preloaded:
        """Link nodes that were gathered before, for stores that are read page by page."""
        self._root, report = index.link(self._root)
        self._loaded += report.linked
        return report

    def update(self, key: bytes, value: bytes, weight: int) -> None:
        """Put `value` with `weight` (compute units, uint64) under `key`, replacing what was there.

        Raises:
            NodeMissingError, CorruptNodeError: see the class.
            InvalidArgumentError: the weight is no uint64, or the path has not 32 bytes.
        """
        if not 0 <= weight <= MAX_UINT64:
            raise InvalidArgumentError(f"a weight is a uint64, not {weight}")
        path = self._path(key)
        trail, node, depth = self._descend(path)
        leaf = Leaf(path, leaf_payload(value, weight))
        self._loaded += 1
        replaced: Node = leaf
        orphan: Node = None
        if isinstance(node, Extension):
            orphan = node
            replaced = _split(node, depth, leaf, _difference(path, node.path, node.start))
        elif node is not None:
            shared = _difference(path, leaf_path(node) or b"", 0)
            if shared < depth:
                raise CorruptNodeError(digest_of(node), f"a leaf of another branch, at {depth}")
            if shared == PATH_BITS:
                orphan = node
            else:
                replaced = _fork(node, leaf, shared)
                if depth < shared:
                    replaced = Extension(depth, shared, path, replaced)
        self._touch(trail)
        self._forget(orphan)
        if isinstance(node, Extension):
            node.persisted = False
            node.digest = b""
        self._attach(trail, path, depth, replaced)

    def delete(self, key: bytes) -> None:
        """Remove the leaf under `key`; the relay miner never does (`smt: smst.go`).

        Raises:
            KeyNotFoundError: there is none.
            NodeMissingError, CorruptNodeError: see the class.
        """
        path = self._path(key)
        trail, node, depth = self._descend(path)
        self._root = removal.remove(
            removal.Place(path=path, trail=trail, node=node, depth=depth),
            resolve=self._resolve,
            forget=self._forget,
        )

    def get(self, key: bytes) -> tuple[bytes, int]:
        """Value and weight under `key`; empty and 0 when there is no such leaf.

        Raises:
            NodeMissingError: also for a stored leaf, whose value is not kept in memory.
            CorruptNodeError: see the class; also a leaf whose count is not 1.
        """
        path = self._path(key)
        _, node, _ = self._descend(path)
        if leaf_path(node) != path:
            return b"", 0
        payload = self._leaf_payload(node)
        if payload[-8:] != b"\x00\x00\x00\x00\x00\x00\x00\x01":
            raise CorruptNodeError(digest_of(node), "a leaf whose count is not 1")
        self._supplied.clear()
        return payload[:-16], int.from_bytes(payload[-16:-8], "big")

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a leaf under `key`; never needs its value."""
        path = self._path(key)
        return leaf_path(self._descend(path)[1]) == path

    def commit(self) -> Commit:
        """Regard the trie as stored and return what makes it so."""
        changes: list[Change] = [("delete", digest, None) for digest in self._orphans]
        for node in unsettled(self._root, for_commit=True):
            preimage = settle(node)
            node.persisted = True
            changes.append(("set", node.digest, preimage))
            if not self._keep_values:
                freeze_children(node)
        if not self._keep_values:
            self._root = frozen(self._root)
        self._orphans = []
        return Commit(digest_of(self._root), changes)

    def prove_closest(self, path: bytes) -> ClosestProof:
        """The proof for the leaf that is met when `path` (32 bytes, not hashed) is followed.

        Raises:
            NodeMissingError, CorruptNodeError: see the class.
            InvalidArgumentError: the path has not 32 bytes.
            InvalidProofError: the trie has a leaf at depth 256, which cannot be proven.
        """
        proof = closest.prove(
            self._root_settled(), path, resolve=self._resolve, payload_of=self._leaf_payload
        )
        self._supplied.clear()
        return proof

    def _root_settled(self) -> Node:
        for node in unsettled(self._root, for_commit=False):
            settle(node)
        return self._root

    def _path(self, key: bytes) -> bytes:
        path = self._hash_path(key)
        if len(path) != PATH_BYTES:
            raise InvalidArgumentError(f"a path has 32 bytes, not {len(path)}")
        return path

    def _preimage(self, digest: bytes) -> bytes:
        """The checked preimage of a stored node."""
        preimage = self._supplied.get(digest)
        if preimage is not None:
            return preimage
        try:
            preimage = self._load(digest) if self._load is not None else None
        except KeyError:
            preimage = None
        if preimage is None:
            raise NodeMissingError(digest)
        check_preimage(digest, preimage)
        return preimage

    def _resolve(self, node: Node, depth: int) -> Node:
        """What a lazy or frozen node is; every other node as it is."""
        if is_stored(node):
            return thawed(node)
        if is_lazy(node):
            if node == EMPTY_DIGEST:
                return None
            return parse(node, self._preimage(node), depth, keep_value=self._keep_values)
        return node

    def _leaf_payload(self, node: Node) -> bytes:
        """Value, weight and count of a leaf, loaded where the value was dropped."""
        if isinstance(node, Leaf):
            return node.payload
        return self._preimage(digest_of(node))[1 + PATH_BYTES :]

    def _descend(self, path: bytes) -> tuple[list[Inner | Extension], Node, int]:
        """Follow `path` to an empty place, a leaf, or an extension that leaves the path.

        Lazy and frozen nodes on the way are opened in place, which changes nothing that shows.
        """
        trail: list[Inner | Extension] = []
        node = self._root
        depth = 0
        while True:
            if isinstance(node, Inner):
                trail.append(node)
                right = path[depth >> 3] >> (7 - (depth & 7)) & 1
                node = node.right if right else node.left
                depth += 1
            elif isinstance(node, Extension):
                if _difference(path, node.path, node.start) < node.end:
                    return trail, node, depth
                trail.append(node)
                depth = node.end
                node = node.child
            elif is_stored(node):
                node = thawed(node)
                self._attach(trail, path, depth, node)
            elif is_lazy(node):
                resolved = self._resolve(node, depth)
                self._loaded += 1
                self._attach(trail, path, depth, resolved)
                self._supplied.pop(digest_of(node), None)
                node = resolved
            else:
                return trail, node, depth

    def _attach(self, trail: list[Inner | Extension], path: bytes, depth: int, node: Node) -> None:
        """Put `node` where the trail ends, at `depth`."""
        if not trail:
            self._root = node
            return
        parent = trail[-1]
        if isinstance(parent, Extension):
            parent.child = node
        elif bit(path, depth - 1):
            parent.right = node
        else:
            parent.left = node

    def _forget(self, node: Node) -> None:
        """Remember that the store need not hold `node` any longer, if it does."""
        if isinstance(node, Inner | Extension | Leaf):
            if node.persisted:
                self._orphans.append(node.digest)
        elif node is not None:
            self._orphans.append(digest_of(node))

    def _touch(self, trail: list[Inner | Extension]) -> None:
        """Mark the nodes of a trail as changed, from the root down."""
        for node in trail:
            if node.persisted:
                self._orphans.append(node.digest)
                node.persisted = False
            node.digest = b""


def _difference(path: bytes, other: bytes, start: int) -> int:
    """The first bit from `start` on in which two paths differ; 256 when there is none."""
    difference = int.from_bytes(path, "big") ^ int.from_bytes(other, "big")
    return PATH_BITS - (difference & _FROM_BIT[start]).bit_length()


def _fork(old: Node, leaf: Leaf, depth: int) -> Inner:
    return Inner(old, leaf) if bit(leaf.path, depth) else Inner(leaf, old)


def _split(extension: Extension, depth: int, leaf: Leaf, index: int) -> Node:
    """Make room for a leaf that leaves an extension's path at bit `index`."""
    rest: Node = extension.child
    if index == depth:
        # The fork takes the extension's place, and the extension goes on behind it.
        if index + 1 < extension.end:
            extension.start = index + 1
            rest = extension
        return _fork(rest, leaf, index)
    if index + 1 < extension.end:
        rest = Extension(index + 1, extension.end, extension.path, extension.child)
    extension.end = index
    extension.child = _fork(rest, leaf, index)
    return extension
