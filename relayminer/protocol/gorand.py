"""Go's `math/rand`, as far as the chain's sampling of claims needs it: the first Float64 of a seed.

The generator is an additive lagged Fibonacci over 607 words that a multiplicative congruential
generator fills, each mixed with a word of a fixed table. The first output (and the second, should
the first round to 1.0) touch four words only.

Source: Go `math/rand/rng.go`, `encoding/binary/varint.go`; `poktroll: pkg/crypto/rand`.
"""

from __future__ import annotations

import hashlib

_MODULUS = 2**31 - 1
_MULTIPLIER = 48271
# Zero is a fixed point of the generator; Go puts this in its place.
_SEED_FOR_ZERO = 89482311
_DISCARDED = 20
_DRAWS_PER_WORD = 3
_MASK63 = 2**63 - 1
# Index in the state: word of Go's table, modulo 2^63.
_TABLE = {
    332: 0x3B7FC3AD0D1CD36B,
    333: 0x3FB2F4D968B759C3,
    605: 0x7E57A19B735EF03B,
    606: 0x39A00A3A31C025C6,
}
_MAX_VARINT_BYTES = 10


def first_float64(seed: int) -> float:
    """`rand.New(rand.NewSource(seed)).Float64()` for a signed 64-bit seed; in [0, 1)."""
    for word in (first_int63, _second_int63):
        # Division of integers is correctly rounded, as Go's conversion is.
        value = word(seed) / 2**63
        if value < 1.0:
            return value
    # Both draws within 2^-54 of 1: no seed of a 31-bit state does that.
    raise ArithmeticError(f"seed {seed} draws 1.0 twice")


def first_int63(seed: int) -> int:
    """`rand.New(rand.NewSource(seed)).Int63()`."""
    return (_word(seed, 333) + _word(seed, 606)) & _MASK63


def seeded_float64(data: bytes) -> float:
    """The chain's sample for `data`: the SHA-256 read as a Go varint seeds the generator."""
    return first_float64(varint_seed(hashlib.sha256(data).digest()))


def varint_seed(digest: bytes) -> int:
    """Go's `binary.Varint` at the start of a 32-byte digest; 0 when it overflows 64 bits."""
    value = 0
    for index, byte in enumerate(digest[:_MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004  # the continuation bit
            if index == _MAX_VARINT_BYTES - 1 and byte > 1:
                return 0
            return ~(value >> 1) if value & 1 else value >> 1
    return 0


def _second_int63(seed: int) -> int:
    return (_word(seed, 332) + _word(seed, 605)) & _MASK63


def _word(seed: int, index: int) -> int:
    """Word `index` of the state after seeding, modulo 2^63."""
    state = seed % _MODULUS or _SEED_FOR_ZERO
    draw = _DISCARDED + 1 + _DRAWS_PER_WORD * index
    first = state * pow(_MULTIPLIER, draw, _MODULUS) % _MODULUS
    second = first * _MULTIPLIER % _MODULUS
    third = second * _MULTIPLIER % _MODULUS
    return (first << 40 ^ second << 20 ^ third ^ _TABLE[index]) & _MASK63
