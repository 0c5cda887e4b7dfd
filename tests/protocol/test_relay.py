"""Relays: printed vectors of wire 17.2 and L-1 to L-15 of the notes, and the envelopes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import codec
from relayminer.protocol.difficulty import is_applicable
from relayminer.protocol.envelope import (
    HttpRequest,
    HttpResponse,
    decode_http_request,
    decode_http_response,
    encode_http_request,
    encode_http_response,
)
from relayminer.protocol.errors import DecodeError, EncodeError, InvalidRelayError
from relayminer.protocol.mined_relay import MinedRelay, decode_mined_relay, encode_mined_relay
from relayminer.protocol.pb.service_pb2 import (
    Relay,
    RelayMinerError,
    RelayRequest,
    RelayResponse,
)
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.relay import (
    check_request,
    check_response,
    check_session_header,
    is_service_id,
    request_hash,
    response_hash,
    sign_response,
    stored_relay,
)
from relayminer.protocol.ring import parse_ring_signature, sign_ring
from relayminer.protocol.signature import SigningKey, verify_signature

A = SigningKey(bytes.fromhex("2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a"))
B = SigningKey(bytes.fromhex("1a11ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ab11"))
SUPPLIER = SigningKey.from_seed(b"\x01")
ONES = SigningKey(b"\x01" * 32)


def composite_header() -> SessionHeader:
    """The header of wire 17.2."""
    return SessionHeader(
        application_address="pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4",
        service_id="develop-http",
        session_id="46cbeb84e7538bd9d69e2fd3298c6a54e878874b9ae36e91a33cc9e06eca5a48",
        session_start_block_height=11,
        session_end_block_height=20,
    )


def leaf_request() -> RelayRequest:
    """The unsigned request of L-1."""
    request = RelayRequest(payload=b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}')
    request.meta.supplier_operator_address = SUPPLIER.address
    request.meta.session_header.CopyFrom(
        SessionHeader(
            application_address=A.address,
            service_id="svc1",
            session_id="sess-1",
            session_start_block_height=1,
            session_end_block_height=10,
        )
    )
    return request


def test_composite_example() -> None:
    """Header bytes, request and response hashes, and the signature of wire 17.2."""
    header = composite_header()
    assert codec.encode(header) == (
        b"\x0a\x2b"
        + header.application_address.encode()
        + b"\x12\x0cdevelop-http\x1a\x40"
        + header.session_id.encode()
        + b"\x20\x0b\x28\x14"
    )
    request = RelayRequest(payload=b"hello")
    request.meta.session_header.CopyFrom(header)
    request.meta.supplier_operator_address = "pokt19a3t4yunp0dlpfjrp7qwnzwlrzd5fzs2gjaaaj"
    assert len(codec.encode(request)) == 187
    expected = "3e35fa8d258fedc0adcd8186d9e1ddfbd29cbece116de9618dc94130e2457664"
    assert request_hash(request).hex() == expected

    response = sign_response(header, b"world", ONES)
    expected = "996372cb34d1e2a04302297bfaa96fc258ab09679501d70aaf4b62739df9ca06"
    assert response_hash(response).hex() == expected
    assert response.meta.supplier_operator_signature.hex() == (
        "04fe17121ee6a6489e139544914b3e57abd5fc3034434156c4e3345572c5cafc"
        "2cc96ae3147d736144570ddaf884573366209f12e933fba112a01cdb4ec7b3bd"
    )
    assert ONES.address == "pokt10xcqpzrky6eff2g52qdye53xkk9jxkvrux9gum"


def test_leaf_pipeline() -> None:
    """From request to leaf: L-1 to L-7."""
    request = leaf_request()
    unsigned = codec.encode(request)
    assert len(unsigned) == 165
    expected = "fa5769a9cf3d3b82a2750a7ee811f279ee80006f440b2d9c470f30b9a1343eaf"
    assert request_hash(request).hex() == expected
    scalars = iter((0x1111, 0x2222))
    request.meta.signature = sign_ring(
        request_hash(request), [A.public_key, B.public_key], B, lambda: next(scalars)
    )
    ring = parse_ring_signature(request.meta.signature)
    assert ring.challenge.to_bytes(32).hex() == (
        "6075276c3a38cb9a9b678a997bb1d28076d5c098752fac941a03a35b58d4bc7f"
    )
    assert ring.responses[1].to_bytes(32).hex() == (
        "87d338a4ec701348d36dccaed90be854c01b41d58d25216380623f1e4db04c92"
    )
    body = b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'
    response = sign_response(request.meta.session_header, body, SUPPLIER)
    assert response.payload_hash.hex() == (
        "1b4c9948350921489f387c8ac3eddf70c737d393b182e71eba1ff4c83a96dc9e"
    )
    assert response_hash(response).hex() == (
        "4f2852738241b987b24980222e37705b83fcce72af165b53c29c987a885d194a"
    )
    assert response.meta.supplier_operator_signature.hex() == (
        "7448a62488f2970266d9721239e8c71835899c5236dbc8d3a75e47d81275ad16"
        "4ef61c5f97b9330466d68bdc975f58cecaf1191cec5335d559eef25b30a5ff9b"
    )
    stored = stored_relay(request, response)
    assert len(stored.relay_bytes) == 542
    assert stored.relay_hash.hex() == (
        "aa759c826af8969c604bfe6adab1ced58e0d6835d473bb8b2cd9154f88331086"
    )
    assert hashlib.sha256(stored.relay_hash).hexdigest() == (
        "d7e8a2ffac0018c09c0148e423a9f49abde588819c86d28ed5d5238253f88018"
    )


def test_mined_is_what_was_answered() -> None:
    """The stored response is the client's, payload dropped, and its signature still verifies."""
    request = leaf_request()
    response = sign_response(request.meta.session_header, b"answer", SUPPLIER)
    stored = codec.decode(Relay, stored_relay(request, response).relay_bytes)
    assert stored.req == request
    assert stored.res.payload == b""
    assert stored.res.meta == response.meta
    assert response_hash(stored.res) == response_hash(response)
    assert verify_signature(
        SUPPLIER.public_key,
        response_hash(stored.res),
        stored.res.meta.supplier_operator_signature,
    )
    assert response.payload == b"answer"


def test_error_is_signed() -> None:
    """A relay error is part of what the supplier signs."""
    request = leaf_request()
    error = RelayMinerError(codespace="relay_miner", code=502, description="backend down")
    response = sign_response(request.meta.session_header, b"x", SUPPLIER, error=error)
    assert response.relay_miner_error == error
    plain = sign_response(request.meta.session_header, b"x", SUPPLIER)
    assert response_hash(plain) != response_hash(response)


def test_what_cannot_be_signed_or_mined() -> None:
    """An empty payload is not signed, and a response without payload hash is not mined."""
    request = leaf_request()
    with pytest.raises(InvalidRelayError) as refused:
        sign_response(request.meta.session_header, b"", SUPPLIER)
    assert (refused.value.codespace, refused.value.code) == ("service", 1110)
    with pytest.raises(InvalidRelayError):
        stored_relay(request, RelayResponse(payload=b"x"))


def test_payload_hash_replaces_payload_in_hash() -> None:
    """With a payload hash set, even empty, the payload does not enter the hash."""
    with_hash = RelayResponse(payload=b"one", payload_hash=b"h" * 32)
    other = RelayResponse(payload=b"two", payload_hash=b"h" * 32)
    assert response_hash(with_hash) == response_hash(other)
    assert response_hash(RelayResponse(payload=b"one")) != response_hash(
        RelayResponse(payload=b"two")
    )
    assert response_hash(RelayResponse(payload=b"one", payload_hash=b"")) == response_hash(
        RelayResponse()
    )


def test_hash_ignores_signature_and_unknown_fields() -> None:
    """Neither the signature nor unknown fields enter the request's hash, which changes nothing."""
    request = leaf_request()
    before = request_hash(request)
    request.meta.signature = b"anything"
    assert request_hash(request) == before
    assert request.meta.signature == b"anything"
    odd = RelayRequest.FromString(codec.encode(request) + b"\x78\x01")
    assert request_hash(odd) == before


def test_difficulty_of_relay_hash() -> None:
    """Below the target counts; equal to it does not."""
    target = bytes.fromhex("00ff" + "ff" * 30)
    assert is_applicable(bytes.fromhex("00ef" + "ff" * 30), target)
    assert not is_applicable(target, target)
    assert not is_applicable(bytes.fromhex("0eff" + "ff" * 30), target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("application_address", "pokt1xyz"),
        ("application_address", ""),
        ("session_id", ""),
        ("service_id", ""),
        ("service_id", "a b"),
        ("service_id", "svc1\n"),
        ("service_id", "s" * 43),
        ("session_start_block_height", 0),
        ("session_start_block_height", -1),
        ("session_end_block_height", 11),
        ("session_end_block_height", 10),
    ],
)
def test_invalid_headers(name: str, value: str | int) -> None:
    """Each rule of a session header is checked, in requests and responses alike."""
    header = composite_header()
    setattr(header, name, value)
    with pytest.raises(InvalidRelayError):
        check_session_header(header)
    request, response = RelayRequest(), RelayResponse()
    request.meta.session_header.CopyFrom(header)
    response.meta.session_header.CopyFrom(header)
    with pytest.raises(InvalidRelayError) as refused:
        check_request(request)
    assert refused.value.code == 1111
    with pytest.raises(InvalidRelayError) as refused:
        check_response(response)
    assert refused.value.code == 1110


def test_header_that_is_no_text() -> None:
    """A header with text that is not UTF-8 is refused, not a crash."""
    for number in (b"\x0a", b"\x12", b"\x1a"):
        header = codec.decode(
            SessionHeader, codec.encode(composite_header()) + number + b"\x02\xff\xfe"
        )
        with pytest.raises(InvalidRelayError):
            check_session_header(header)


def test_basic_checks() -> None:
    """A request needs header, signature and supplier; a response header and signature."""
    request = leaf_request()
    request.meta.signature = b"ring"
    check_request(request)
    for name in ("session_header", "signature", "supplier_operator_address"):
        broken = RelayRequest()
        broken.CopyFrom(request)
        broken.meta.ClearField(name)
        with pytest.raises(InvalidRelayError):
            check_request(broken)
    response = sign_response(request.meta.session_header, b"x", SUPPLIER)
    check_response(response)
    for name in ("session_header", "supplier_operator_signature"):
        incomplete = RelayResponse()
        incomplete.CopyFrom(response)
        incomplete.meta.ClearField(name)
        with pytest.raises(InvalidRelayError):
            check_response(incomplete)


def test_service_ids() -> None:
    """1 to 42 letters, digits, dashes and underscores."""
    assert is_service_id("eth-mainnet_1")
    assert is_service_id("a" * 42)
    for text in ("", "a" * 43, "a.b", "é", "a\n"):
        assert not is_service_id(text)


HEADERS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=3).map(tuple),
    max_size=5,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@given(TEXT, TEXT, HEADERS, st.binary(max_size=100))
def test_http_request_round_trip(
    method: str, url: str, headers: dict[str, tuple[str, ...]], body: bytes
) -> None:
    """A request comes back as it was, and its bytes do not depend on the order of its headers."""
    request = HttpRequest(method, url, headers, body)
    data = encode_http_request(request)
    assert decode_http_request(data) == request
    turned = dict(reversed(headers.items()))
    assert encode_http_request(HttpRequest(method, url, turned, body)) == data


@given(st.integers(min_value=0, max_value=2**32 - 1), HEADERS, st.binary(max_size=100))
def test_http_response_round_trip(
    status: int, headers: dict[str, tuple[str, ...]], body: bytes
) -> None:
    """A response comes back as it was."""
    response = HttpResponse(status, headers, body)
    assert decode_http_response(encode_http_response(response)) == response


@given(st.binary(max_size=120))
def test_any_payload_is_an_envelope_or_refused(data: bytes) -> None:
    """No payload raises anything but DecodeError."""
    for decode in (decode_http_request, decode_http_response):
        try:
            decode(data)
        except DecodeError:
            continue


def test_envelope_text_must_be_utf8() -> None:
    """Header values that are no text are refused on encoding."""
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    with pytest.raises(EncodeError):
        encode_http_request(HttpRequest("GET", "/", {"X": (odd,)}))
    with pytest.raises(EncodeError):
        encode_http_response(HttpResponse(200, {odd: ("x",)}))
    with pytest.raises(EncodeError):
        encode_http_response(HttpResponse(-1))


def test_known_envelope_bytes() -> None:
    """An empty 200 has its known two-field form."""
    assert encode_http_response(HttpResponse(200)).hex() == "08c801"


@given(
    st.binary(max_size=40),
    st.integers(min_value=0, max_value=2**64 - 1),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    TEXT,
)
def test_mined_relay_round_trip(data: bytes, units: int, height: int, text: str) -> None:
    """An entry of the relay log comes back as it was."""
    relay = MinedRelay(
        relay_hash=hashlib.sha256(data).digest(),
        relay_bytes=data,
        compute_units_per_relay=units,
        session_id=text,
        session_end_height=height,
        supplier_operator_address=text,
        service_id=text,
        application_address=text,
        arrival_block_height=height,
        published_at_unix_nano=height,
        session_start_height=height,
    )
    assert decode_mined_relay(encode_mined_relay(relay)) == relay


def test_mined_relay_that_is_none() -> None:
    """Garbage and text that is not UTF-8 are refused."""
    for data in (b"\x08\x01", b"\x0a\x05x", b"\x22\x01\xff"):
        with pytest.raises(DecodeError):
            decode_mined_relay(data)
