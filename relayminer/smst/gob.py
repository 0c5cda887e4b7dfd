"""As much of Go's `encoding/gob` as a closest proof needs, for input that nobody vouches for.

A stream is a row of length-prefixed messages: type definitions, then a value that names its type.
Reading is bounded by the input: every element of everything takes at least one byte of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from relayminer.smst.errors import ProofDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

INT: Final = 2
BYTES: Final = 5
STRING: Final = 6
COMPLEX: Final = 7
INTERFACE: Final = 8
FIRST_USER_TYPE: Final = 64

# What the input defines can nest without end; what a proof holds nests twice.
MAX_NESTING: Final = 32
MAX_UINT_BYTES: Final = 8
_ONE_BYTE: Final = 0x80


def encode_uint(value: int) -> bytes:
    """One byte below 128, else the negated count of big-endian bytes and those."""
    if value < _ONE_BYTE:
        return bytes((value,))
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes((256 - len(raw),)) + raw


def encode_int(value: int) -> bytes:
    """As an unsigned integer whose lowest bit is the sign."""
    return encode_uint(~value << 1 | 1 if value < 0 else value << 1)


def encode_bytes(value: bytes) -> bytes:
    """Length, then the bytes."""
    return encode_uint(len(value)) + value


class Reader:
    """A cursor over a message; every read past its end raises ProofDecodeError."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.remaining:
            raise ProofDecodeError(f"{count} bytes were announced, {self.remaining} are left")
        start = self._at
        self._at += count
        return self._data[start : self._at]

    def unsigned(self) -> int:
        """An unsigned integer."""
        first = self.take(1)[0]
        if first < _ONE_BYTE:
            return first
        count = 256 - first
        if count > MAX_UINT_BYTES:
            raise ProofDecodeError(f"an integer of {count} bytes")
        return int.from_bytes(self.take(count), "big")

    def integer(self) -> int:
        """A signed integer."""
        value = self.unsigned()
        return ~(value >> 1) if value & 1 else value >> 1

    def byte_string(self) -> bytes:
        """A byte string (or text)."""
        return self.take(self.unsigned())

    def count(self) -> int:
        """The number of elements of a list, which cannot exceed the bytes that are left."""
        count = self.unsigned()
        if count > self.remaining:
            raise ProofDecodeError(f"a list of {count} elements in {self.remaining} bytes")
        return count


@frozen
class RepeatedType:
    """A slice or array (one type id per element) or a map (two: key and value)."""

    elements: tuple[int, ...]


@frozen
class StructType:
    """A struct: names and type ids of its fields, in order."""

    fields: tuple[tuple[str, int], ...]


@frozen
class OpaqueType:
    """A type that encodes itself into bytes."""


WireType = RepeatedType | StructType | OpaqueType
Types = dict[int, WireType]


def read_value_message(data: bytes) -> tuple[Types, int, Reader]:
    """Read definitions up to the first value.

    Returns:
        The types, the value's type id, and a reader at the value. Whatever follows is ignored.

    Raises:
        ProofDecodeError: the stream ends or breaks before there is a value.
    """
    types: Types = {}
    stream = Reader(data)
    while True:
        message = Reader(stream.byte_string())
        type_id = message.integer()
        if type_id >= 0:
            return types, type_id, message
        if -type_id < FIRST_USER_TYPE or -type_id in types:
            raise ProofDecodeError(f"type {-type_id} is defined twice")
        types[-type_id] = _read_wire_type(message)
        if message.remaining:
            raise ProofDecodeError("a type definition is followed by other bytes")


def _read_wire_type(message: Reader) -> WireType:
    kind = message.unsigned()
    wire_type: WireType
    if kind in {1, 2}:
        # An array has its length after its element type; a value carries its own count.
        wire_type = RepeatedType((_read_ids(message, 2 if kind == 1 else 1)[0],))
    elif kind == 3:  # noqa: PLR2004 - the third kind of wire type
        wire_type = StructType(_read_struct_fields(message))
    elif kind == 4:  # noqa: PLR2004 - the fourth
        wire_type = RepeatedType(tuple(_read_ids(message, 2)))
    elif kind in {5, 6, 7}:
        _read_ids(message, 0)
        wire_type = OpaqueType()
    else:
        raise ProofDecodeError(f"a type definition of kind {kind}")
    if message.unsigned() != 0:
        raise ProofDecodeError("a type definition of two kinds")
    return wire_type


def _read_common(message: Reader) -> None:
    """Skip the name and id that every definition starts with."""
    number = -1
    while delta := message.unsigned():
        number += delta
        if number == 0:
            message.byte_string()
        elif number == 1:
            message.integer()
        else:
            raise ProofDecodeError("a type definition has an unknown field")


def _read_ids(message: Reader, count: int) -> list[int]:
    """The integers after the common part of a definition; those left out are 0."""
    values = [0] * (count + 1)
    number = -1
    while delta := message.unsigned():
        number += delta
        if number == 0:
            _read_common(message)
        elif number <= count:
            values[number] = message.integer()
        else:
            raise ProofDecodeError("a type definition has an unknown field")
    return values[1:]


def _read_struct_fields(message: Reader) -> tuple[tuple[str, int], ...]:
    fields: list[tuple[str, int]] = []
    number = -1
    while delta := message.unsigned():
        number += delta
        if number == 0:
            _read_common(message)
        elif number == 1:
            fields = [_read_field(message) for _ in range(message.count())]
        else:
            raise ProofDecodeError("a struct definition has an unknown field")
    return tuple(fields)


def _read_field(message: Reader) -> tuple[str, int]:
    name, type_id = b"", 0
    number = -1
    while delta := message.unsigned():
        number += delta
        if number == 0:
            name = message.byte_string()
        elif number == 1:
            type_id = message.integer()
        else:
            raise ProofDecodeError("a field definition has an unknown field")
    return name.decode("utf-8", "replace"), type_id


def struct_fields(message: Reader, wire_type: StructType) -> Iterator[tuple[str, int]]:
    """Name and type id of each field of a struct value; the reader stands at the field's value.

    Raises:
        ProofDecodeError: a field that the definition does not have.
    """
    number = -1
    while delta := message.unsigned():
        number += delta
        if number >= len(wire_type.fields):
            raise ProofDecodeError("a struct has more fields than its definition")
        yield wire_type.fields[number]


def skip(message: Reader, types: Types, type_id: int, nesting: int = 0) -> None:
    """Pass a value that nobody wants.

    Raises:
        ProofDecodeError: its type is unknown or an interface, or it nests deeper than 32.
    """
    if nesting > MAX_NESTING:
        raise ProofDecodeError(f"values nest deeper than {MAX_NESTING}")
    wire_type = types.get(type_id)
    if type_id in {BYTES, STRING} or isinstance(wire_type, OpaqueType):
        message.byte_string()
    elif 0 < type_id < INTERFACE:
        for _ in range(2 if type_id == COMPLEX else 1):
            message.unsigned()
    elif isinstance(wire_type, RepeatedType):
        for _ in range(message.count()):
            for element in wire_type.elements:
                skip(message, types, element, nesting + 1)
    elif isinstance(wire_type, StructType):
        for _, field_type in struct_fields(message, wire_type):
            skip(message, types, field_type, nesting + 1)
    else:
        raise ProofDecodeError(f"unknown type {type_id}")
