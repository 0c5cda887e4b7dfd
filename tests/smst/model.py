"""What a sum trie means, written down a second time and as simply as possible.

The root of a set of leaves is the root of the full binary tree of depth 256 in which empty
subtrees have the digest zero and a subtree with one leaf is that leaf. Nothing here shares code
with the package.
"""

from __future__ import annotations

from hashlib import sha256

EMPTY = bytes(48)
WRAP = 2**64

Leaves = dict[bytes, tuple[bytes, int]]


def leaf_preimage(path: bytes, value: bytes, weight: int) -> bytes:
    """The stored bytes of a leaf."""
    return b"\x00" + path + value + weight.to_bytes(8, "big") + (1).to_bytes(8, "big")


def digest(preimage: bytes) -> bytes:
    """SHA-256 of a preimage and its last 16 bytes."""
    return sha256(preimage).digest() + preimage[-16:]


def inner(left: bytes, right: bytes) -> bytes:
    """The digest of a fork."""
    sums = [
        (int.from_bytes(left[at : at + 8], "big") + int.from_bytes(right[at : at + 8], "big"))
        % WRAP
        for at in (32, 40)
    ]
    tail = b"".join(number.to_bytes(8, "big") for number in sums)
    return digest(b"\x01" + left + right + tail)


def root_of(leaves: Leaves, depth: int = 0) -> bytes:
    """The root of leaves given by path."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        ((path, (value, weight)),) = leaves.items()
        return digest(leaf_preimage(path, value, weight))
    sides: tuple[Leaves, Leaves] = ({}, {})
    for path, leaf in leaves.items():
        sides[path[depth // 8] >> (7 - depth % 8) & 1][path] = leaf
    return inner(root_of(sides[0], depth + 1), root_of(sides[1], depth + 1))


def reachable(store: dict[bytes, bytes], root: bytes) -> set[bytes]:
    """Digests of the stored nodes that a root leads to; KeyError when one is missing."""
    found: set[bytes] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node == EMPTY:
            continue
        found.add(node)
        preimage = store[node]
        if preimage[0] == 1:
            todo += [preimage[1:49], preimage[49:97]]
        elif preimage[0] == 2:
            todo.append(preimage[35:83])
    return found
