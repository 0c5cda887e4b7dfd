"""The codec keeps the chain's encoding rules where they differ from protobuf's."""

from __future__ import annotations

import pytest
from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import codec
from relayminer.protocol.errors import DecodeError
from relayminer.protocol.pb import application_pb2, proof_pb2, service_pb2, shared_pb2
from relayminer.protocol.pb.session_pb2 import SessionHeader

HEADER = SessionHeader(
    application_address="app",
    service_id="svc1",
    session_id="ab",
    session_start_block_height=1,
    session_end_block_height=10,
)
RELAY = service_pb2.Relay(
    req=service_pb2.RelayRequest(
        meta=service_pb2.RelayRequestMetadata(
            session_header=HEADER, signature=b"ring", supplier_operator_address="pokt1x"
        ),
        payload=b"question",
    ),
    res=service_pb2.RelayResponse(
        meta=service_pb2.RelayResponseMetadata(
            session_header=HEADER, supplier_operator_signature=b"s" * 64
        ),
        payload_hash=b"h" * 32,
    ),
)


def test_not_nullable_messages_are_always_written() -> None:
    """`meta` is on the wire even of an empty request, at every depth."""
    assert codec.encode(service_pb2.RelayRequest()) == b"\x0a\x00"
    empty = service_pb2.Relay(req=service_pb2.RelayRequest(), res=service_pb2.RelayResponse())
    assert codec.encode(empty).hex() == "0a020a0012020a00"
    assert codec.encode(shared_pb2.QueryParamsResponse()) == b"\x0a\x00"
    assert codec.encode(proof_pb2.QueryAllClaimsResponse()) == b""


def test_encode_leaves_the_message_alone() -> None:
    """Encoding sets and drops nothing in the caller's message."""
    request = service_pb2.RelayRequest(payload=b"x")
    codec.encode(request)
    assert not request.HasField("meta")


@pytest.mark.parametrize(
    ("unusual", "canonical"),
    [
        ("0a00120178", "0a00120178"),
        ("1201780a00", "0a00120178"),
        ("12017912 0178", "0a00120178"),
        ("0a0012 8100 78", "0a00120178"),
        ("7801 120178", "0a00120178"),
        ("7b08017c 120178", "0a00120178"),
        ("7d01020304 790102030405060708 7a0161 120178", "0a00120178"),
        ("9280808000 0178", "0a00120178"),
        ("928080808000 0178", "0a00120178"),
        ("0a02 7801", "0a00"),
        ("0a04 12020102", "0a0412020102"),
        ("", "0a00"),
    ],
)
def test_unusual_input(unusual: str, canonical: str) -> None:
    """Order, repetition, long varints and unknown fields are accepted and leave no trace."""
    message = codec.decode(service_pb2.RelayRequest, bytes.fromhex(unusual))
    assert codec.encode(message).hex() == canonical


@pytest.mark.parametrize(
    "refused",
    [
        *("1001", "0a01", "00", "14", "7b0801", "7b7c7c", "16", "7e", "12ffffffffffffffffff7f"),
        *("10" + "80" * 10 + "00", "80" * 11, "1500000000", "0d", "7b0d01027c", "08"),
    ],
)
def test_refused_input(refused: str) -> None:
    """Truncation, wrong wire types of known fields, tag 0 and loose groups are errors."""
    with pytest.raises(DecodeError):
        codec.decode(service_pb2.RelayRequest, bytes.fromhex(refused))


def test_tenth_byte_overflows_silently() -> None:
    """A varint's tenth byte loses its high bits, as in Go; protobuf would refuse it."""
    data = bytes.fromhex("10" + "81" * 9 + "7f")
    message = codec.decode(shared_pb2.QueryParamsAtHeightRequest, b"\x08" + data[1:])
    assert message.height == sum(1 << 7 * index for index in range(10)) - (1 << 64) < 0


def test_invalid_utf8_survives() -> None:
    """Text that is not UTF-8 decodes, shows as bytes, and encodes unchanged."""
    data = bytes.fromhex("1a02fffe")
    message = codec.decode(SessionHeader, data)
    shown: object = message.session_id
    assert shown == b"\xff\xfe"
    assert codec.encode(message) == data


def test_explicit_empty_payload_hash() -> None:
    """Present on the wire counts as set; encoding omits it."""
    message = codec.decode(service_pb2.RelayResponse, bytes.fromhex("0a002200"))
    assert message.HasField("payload_hash")
    assert codec.encode(message).hex() == "0a00"
    message = codec.decode(service_pb2.RelayResponse, bytes.fromhex("22000a00"))
    assert message.HasField("payload_hash")


def test_maps_are_sorted() -> None:
    """Map entries come in order of their keys, whatever the order of the input."""
    application = application_pb2.Application(address="a", stake=Coin(denom="upokt", amount="0"))
    for height in (300, 2, 70000):
        application.pending_undelegations[height].gateway_addresses.append("g")
    data = codec.encode(application)
    assert codec.encode(codec.decode(application_pb2.Application, data)) == data
    heights = [data.index(bytes.fromhex(key)) for key in ("0802", "08ac02", "08f0a204")]
    assert heights == sorted(heights)


def test_hostile_input_is_bounded() -> None:
    """Input of countless unknown fields is refused instead of walked to its end."""
    with pytest.raises(DecodeError, match="more than"):
        codec.decode(service_pb2.RelayRequest, b"\x78\x01" * (codec.MAX_REWRITTEN_FIELDS + 1))
    with pytest.raises(DecodeError, match="more than"):
        codec.decode(service_pb2.RelayRequest, b"\x12\x00" * (codec.MAX_REWRITTEN_FIELDS + 1))


@given(
    st.binary(max_size=300),
    st.text(max_size=40),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.booleans(),
)
def test_round_trip(payload: bytes, text: str, height: int, with_hash: bool) -> None:
    """What was encoded decodes to the same message, and that encodes to the same bytes."""
    response = service_pb2.RelayResponse(payload=payload)
    response.meta.session_header.session_id = text
    response.meta.session_header.session_start_block_height = height
    if with_hash:
        response.payload_hash = b"h" * 32
    data = codec.encode(response)
    decoded = codec.decode(service_pb2.RelayResponse, data)
    assert decoded == response
    assert codec.encode(decoded) == data


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """No input raises anything but DecodeError, and what decodes is canonical afterwards."""
    try:
        message = codec.decode(service_pb2.Relay, data)
    except DecodeError:
        return
    encoded = codec.encode(message)
    assert codec.encode(codec.decode(service_pb2.Relay, encoded)) == encoded


@given(st.data())
def test_mutated_relays(data: st.DataObject) -> None:
    """A relay with one byte changed decodes to something canonical or is refused."""
    encoded = bytearray(codec.encode(RELAY))
    index = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    encoded[index] = data.draw(st.integers(min_value=0, max_value=255))
    try:
        message = codec.decode(service_pb2.Relay, bytes(encoded))
    except DecodeError:
        return
    again = codec.encode(message)
    assert codec.encode(codec.decode(service_pb2.Relay, again)) == again


@given(
    st.lists(
        st.sampled_from(["7801", "7a0161", "7b7c", "7d01020304", "7b0a01617c"]),
        max_size=4,
    ),
    st.integers(min_value=0, max_value=4),
)
def test_unknown_fields_never_matter(extra: list[str], where: int) -> None:
    """Unknown fields anywhere between the known ones change nothing."""
    request = RELAY.req
    meta = codec.encode(request.meta)
    fields = [b"\x0a" + codec.write_varint(len(meta)) + meta, b"\x12\x08question"]
    junk = [bytes.fromhex(each) for each in extra]
    where = min(where, len(fields))
    data = b"".join([*fields[:where], *junk, *fields[where:]])
    assert codec.encode(codec.decode(service_pb2.RelayRequest, data)) == codec.encode(request)
