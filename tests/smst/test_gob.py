"""The gob reader against streams that nobody honest writes."""

from __future__ import annotations

import pytest

from relayminer.smst import ProofDecodeError, Trie, decode_proof, encode_proof
from relayminer.smst.gob import Reader, encode_bytes, encode_int, encode_uint

NAME = b"\x01" + encode_bytes(b"T") + b"\x00"


def message(body: bytes) -> bytes:
    """One message of a stream."""
    return encode_bytes(body)


def struct_type(type_id: int, *fields: tuple[bytes, int]) -> bytes:
    """The definition of a struct."""
    listed = b"".join(
        b"\x01" + encode_bytes(name) + b"\x01" + encode_int(field) + b"\x00"
        for name, field in fields
    )
    body = b"\x03\x01" + NAME + b"\x01" + encode_uint(len(fields)) + listed + b"\x00\x00"
    return message(encode_int(-type_id) + body)


def list_type(type_id: int, element: int) -> bytes:
    """The definition of a slice."""
    return message(
        encode_int(-type_id) + b"\x02\x01" + NAME + b"\x01" + encode_int(element) + b"\x00\x00"
    )


def map_type(type_id: int, key: int, element: int) -> bytes:
    """The definition of a map."""
    ids = b"\x01" + encode_int(key) + b"\x01" + encode_int(element)
    return message(encode_int(-type_id) + b"\x04\x01" + NAME + ids + b"\x00\x00")


def value(type_id: int, body: bytes) -> bytes:
    """A value message."""
    return message(encode_int(type_id) + body)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**32, 2**64 - 1])
def test_unsigned_round_trip(number: int) -> None:
    """Unsigned integers read back."""
    assert Reader(encode_uint(number)).unsigned() == number


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 300, -(2**62)])
def test_signed_round_trip(number: int) -> None:
    """Signed integers read back."""
    assert Reader(encode_int(number)).integer() == number


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"\xf7" + b"\xff" * 20, id="an integer of nine bytes"),
        pytest.param(b"\xf8" + b"\xff" * 8, id="a message of 2^64 bytes"),
        pytest.param(b"\x00", id="an empty message"),
        pytest.param(value(64, b"\x00"), id="a value of an unknown type"),
        pytest.param(value(5, b"\x00\x01a"), id="a value of a built-in type"),
        pytest.param(message(encode_int(-5) + b"\x00"), id="a built-in type defined"),
        pytest.param(struct_type(64) * 2, id="a type defined twice"),
        pytest.param(list_type(64, 5) + value(64, b"\x00"), id="a list at the top"),
        pytest.param(struct_type(64, (b"Path", 2)) + value(64, b"\x00"), id="path is a number"),
        pytest.param(struct_type(64, (b"Depth", 6)) + value(64, b"\x00"), id="depth is text"),
        pytest.param(
            struct_type(64, (b"FlippedBits", 65)) + value(64, b"\x00"), id="list type undefined"
        ),
        pytest.param(
            struct_type(64, (b"FlippedBits", 65)) + list_type(65, 6) + value(64, b"\x00"),
            id="list of text",
        ),
        pytest.param(
            struct_type(64, (b"ClosestProof", 5)) + value(64, b"\x00"), id="nested is bytes"
        ),
        pytest.param(struct_type(64, (b"Other", 5)) + value(64, b"\x00"), id="no known field"),
        pytest.param(struct_type(64, (b"Path", 5)) + value(64, b"\x02\x00\x00"), id="field 1 of 1"),
        pytest.param(
            struct_type(64, (b"FlippedBits", 65))
            + list_type(65, 5)
            + value(64, b"\x01\xf8" + b"\xff" * 8),
            id="a list of 2^64 elements",
        ),
        pytest.param(
            struct_type(64, (b"Path", 5), (b"X", 8)) + value(64, b"\x02\x00\x00"),
            id="an interface value",
        ),
        pytest.param(
            struct_type(64, (b"Path", 5), (b"X", 99)) + value(64, b"\x02\x00\x00"),
            id="a field of an undefined type",
        ),
        pytest.param(message(encode_int(-64) + b"\x09\x00"), id="an unknown kind of type"),
        pytest.param(message(encode_int(-64) + b"\x03\x00\x01\x00\x00"), id="a type of two kinds"),
        pytest.param(struct_type(64)[:1] + b"\xff", id="cut in a definition"),
    ],
)
def test_refused_streams(stream: bytes) -> None:
    """Streams that the chain's decoder refuses are decode errors."""
    with pytest.raises(ProofDecodeError):
        decode_proof(stream)


def test_endless_nesting_is_bounded() -> None:
    """A type that contains itself cannot drive the reader into the ground."""
    types = struct_type(64, (b"Path", 5), (b"X", 65)) + list_type(65, 65)
    with pytest.raises(ProofDecodeError):
        decode_proof(types + value(64, b"\x02" + b"\x01" * 100_000))


def test_unknown_fields_are_skipped() -> None:
    """Fields that a proof does not know are passed, whatever their type, and order is free."""
    stream = (
        struct_type(
            64,
            (b"Flag", 1),
            (b"Real", 4),
            (b"Complex", 7),
            (b"Text", 6),
            (b"Listed", 65),
            (b"Mapped", 66),
            (b"Nested", 67),
            (b"Depth", 5),
            (b"Path", 5),
        )
        + list_type(65, 2)
        + map_type(66, 6, 2)
        + struct_type(67, (b"A", 2), (b"B", 5))
        + value(
            64,
            b"\x01\x01"
            b"\x01\xfe\xf0\x3f"
            b"\x01\x01\x02"
            b"\x01\x02hi"
            b"\x01\x02\x04\x06"
            b"\x01\x01\x01k\x02"
            b"\x01\x02\x01b\x00"
            b"\x01\x01\x07"
            b"\x01\x03abc"
            b"\x00",
        )
    )
    proof = decode_proof(stream)
    assert proof.depth == b"\x07"
    assert proof.path == b"abc"
    assert proof.closest_proof is None


def test_empty_bytes_are_absent() -> None:
    """A field that is written with no bytes reads as one that was left out."""
    stream = struct_type(64, (b"Path", 5), (b"ClosestValueHash", 5)) + value(
        64, b"\x01\x00\x01\x00\x00"
    )
    assert decode_proof(stream).closest_value_hash is None


def test_every_cut_is_refused() -> None:
    """A stream cut anywhere is a decode error."""
    trie = Trie()
    for number in range(5):
        trie.update(bytes((number,)), b"value", 1)
    data = encode_proof(trie.prove_closest(bytes(32)).compact())
    for length in range(len(data)):
        with pytest.raises(ProofDecodeError):
            decode_proof(data[:length])
