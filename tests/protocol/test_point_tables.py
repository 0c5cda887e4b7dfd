"""Verification with tables gives the verdicts of verification without, and stays in its bounds."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayminer.protocol import curve
from relayminer.protocol.errors import RingError
from relayminer.protocol.point_tables import ROWS, PointTables
from relayminer.protocol.ring import parse_ring_signature, sign_ring, verify_ring_signature
from relayminer.protocol.signature import SigningKey
from tests.vector_data import load

KEYS = [SigningKey.from_seed(bytes([index])) for index in range(3)]
RING = [key.public_key for key in KEYS[:2]]
MESSAGE = hashlib.sha256(b"hello").digest()
SCALARS = st.integers(min_value=0, max_value=curve.N - 1) | st.sampled_from(
    [0, 1, 255, 256, curve.N - 1]
)


def warm(signature: bytes, message: bytes, **bounds: int) -> PointTables:
    """Tables that know every point of a signature."""
    tables = PointTables(hot_uses=0, **bounds)
    parsed = parse_ring_signature(signature)
    # Six points, a row each time, and the first round only counts.
    for _ in range(6 * ROWS + 6):
        assert verify_ring_signature(message, parsed, tables)
    return tables


@cache
def complete() -> PointTables:
    """Tables for the ring of the two keys, signed by the first."""
    return warm(sign_ring(MESSAGE, RING, KEYS[0]), MESSAGE)


def test_all_points_get_tables() -> None:
    """Both keys, both hashed keys, the image and the generator have a table in the end."""
    assert complete().num_ready == 6


@settings(max_examples=60, deadline=None)
@given(SCALARS, SCALARS)
def test_products(left: int, right: int) -> None:
    """Sums of entries equal the library's products, with zero and the largest scalars too."""
    tables = complete()
    key = curve.ring_key(RING[0])
    point, hashed = tables.factor(RING[0], key.point), tables.factor(b"H" + RING[0], key.h_p)
    assert point.table is not None
    assert hashed.table is not None
    assert curve.encode_point(tables.combine(hashed, left, point, right)) == curve.encode_point(
        curve.combine(key.h_p, left, key.point, right)
    )
    assert curve.encode_point(tables.combine_base(left, key, point, right)) == curve.encode_point(
        curve.combine_base(left, key, right)
    )


def test_sum_at_infinity() -> None:
    """Opposite products add up to nothing, as without tables."""
    tables = complete()
    key = curve.ring_key(RING[0])
    point = tables.factor(RING[0], key.point)
    assert tables.combine(point, 7, point, curve.N - 7) is None
    assert tables.combine(point, 0, point, 0) is None


@settings(max_examples=60, deadline=None)
@given(st.data(), st.binary(min_size=32, max_size=32))
def test_verdicts(data: st.DataObject, message: bytes) -> None:
    """Genuine signatures pass and altered ones fail, whoever of the ring signed."""
    signer = data.draw(st.sampled_from(KEYS[:2]))
    signature = bytearray(sign_ring(message, RING, signer))
    assert verify_ring_signature(message, parse_ring_signature(bytes(signature)), complete())
    bit = data.draw(st.integers(min_value=32, max_value=8 * len(signature) - 1))
    signature[bit // 8] ^= 1 << bit % 8
    try:
        parsed = parse_ring_signature(bytes(signature))
    except RingError:
        return
    assert not verify_ring_signature(message, parsed, complete())


def test_the_number_of_tables_is_bounded() -> None:
    """A full set keeps the points in use, and makes room once one has been idle."""
    tables = warm(sign_ring(MESSAGE, RING, KEYS[0]), MESSAGE, max_tables=3, idle_rounds=50)
    assert tables.num_ready == 3
    other = parse_ring_signature(sign_ring(MESSAGE, [RING[0], KEYS[2].public_key], KEYS[2]))
    for _ in range(6 * ROWS):
        assert verify_ring_signature(MESSAGE, other, tables)
    assert tables.num_ready <= 3
    assert len(tables._tables) == 3
    image = b"I" + other.key_image
    assert tables.factor(image, curve.cached_point(other.key_image)).table is not None


def test_no_tables_at_all() -> None:
    """With room for none, verification is as without tables."""
    tables = PointTables(max_tables=0, hot_uses=0)
    parsed = parse_ring_signature(sign_ring(MESSAGE, RING, KEYS[1]))
    for _ in range(3):
        assert verify_ring_signature(MESSAGE, parsed, tables)
    assert tables.num_ready == 0


def test_rare_points_get_none() -> None:
    """A point below the threshold costs no table."""
    tables = PointTables(hot_uses=5)
    parsed = parse_ring_signature(sign_ring(MESSAGE, RING, KEYS[1]))
    for _ in range(5):
        assert verify_ring_signature(MESSAGE, parsed, tables)
    assert len(tables._tables) == 0


@pytest.mark.vectors
def test_mutated_vectors_with_tables() -> None:
    """With tables for the points of a recorded signature, its mutations get the same verdicts."""
    cases = [case for case in load("ring_signatures_negative.json")["cases"] if case["base"] == 0]
    original = next(case for case in cases if case["label"] == "unmodified")
    tables = warm(bytes.fromhex(original["signature"]), bytes.fromhex(original["message_hash"]))
    assert tables.num_ready >= 5
    tables.hot_uses = 10**9
    for case in cases:
        try:
            parsed = parse_ring_signature(bytes.fromhex(case["signature"]))
        except RingError:
            assert not case["accept"], case["label"]
            continue
        verdict = verify_ring_signature(bytes.fromhex(case["message_hash"]), parsed, tables)
        assert verdict == case["accept"], case["label"]
