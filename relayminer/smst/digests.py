"""Bytes of the trie: node preimages, their digests, and what a root says.

A digest has 48 bytes: SHA-256 (32), sum (8), count (8), both big-endian and wrapping modulo 2^64.
`smt: node_encoders.go, hasher.go, root.go`.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final

from relayminer.smst.errors import InvalidArgumentError

HASH_BYTES: Final = 32
PATH_BYTES: Final = 32
PATH_BITS: Final = 256
TAIL_BYTES: Final = 16
DIGEST_BYTES: Final = HASH_BYTES + TAIL_BYTES
MAX_UINT64: Final = 2**64 - 1

EMPTY_DIGEST: Final = bytes(DIGEST_BYTES)
EMPTY_ROOT: Final = EMPTY_DIGEST

LEAF_PREFIX: Final = b"\x00"
INNER_PREFIX: Final = b"\x01"
EXTENSION_PREFIX: Final = b"\x02"
LEAF_MIN_BYTES: Final = 1 + PATH_BYTES + TAIL_BYTES
INNER_BYTES: Final = 1 + 2 * DIGEST_BYTES + TAIL_BYTES
EXTENSION_BYTES: Final = 1 + 2 + PATH_BYTES + DIGEST_BYTES + TAIL_BYTES

_SUMS: Final = Struct(">QQ")
_DIGEST_SUMS: Final = Struct(">32xQQ")
_INNER: Final = Struct(">c48s48sQQ")


def bit(path: bytes | bytearray, index: int) -> int:
    """Bit `index` of `path`, counted from the most significant bit of the first byte; 0 = left."""
    return path[index >> 3] >> (7 - (index & 7)) & 1


def leaf_payload(value: bytes, weight: int) -> bytes:
    """`value`, its weight and the count 1: what the library calls a leaf's value hash."""
    return value + _SUMS.pack(weight, 1)


def inner_preimage(left: bytes, right: bytes) -> bytes:
    """The 113 bytes of an inner node over two 48-byte child digests."""
    left_sum, left_count = _DIGEST_SUMS.unpack(left)
    right_sum, right_count = _DIGEST_SUMS.unpack(right)
    total, count = left_sum + right_sum, left_count + right_count
    return _INNER.pack(INNER_PREFIX, left, right, total & MAX_UINT64, count & MAX_UINT64)


def extension_preimage(start: int, end: int, path: bytes, child: bytes) -> bytes:
    """The 99 bytes of an extension node over bits `[start, end)` of `path`."""
    return b"".join((EXTENSION_PREFIX, bytes((start, end)), path, child, child[HASH_BYTES:]))


def plain_digest(preimage: bytes) -> bytes:
    """Digest of a leaf or inner preimage (at least 16 bytes)."""
    return sha256(preimage).digest() + preimage[-TAIL_BYTES:]


def extension_digest(start: int, end: int, path: bytes, child: bytes) -> bytes:
    """Digest of the chain of inner nodes with one empty child that an extension stands for."""
    digest = child
    # The empty sibling adds nothing, so the sums at the end of every preimage are the child's.
    tail = child[-TAIL_BYTES:]
    for index in range(end - 1, start - 1, -1):
        if bit(path, index):
            preimage = INNER_PREFIX + EMPTY_DIGEST + digest + tail
        else:
            preimage = INNER_PREFIX + digest + EMPTY_DIGEST + tail
        digest = sha256(preimage).digest() + tail
    return digest


def preimage_digest(preimage: bytes) -> bytes:
    """Digest of any node's preimage.

    Like the library it looks at the first byte only to find extensions.

    Raises:
        InvalidArgumentError: shorter than 16 bytes, or an extension shorter than 99.
    """
    if preimage[:1] == EXTENSION_PREFIX:
        if len(preimage) < EXTENSION_BYTES:
            raise InvalidArgumentError(f"an extension node has 99 bytes, not {len(preimage)}")
        return extension_digest(preimage[1], preimage[2], preimage[3:35], preimage[35:-TAIL_BYTES])
    if len(preimage) < TAIL_BYTES:
        raise InvalidArgumentError(f"a node has at least 16 bytes, not {len(preimage)}")
    return plain_digest(preimage)


def _check_root(root: bytes) -> None:
    # `smt: root.go` derives the hash size from the length and wants a power of two.
    hash_bytes = len(root) - TAIL_BYTES
    if hash_bytes < 1 or hash_bytes & (hash_bytes - 1):
        raise InvalidArgumentError(f"a root has 48 bytes, not {len(root)}")


def root_hash(root: bytes) -> bytes:
    """The hash of a root (32 of its 48 bytes); raises InvalidArgumentError for a bad length."""
    _check_root(root)
    return root[:-TAIL_BYTES]


def root_sum(root: bytes) -> int:
    """Compute units in the trie (uint64); raises InvalidArgumentError for a bad length."""
    _check_root(root)
    return int.from_bytes(root[-16:-8], "big")


def root_count(root: bytes) -> int:
    """Relays in the trie (uint64); raises InvalidArgumentError for a bad length."""
    _check_root(root)
    return int.from_bytes(root[-8:], "big")
