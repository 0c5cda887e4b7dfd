"""Ring signatures: printed vectors H-*, C-*, R-* of the notes, and what must never pass."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayminer.protocol import curve
from relayminer.protocol.errors import InvalidPointError, RingError
from relayminer.protocol.pb.application_pb2 import Application
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import (
    check_ring_signature,
    parse_ring_signature,
    sign_ring,
    verify_ring_signature,
)
from relayminer.protocol.ring_members import (
    PLACEHOLDER_ADDRESS,
    PLACEHOLDER_PUBLIC_KEY,
    expected_ring,
    ring_addresses,
)
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

A = SigningKey(bytes.fromhex("2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a"))
B = SigningKey(bytes.fromhex("1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11"))


def derived(text: str) -> SigningKey:
    """A key whose secret is the hash of a text."""
    scalar = int.from_bytes(hashlib.sha256(text.encode()).digest()) % curve.N
    return SigningKey(scalar.to_bytes(32))


KEYS = [A, B, *(derived(f"k{index}") for index in range(4))]
M0 = hashlib.sha256(b"hello").digest()
R2 = bytes.fromhex(
    "000000023e96d57d8552ccdc5a6361be8ad7bee8470fdef2daeebdb5b557311724c4e274"
    "02c82a2efdba0348c63e87377a0fb0d882a4fc696744aec6b6991bcbe1b2364536"
    "0000000000000000000000000000000000000000000000000000000000002222"
    "0397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5"
    "0e45ab98e9d108298e67a03b66e2d6f9cdb5f04d518860ec1b924ce7c2657609"
    "02bbbf99abdcddac27350bca272d7146187c091aacfc1c6f90819c9b6daf4fe846"
)
R1 = bytes.fromhex(
    "0000000195d13180b4c3064b61c6de36997d3bd2dc6eff0ebe59f7958fe462909910b75a"
    "027f66757fefe88e663db41494bceaa674fffee92f99f88b90048ac13cc6988c62"
    "7990088fde7bf0e885a8856134998f950c4d558d9b00e45126ff4b29def56311"
    "0397896e9b106df70124a856861cc9be52fac9980e2c7a118a36c19d0198692cc5"
)


def given_scalars(*scalars: int) -> Callable[[], int]:
    """Draws the given scalars in order."""
    source = iter(scalars)
    return lambda: next(source)


def printed_ring(size: int, message: bytes = M0) -> bytes:
    """R(n) of the notes: the last of the first n keys signs."""
    scalars = given_scalars(0x1111, *(0x2222 + index for index in range(size - 1)))
    ring = [key.public_key for key in KEYS[:size]]
    return sign_ring(message, ring, KEYS[size - 1], scalars)


def accepted(signature: bytes, message: bytes = M0) -> bool:
    """Whether a signature parses and verifies."""
    try:
        return verify_ring_signature(message, parse_ring_signature(signature))
    except RingError:
        return False


@pytest.mark.parametrize(
    ("text", "scalar"),
    [
        (b"pocket", "43913f269ab77ad581e23102878c906eacd55fd9e973714f0ebbe9b55ad56fef"),
        (b"", "fbb1afc68c6713b20ff809b865ea3142c6caa99155e259107a8b84e6ec5106e0"),
        (b"relay-msg-165", "a136e6f55697cd5479af836cc7fed61762a2f081757870d3716bbdf5c1030c00"),
        (b"relay-msg-12952", "c701cddcce1d3a096b307027374db9b334687e6934d11f20dafa23fccacf0000"),
        (bytes(98), "d4d4faf27b93a0784de0432625c87cb51db8d0439601aa5b8f9c17fb3bf3daad"),
    ],
)
def test_hash_to_scalar(text: bytes, scalar: str) -> None:
    """Short digests are left-aligned."""
    assert curve.hash_to_scalar(text).to_bytes(32).hex() == scalar


def test_short_scalars() -> None:
    """The scalars of a known run that end in a zero byte, as shifted ones do, are known."""
    short = [
        index for index in range(3000) if curve.hash_to_scalar(b"relay-msg-%d" % index) % 256 == 0
    ]
    assert short == [
        *(165, 312, 320, 340, 349, 491, 679, 711, 794, 1331, 1345, 1464, 1686, 1773, 1802, 2014),
        *(2273, 2293, 2352, 2422, 2637, 2702, 2815, 2984),
    ]


@pytest.mark.parametrize(
    ("public_key", "point"),
    [
        (A.public_key, "02f72a1f27fa696323f979f608a525372567ad7c532736465db78c7d7118ce46e0"),
        (B.public_key, "02703716bd1d384b39442d0fe0a121ef050bd663d6a2a297902db45fd5874e0ed2"),
        (
            SigningKey((1).to_bytes(32)).public_key,
            "023466e35137ee4b443543f35d83be1409d744b02f42b4d29a6030e9da3f5a00b9",
        ),
        (
            PLACEHOLDER_PUBLIC_KEY,
            "0271a09f91c545489b1548dab73fdc8bf98e10bda644949d27036362e807bcec66",
        ),
        (
            SigningKey((177).to_bytes(32)).public_key,
            "027e5ec46881bc5f650387e4deda429f6db95f96cbac240bc96610f51c7a549b86",
        ),
    ],
)
def test_hash_to_curve(public_key: bytes, point: str) -> None:
    """Keys hash to their known points, after one attempt or ten."""
    assert curve.encode_point(curve.hash_to_curve(public_key)).hex() == point


def test_key_image() -> None:
    """The image of a key is known."""
    expected = "02c82a2efdba0348c63e87377a0fb0d882a4fc696744aec6b6991bcbe1b2364536"
    assert B.key_image().hex() == expected


def test_printed_signatures() -> None:
    """Signatures of two to six members have their known bytes, and all verify."""
    digests = {
        3: "caaf1d3ea9149acc187c8c566b85f9ed23e6db5558869860d588b8989b1407d8",
        4: "2fde515749984e34e02c986ca8e6c53926a9c82f89b91a43629d4fe4c8cbf137",
        5: "6bccd2bf762541ec82d43c611e6d16b1702443d13957769c3231d6517be6eff4",
        6: "7af30cd556eee91b8e354a9a75b1715b642117f84ef95e221f3a3da47b075402",
    }
    assert accepted(R1)
    assert printed_ring(2) == R2
    assert accepted(R2)
    for size, digest in digests.items():
        signature = printed_ring(size)
        assert hashlib.sha256(signature).hexdigest() == digest
        assert accepted(signature)


def test_short_challenge() -> None:
    """A signature through a short challenge has its known bytes and verifies."""
    message = hashlib.sha256(b"short-193").digest()
    signature = parse_ring_signature(printed_ring(2, message))
    expected = "a14df3b34ecedb9115ab0687b63abaa4330993de3444ef10e7271720d12ec900"
    assert signature.challenge.to_bytes(32).hex() == expected
    # The notes print this one half a byte off.
    assert "02b32d6ce928a6735e17ea78827469ce8de7888e4e72545ecb9d1d6877a8e750" in (
        signature.encode().hex()
    )
    assert verify_ring_signature(message, signature)


def test_repeated_member() -> None:
    """A ring of one key twice signs and verifies; the signer is its first place."""
    ring = [A.public_key] * 2
    # The notes sign at index 1: rotating the ring makes that place the first.
    signature = parse_ring_signature(sign_ring(M0, ring, A, given_scalars(0x1111, 0x2222)))
    assert verify_ring_signature(M0, signature)


def test_trailing_bytes_and_unreduced_scalars() -> None:
    """Both verify and disappear when encoded again."""
    assert parse_ring_signature(R2 + b"xy").encode() == R2
    assert accepted(R2 + b"xy")
    ring = [A.public_key, B.public_key]
    signature = sign_ring(M0, ring, B, given_scalars(0x1111, 5))
    unreduced = signature[:69] + (5 + curve.N).to_bytes(32) + signature[101:]
    digest = "485db02e555a42088d3f6bebd87abbb36de19f2151dec09fdc3d1d0105b5fc41"
    assert hashlib.sha256(unreduced).hexdigest() == digest
    assert accepted(unreduced)
    assert parse_ring_signature(unreduced).encode() == signature


def test_zero_scalars() -> None:
    """A zero response and points at infinity are legal."""
    ring = [A.public_key, B.public_key]
    signature = sign_ring(M0, ring, B, given_scalars(0x1111, 0))
    digest = "38127953693bcc73579f13c53f69c3fa25725306f7cbb3433a5bcf02140b3ebb"
    assert hashlib.sha256(signature).hexdigest() == digest
    assert accepted(signature)
    assert accepted(sign_ring(M0, ring, B, given_scalars(0, 7)))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x00" * 3,
        bytes(69),
        bytes(4),
        bytes(134),
        b"\xff" * 4 + R2[4:],
        b"\x00\x00\x00\x03" + R2[4:],
        R2[:-1],
        R2[:-33],
        R2[:-40],
        R2[:4] + bytes(32) + R2[36:],
        R2[:4] + curve.N.to_bytes(32) + R2[36:],
        R2[:36] + b"\x03" + R2[37:],
        R2[:36] + b"\x04" + R2[37:],
        R2[:37] + bytes(32) + R2[69:],
        R2[:37] + curve.P.to_bytes(32) + R2[69:],
        R2[:101] + b"\x03" + b"\xbb" * 32 + R2[134:],
    ],
)
def test_refused_signatures(bad: bytes) -> None:
    """Truncation, sizes, zero challenges and points that are none are refused, never raised."""
    assert not accepted(bad)


def test_other_message() -> None:
    """A signature is of its message only."""
    assert not accepted(R2, hashlib.sha256(b"other").digest())
    assert not accepted(R2, b"short")


def test_ring_size_is_bounded() -> None:
    """A ring above the caller's bound is refused before any point is looked at."""
    with pytest.raises(RingError):
        parse_ring_signature(printed_ring(4), max_members=3)
    repeated = (65).to_bytes(4) + bytes(65) + bytes(65 * 65)
    with pytest.raises(RingError, match="65 members"):
        parse_ring_signature(repeated)


def test_signing_errors() -> None:
    """One member, a key outside the ring, a member that is none, and a short digest are refused."""
    for ring, digest in (
        ([A.public_key], M0),
        ([A.public_key, A.public_key], M0),
        ([B.public_key, b"\x02" + bytes(32)], M0),
        ([A.public_key, B.public_key], M0[1:]),
    ):
        with pytest.raises(RingError):
            sign_ring(digest, ring, B)


@pytest.mark.parametrize(
    ("members", "passes"),
    [
        ({A, B}, (True, True)),
        ({A, B, KEYS[2]}, (True, True)),
        ({A}, (True, False)),
        ({B}, (False, False)),
    ],
)
def test_membership(members: set[SigningKey], passes: tuple[bool, bool]) -> None:
    """Every member must be expected; not every expected key must be a member."""
    expected = frozenset(key.public_key for key in members)
    for signature, passed in zip((R1, R2), passes, strict=True):
        request = signed_request(signature)
        if passed:
            check_ring_signature(request, expected, digest=M0)
            continue
        with pytest.raises(RingError) as refused:
            check_ring_signature(request, expected, digest=M0)
        assert refused.value.code == 3


def signed_request(signature: bytes) -> RelayRequest:
    """A request with a valid header."""
    request = RelayRequest(payload=b"question")
    request.meta.supplier_operator_address = A.address
    request.meta.signature = signature
    header = request.meta.session_header
    header.application_address = A.address
    header.service_id = "svc1"
    header.session_id = "s"
    header.session_start_block_height = 1
    header.session_end_block_height = 10
    return request


def test_request_checks() -> None:
    """Missing header and signature are code 2, a bad signature is code 3."""
    expected = frozenset((A.public_key, B.public_key))
    good = signed_request(b"")
    good.meta.signature = sign_ring(request_hash(good), sorted(expected), B)
    check_ring_signature(good, expected)
    other = RelayRequest()
    other.CopyFrom(good)
    other.payload = b"another question"
    cases = [(other, 3), (signed_request(b""), 2), (RelayRequest(), 2), (signed_request(b"x"), 3)]
    unnamed = signed_request(R2)
    unnamed.meta.session_header.application_address = "nobody"
    cases.append((unnamed, 2))
    for request, code in cases:
        with pytest.raises(RingError) as refused:
            check_ring_signature(request, expected)
        assert (refused.value.codespace, refused.value.code) == ("rings", code)


def test_expected_ring() -> None:
    """Current and still pending gateways belong to the ring, in order of address."""
    application = Application(address="pokt1m")
    assert ring_addresses(application, 100) == [PLACEHOLDER_ADDRESS, "pokt1m"]
    application.delegatee_gateway_addresses.extend(["pokt1z", "pokt1b"])
    for height in (99, 100, 101):
        application.pending_undelegations[height].gateway_addresses.append(f"pokt1g{height}")
    application.pending_undelegations[101].gateway_addresses.append("pokt1z")
    application.pending_undelegations[100].gateway_addresses.append("pokt1g101")
    assert ring_addresses(application, 100) == [
        "pokt1b",
        *("pokt1g100", "pokt1g101", "pokt1m", "pokt1z", "pokt1z"),
    ]


def test_expected_ring_without_key() -> None:
    """An account without a usable key makes the ring impossible."""
    keys = {"pokt1m": A.public_key}
    assert expected_ring([PLACEHOLDER_ADDRESS, "pokt1m"], keys) == (
        PLACEHOLDER_PUBLIC_KEY,
        A.public_key,
    )
    for bad in ({}, {"pokt1m": bytes(32)}, {"pokt1m": b"\x02" + bytes(32)}):
        with pytest.raises(RingError) as refused:
            expected_ring(["pokt1m"], bad)
        assert refused.value.code == 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(min_value=2, max_value=5),
    st.data(),
    st.binary(min_size=32, max_size=32),
)
def test_signatures_verify_and_mutations_do_not(
    size: int, data: st.DataObject, message: bytes
) -> None:
    """A fresh signature verifies; with one bit of its content changed it never does."""
    ring = data.draw(st.lists(st.sampled_from(KEYS), min_size=size, max_size=size))
    signer = data.draw(st.sampled_from(ring))
    signature = sign_ring(message, [key.public_key for key in ring], signer)
    assert accepted(signature, message)
    bit = data.draw(st.integers(min_value=32, max_value=8 * len(signature) - 1))
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not accepted(bytes(changed), message)


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=2**256 - 1), st.integers(min_value=0, max_value=2**256))
def test_combined_multiplication(left: int, right: int) -> None:
    """The recovery trick equals two multiplications and an addition."""
    left, right = left % curve.N, right % curve.N
    key = curve.ring_key(A.public_key)
    plain = curve.add(curve.multiply_base(left), curve.multiply(key.point, right))
    assert curve.encode_point(curve.combine_base(left, key, right)) == curve.encode_point(plain)


def test_sums_at_infinity() -> None:
    """Opposite points add up to nothing, on every path."""
    key = curve.ring_key(SigningKey((5).to_bytes(32)).public_key)
    assert curve.combine_base(curve.N - 5, key, 1) is None
    assert curve.combine(key.point, 3, key.point, curve.N - 3) is None
    assert curve.combine_base(0, key, 0) is None
    assert curve.encode_point(None) == b"\x02" + bytes(32)


@pytest.mark.parametrize("bad", [b"", bytes(33), b"\x02" * 32, b"\x04" + bytes(64)])
def test_points_that_are_none(bad: bytes) -> None:
    """Other lengths and prefixes are refused."""
    with pytest.raises(InvalidPointError):
        curve.parse_point(bad)
