"""secp256k1 for ring signatures, on libsecp256k1 through coincurve's binding.

Points are the library's parsed keys; `None` is the point at infinity, which the library cannot
hold but a ring signature may pass through. Scalars are integers below `N`. Only what the signer's
key touches goes through the library's constant-time code: verification handles nothing secret.

Source: `go-dleq: secp256k1/curve_decred.go`, `ring-go: helpers.go`.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import frozen
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from relayminer.protocol.errors import InvalidPointError

# The order of the group and of the field.
N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
P = 2**256 - 2**32 - 977
POINT_LENGTH = 33
SCALAR_LENGTH = 32
INFINITY_ENCODING = b"\x02" + bytes(32)
# Hash to curve gives up after this many digests (unreachable: 2^-128).
MAX_ATTEMPTS = 128
# Keys of applications and gateways; an entry is about 500 bytes.
_CACHED_KEYS = 4096
# The library's flag for the 33-byte form.
_COMPRESSED = 258

# A pointer to the library's struct secp256k1_pubkey, which has no Python type.
Point: TypeAlias = Any
_context = GLOBAL_CONTEXT.ctx


class HashToScalarError(InvalidPointError):
    """A digest that the reference cannot map to a scalar (probability 2^-136)."""


@frozen(eq=False)
class RingKey:
    """A public key prepared for verification.

    Attributes:
        point: the parsed key.
        h_p: the key hashed to the curve.
        r: x coordinate modulo N, as the `r` of an ECDSA signature.
        recovery_id: parity of y, plus 2 when x is not below N.
    """

    point: Point
    h_p: Point
    r: int
    recovery_id: int


def parse_point(encoded: bytes) -> Point:
    """The point of a 33-byte compressed encoding.

    Raises:
        InvalidPointError: other length or prefix, x not below the field prime, or off the curve.
    """
    if len(encoded) != POINT_LENGTH:
        raise InvalidPointError(f"a point of {len(encoded)} bytes, not {POINT_LENGTH}")
    point: Point = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_parse(_context, point, encoded, POINT_LENGTH):
        raise InvalidPointError("not a point of secp256k1")
    return point


# Key images are constant for each signing key.
cached_point = lru_cache(maxsize=_CACHED_KEYS)(parse_point)


def encode_point(point: Point | None) -> bytes:
    """The 33-byte compressed encoding; infinity as the reference writes it into a hash."""
    if point is None:
        return INFINITY_ENCODING
    out = ffi.new("unsigned char [33]")
    length = ffi.new("size_t *", POINT_LENGTH)
    lib.secp256k1_ec_pubkey_serialize(_context, out, length, point, _COMPRESSED)
    encoded: bytes = ffi.buffer(out)[:]
    return encoded


def multiply_base(scalar: int) -> Point | None:
    """`scalar * G`."""
    # A point that the library could not compute would end the process at its next use.
    scalar %= N
    if scalar == 0:
        return None
    point: Point = ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ec_pubkey_create(_context, point, scalar.to_bytes(SCALAR_LENGTH))
    return point


def multiply(point: Point, scalar: int) -> Point | None:
    """`scalar * point`."""
    scalar %= N
    if scalar == 0:
        return None
    product: Point = ffi.new("secp256k1_pubkey *", point[0])
    lib.secp256k1_ec_pubkey_tweak_mul(_context, product, scalar.to_bytes(SCALAR_LENGTH))
    return product


def add(left: Point | None, right: Point | None) -> Point | None:
    """`left + right`."""
    if left is None or right is None:
        return left or right
    total: Point = ffi.new("secp256k1_pubkey *")
    terms = ffi.new("secp256k1_pubkey *[2]", (left, right))
    # The only way for the library to fail here is a sum at infinity.
    return total if lib.secp256k1_ec_pubkey_combine(_context, total, terms, 2) else None


def combine(left: Point, left_scalar: int, right: Point, right_scalar: int) -> Point | None:
    """`left_scalar * left + right_scalar * right`."""
    return add(multiply(left, left_scalar), multiply(right, right_scalar))


def combine_base(base_scalar: int, key: RingKey, key_scalar: int) -> Point | None:
    """`base_scalar * G + key_scalar * key` in a single call for all but degenerate input.

    ECDSA public key recovery computes `r^-1 (sigma * R - z * G)` for the point R with x = r: with
    R the key, `sigma = key_scalar * r` and `z = -base_scalar * r` that is the wanted sum, at a
    third of the cost of two multiplications and an addition.
    """
    sigma = key_scalar * key.r % N
    if sigma:
        z = -base_scalar * key.r % N
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        total: Point = ffi.new("secp256k1_pubkey *")
        compact = key.r.to_bytes(SCALAR_LENGTH) + sigma.to_bytes(SCALAR_LENGTH)
        if lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            _context, signature, compact, key.recovery_id
        ) and lib.secp256k1_ecdsa_recover(_context, total, signature, z.to_bytes(SCALAR_LENGTH)):
            return total
    # A zero factor, or a sum at infinity: rare enough to be computed the plain way.
    return add(multiply_base(base_scalar), multiply(key.point, key_scalar))


@lru_cache(maxsize=_CACHED_KEYS)
def ring_key(encoded: bytes) -> RingKey:
    """A 33-byte public key, prepared for verification.

    Raises:
        InvalidPointError: not a point of secp256k1.
    """
    x = int.from_bytes(encoded[1:])
    point = parse_point(encoded)
    recovery_id = (encoded[0] & 1) | (2 if x >= N else 0)
    return RingKey(point, hash_to_curve(encoded), x % N, recovery_id)


def hash_to_curve(encoded: bytes) -> Point:
    """H_p: hash a compressed point (33 bytes) to the curve by try and increment, y even.

    Raises:
        InvalidPointError: after 128 digests that are no x coordinate (probability 2^-128).
    """
    digest = hashlib.sha3_256(encoded).digest()
    for _ in range(MAX_ATTEMPTS):
        x = int.from_bytes(digest) % P
        try:
            return parse_point(b"\x02" + x.to_bytes(SCALAR_LENGTH))
        except InvalidPointError:
            digest = hashlib.sha3_256(digest).digest()
    raise InvalidPointError("no point of secp256k1 for this key")


def hash_to_scalar(data: bytes) -> int:
    """The reference's challenge hash: SHA3-512 modulo N, its minimal bytes left-aligned in 32.

    The alignment multiplies a value below 2^248 by 256 for each byte that it lacks. It looks like
    a slip, and every signature on the network depends on it.

    Raises:
        HashToScalarError: the aligned value is not below N; the reference panics.
    """
    scalar = int.from_bytes(hashlib.sha3_512(data).digest()) % N
    missing_bytes = SCALAR_LENGTH - (scalar.bit_length() + 7) // 8
    if missing_bytes:
        scalar <<= 8 * missing_bytes
        if scalar >= N:
            raise HashToScalarError("a challenge outside the group order")
    return scalar


GENERATOR: Point = multiply_base(1)


def random_scalar() -> int:
    """32 bytes of the operating system's randomness, modulo N."""
    return int.from_bytes(secrets.token_bytes(SCALAR_LENGTH)) % N
