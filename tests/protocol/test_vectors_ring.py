"""Ring signatures against the reference: hashing, parsing, verification, membership, signing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.protocol import codec, curve
from relayminer.protocol.errors import RingError
from relayminer.protocol.pb.application_pb2 import Application
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.pb.shared_pb2 import Params
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
from relayminer.protocol.session import session_end
from relayminer.protocol.signature import SigningKey
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.vectors


def draws(case: dict[str, Any]) -> Callable[[], int]:
    """The recorded scalars in the order in which signing draws them."""
    signer, size = case["signer_index"], len(case["ring"])
    others = [case["dummies"][(signer + step) % size] for step in range(1, size)]
    scalars = iter([case["nonce"], *others])
    return lambda: int(next(scalars), 16)


def test_hash_to_scalar() -> None:
    """Every digest becomes the reference's scalar, the short ones left-aligned."""
    for case in load("hash_to_scalar.json")["cases"]:
        scalar = curve.hash_to_scalar(bytes.fromhex(case["input"]))
        assert scalar.to_bytes(32).hex() == case["scalar"], case["label"]


def test_hash_to_curve_and_key_images() -> None:
    """Every key hashes to the reference's point and gives its key image."""
    vectors = load("hash_to_curve.json")
    for case in vectors["cases"]:
        point = curve.hash_to_curve(bytes.fromhex(case["public_key"]))
        assert curve.encode_point(point).hex() == case["h_p"], case["label"]
    for case in vectors["key_images"]:
        key = SigningKey(bytes.fromhex(case["private_key"]))
        assert key.public_key.hex() == case["public_key"]
        assert key.key_image().hex() == case["key_image"]


def test_accepted_signatures() -> None:
    """Every accepted signature parses into its parts, verifies, and re-encodes as it was."""
    for case in load("ring_signatures.json")["cases"]:
        request = codec.decode(RelayRequest, bytes.fromhex(case["unsigned_request"]))
        digest = request_hash(request)
        assert digest.hex() == case["message_hash"], case["label"]
        signature = parse_ring_signature(bytes.fromhex(case["signature"]))
        assert signature.challenge.to_bytes(32).hex() == case["c0"]
        assert signature.key_image.hex() == case["key_image"]
        assert [each.to_bytes(32).hex() for each in signature.responses] == case["s"]
        assert [each.hex() for each in signature.members] == case["ring"]
        assert signature.encode().hex() == case["signature"]
        assert verify_ring_signature(digest, signature), case["label"]


def test_verification_steps() -> None:
    """Challenges and intermediate points equal the recorded ones, infinity included."""
    for case in load("ring_signatures.json")["cases"]:
        if "trace" not in case:
            continue
        image = curve.parse_point(bytes.fromhex(case["key_image"]))
        for step in case["trace"]:
            key = curve.ring_key(bytes.fromhex(case["ring"][step["index"]]))
            challenge = int(step["c"], 16)
            response = int(case["s"][step["index"]], 16)
            assert curve.encode_point(key.h_p).hex() == step["h_p"]
            left = curve.encode_point(curve.combine_base(response, key, challenge))
            right = curve.encode_point(curve.combine(key.h_p, response, image, challenge))
            assert (left.hex(), right.hex()) == (step["l"], step["r"]), case["label"]
            following = curve.hash_to_scalar(bytes.fromhex(case["message_hash"]) + left + right)
            assert following.to_bytes(32).hex() == step["next_c"]


def test_signing_reproduces() -> None:
    """With the recorded scalars, signing gives the recorded bytes."""
    reproduced = 0
    for case in load("ring_signatures.json")["cases"]:
        if not case.get("nonce") or not case.get("signer_private_key"):
            continue
        key = SigningKey(bytes.fromhex(case["signer_private_key"]))
        ring = [bytes.fromhex(member) for member in case["ring"]]
        if ring.index(key.public_key) != case["signer_index"] or len(ring) == 1:
            continue
        signature = sign_ring(bytes.fromhex(case["message_hash"]), ring, key, draws(case))
        assert signature.hex() == case["signature"], case["label"]
        reproduced += 1
    assert reproduced


def test_mutated_signatures() -> None:
    """Every mutation gets the verdict of the reference, and a panic there is a refusal here."""
    for case in load("ring_signatures_negative.json")["cases"]:
        try:
            signature = parse_ring_signature(bytes.fromhex(case["signature"]))
        except RingError:
            assert not case["accept"], case["label"]
            continue
        accepted = verify_ring_signature(bytes.fromhex(case["message_hash"]), signature)
        assert accepted == case["accept"], case["label"]
        if accepted:
            expected = case.get("reserialized", case["signature"])
            assert signature.encode().hex() == expected, case["label"]


def test_placeholder() -> None:
    """The stand-in member of an application without gateways is the reference's."""
    vectors = load("ring_signatures.json")
    assert vectors["placeholder_address"] == PLACEHOLDER_ADDRESS
    assert vectors["placeholder_public_key"] == PLACEHOLDER_PUBLIC_KEY.hex()


def ring_of(case: dict[str, Any]) -> tuple[bytes, ...]:
    """The expected ring of one application state."""
    application = Application(
        address=case["application_address"],
        delegatee_gateway_addresses=case["delegatee_gateway_addresses"],
    )
    for height, gateways in case["pending_undelegations"].items():
        application.pending_undelegations[int(height)].gateway_addresses.extend(gateways)
    params = Params(num_blocks_per_session=case["num_blocks_per_session"])
    target = session_end(params, case["session_end_block_height"])
    # Keys of another type reach the ring code as what they are: not 33 bytes of secp256k1.
    keys = {
        address: bytes.fromhex(key["key"])
        for address, key in case["account_public_keys"].items()
        if key is not None
    }
    return expected_ring(ring_addresses(application, target), keys)


def test_membership() -> None:
    """Rings are built, and requests judged, as by the reference, with its error codes."""
    checked = 0
    for case in load("ring_membership.json")["cases"]:
        ring: tuple[bytes, ...] | None
        if case.get("ring_error"):
            with pytest.raises(RingError) as refused:
                ring_of(case)
            assert refused.value.code == 2
            ring = None
        else:
            ring = ring_of(case)
            assert [member.hex() for member in ring] == case["expected_ring"], case["label"]
        for request_case in case["requests"]:
            label = (case["label"], request_case["label"])
            error = request_case.get("error") or {}
            request = codec.decode(RelayRequest, bytes.fromhex(request_case["request"]))
            # No ring can be built for an application that is not there: the caller's code 2.
            known = request.meta.session_header.application_address == case["application_address"]
            if ring is None or (not known and error.get("code") == 2):
                assert not request_case["accept"], label
                continue
            verdict = judge(request, ring)
            assert (verdict is None) == request_case["accept"], label
            if error:
                assert verdict == error["code"], label
            checked += 1
    assert checked > 120


def judge(request: RelayRequest, ring: tuple[bytes, ...]) -> int | None:
    """The error code for a request, None when it is accepted."""
    try:
        check_ring_signature(request, frozenset(ring))
    except RingError as error:
        return error.code
    return None


def test_draw_order_covers_all() -> None:
    """The helper above hands out each recorded scalar once."""
    case = {"signer_index": 1, "ring": ["a", "b", "c"], "nonce": "1", "dummies": ["2", "3", "4"]}
    draw = draws(case)
    assert [draw() for _ in itertools.repeat(None, 3)] == [1, 4, 2]
