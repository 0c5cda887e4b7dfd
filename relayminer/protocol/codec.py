"""Messages from and to bytes by the rules of the chain's marshaler (gogoproto), not protobuf's.

Where the two differ, hashes and signatures would: the chain drops unknown fields, refuses a known
field of another wire type, always writes the messages that are marked `nullable = false` in the
.proto files, and sorts maps. The usual input is canonical already: then the C parser's work and
one comparison are all that is done. Anything else is rewritten field by field first.

Source: `poktroll: x/service/types/relay.pb.go` and its like.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from attrs import define, frozen
from cosmpy.protos.gogoproto import gogo_pb2
from google.protobuf import message as protobuf
from google.protobuf.descriptor import FieldDescriptor

from relayminer.protocol.errors import DecodeError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

OUR_FILES = "relayminer/protocol/pb/"
# Input that is not canonical is walked in Python: a named limit keeps hostile input cheap.
MAX_REWRITTEN_FIELDS = 4096
MAX_VARINT_BYTES = 10

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
    FieldDescriptor.TYPE_STRING: LENGTH,
    FieldDescriptor.TYPE_BYTES: LENGTH,
    FieldDescriptor.TYPE_MESSAGE: LENGTH,
}

MessageType = TypeVar("MessageType", bound=protobuf.Message)


def decode(message_type: type[MessageType], data: bytes) -> MessageType:
    """Decode `data` as the chain does; the result carries no unknown fields.

    Raises:
        DecodeError: truncated input, a known field of another wire type, field number 0, groups
            that do not match, or more than `MAX_REWRITTEN_FIELDS` fields in unusual input.
    """
    message = message_type()
    try:
        message.ParseFromString(data)
        message.DiscardUnknownFields()  # type: ignore[attr-defined]  # not in the stubs
        canonical = message.SerializeToString(deterministic=True) == data
    except protobuf.DecodeError:
        canonical = False
    if not canonical:
        message = _decode_unusual(message_type, data)
    shape = _shape(message_type.DESCRIPTOR)
    if shape is not None:
        shape.fill(message)
    return message


def encode(message: protobuf.Message) -> bytes:
    """Encode `message` as the chain does, without its unknown fields; it is left as it was."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()  # type: ignore[attr-defined]  # not in the stubs
    shape = _shape(message.DESCRIPTOR)
    if shape is not None:
        shape.fill(copy)
        shape.drop_empty(copy)
    data = copy.SerializeToString(deterministic=True)
    if shape is not None and shape.has_number_maps:
        # The C library sorts maps by text key upwards and by number downwards.
        return _Rewriter(data, len(data), sorts_maps=True).message(copy.DESCRIPTOR, 0, len(data))
    return data


def _decode_unusual(message_type: type[MessageType], data: bytes) -> MessageType:
    rewritten = _Rewriter(data).message(message_type.DESCRIPTOR, 0, len(data))
    try:
        message = message_type()
        message.ParseFromString(rewritten)
    except protobuf.DecodeError as error:
        raise DecodeError(f"{message_type.DESCRIPTOR.name}: {error}") from error
    return message


@frozen
class _Shape:
    """Where a message type departs from what protobuf itself would write.

    Attributes:
        always: singular message fields that are written even when unset.
        explicit: scalar fields with presence, written only when they are not empty.
        below: fields whose messages depart themselves: name, is repeated, is map, their shape.
        has_number_maps: a map with numbers for keys is in it, at any depth.
    """

    always: tuple[str, ...]
    explicit: tuple[str, ...]
    below: tuple[tuple[str, bool, bool, _Shape], ...]
    has_number_maps: bool

    def fill(self, message: protobuf.Message) -> None:
        """Set what is always written, at every depth."""
        for name in self.always:
            getattr(message, name).SetInParent()
        for child, shape in self._children(message):
            shape.fill(child)

    def drop_empty(self, message: protobuf.Message) -> None:
        """Clear scalar fields that are present and empty, at every depth."""
        for name in self.explicit:
            if not getattr(message, name):
                message.ClearField(name)
        for child, shape in self._children(message):
            shape.drop_empty(child)

    def _children(self, message: protobuf.Message) -> list[tuple[protobuf.Message, _Shape]]:
        children: list[tuple[protobuf.Message, _Shape]] = []
        for name, is_repeated, is_map, shape in self.below:
            if is_map:
                children += [(child, shape) for child in getattr(message, name).values()]
            elif is_repeated:
                children += [(child, shape) for child in getattr(message, name)]
            elif message.HasField(name):
                children.append((getattr(message, name), shape))
        return children


@cache  # one entry per message type: the .proto files bound it
def _shape(descriptor: Descriptor) -> _Shape | None:
    """The departures of a message type, None when it has none at any depth."""
    if not descriptor.file.name.startswith(OUR_FILES):
        return None
    always: list[str] = []
    explicit: list[str] = []
    below: list[tuple[str, bool, bool, _Shape]] = []
    has_number_maps = False
    for field in descriptor.fields:
        target = field.message_type
        if target is None:
            if field.has_presence and field.containing_oneof is None:
                explicit.append(field.name)
            continue
        is_repeated = field.label == FieldDescriptor.LABEL_REPEATED
        # Absent means nullable; nobody writes the option to say true.
        if not is_repeated and field.GetOptions().HasExtension(gogo_pb2.nullable):
            always.append(field.name)
        is_map = target.GetOptions().map_entry
        if is_map:
            has_number_maps |= _is_number_map(target)
            target = target.fields_by_name["value"].message_type
        shape = _shape(target) if target is not None else None
        if shape is not None:
            below.append((field.name, is_repeated, is_map, shape))
            has_number_maps |= shape.has_number_maps
    if not (always or explicit or below or has_number_maps):
        return None
    return _Shape(tuple(always), tuple(explicit), tuple(below), has_number_maps)


def _is_number_map(entry: Descriptor) -> bool:
    """Whether `entry` is the entry type of a map with numbers for keys."""
    is_map: bool = entry.GetOptions().map_entry
    return is_map and _WIRE_TYPES.get(entry.fields_by_name["key"].type, VARINT) == VARINT


@cache  # one entry per message type: the .proto files bound it
def _fields(descriptor: Descriptor) -> dict[int, tuple[int, Descriptor | None]]:
    """Wire type and, for messages, the type of each known field number."""
    return {
        field.number: (_WIRE_TYPES.get(field.type, VARINT), field.message_type)
        for field in descriptor.fields
    }


@define
class _Rewriter:
    """Writes unusual input again: known fields only, shortest varints, in the order of the input.

    Merging and "last one wins" stay the parser's job.

    Attributes:
        data: the input.
        fields_left: how many more fields may come.
        sorts_maps: entries of maps with numbers for keys go in ascending order.
    """

    data: bytes
    fields_left: int = MAX_REWRITTEN_FIELDS
    sorts_maps: bool = False

    def message(self, descriptor: Descriptor, position: int, end: int) -> bytes:
        """Rewrite the message of type `descriptor` in `data[position:end]`."""
        known = _fields(descriptor)
        out = bytearray()
        entries: list[tuple[int, int, bytes]] = []
        while position < end:
            tag, after_tag = self._varint(position, end)
            number, wire_type = _int32(tag >> 3), tag & 7
            if wire_type == END_GROUP or number <= 0:
                raise DecodeError(f"{descriptor.name}: illegal tag {number} ({wire_type})")
            field = known.get(number)
            if field is None:
                position = self._skip(position, end)
                continue
            self._count()
            expected, child = field
            if wire_type != expected:
                raise DecodeError(f"{descriptor.name}: wrong wire type {wire_type} of {number}")
            start = len(out)
            out += write_varint(number << 3 | wire_type)
            position = self._value(out, child, wire_type, after_tag, end)
            if self.sorts_maps and child is not None and _is_number_map(child):
                entries.append((start, self._map_key(after_tag, end), bytes(out[start:])))
        if len(entries) > 1:
            # Encoded messages have the entries of a map side by side.
            first = entries[0][0]
            length = sum(len(entry) for _, _, entry in entries)
            ordered = sorted(entries, key=lambda each: each[1])
            out[first : first + length] = b"".join(entry for _, _, entry in ordered)
        return bytes(out)

    def _map_key(self, position: int, end: int) -> int:
        """The number that is the key of the encoded map entry at `position`."""
        _, position = self._varint(position, end)
        return self._varint(position + 1, end)[0]

    def _value(
        self, out: bytearray, child: Descriptor | None, wire_type: int, position: int, end: int
    ) -> int:
        """Append one value to `out`; returns the position behind it in the input."""
        if wire_type == VARINT:
            value, position = self._varint(position, end)
            out += write_varint(value)
            return position
        if wire_type == LENGTH:
            length, position = self._varint(position, end)
            stop = position + length
            if stop > end:
                raise DecodeError("unexpected end of input")
            value_bytes = self.data[position:stop]
            if child is not None:
                value_bytes = self.message(child, position, stop)
            out += write_varint(len(value_bytes))
            out += value_bytes
            return stop
        stop = position + (8 if wire_type == FIXED64 else 4)
        if stop > end:
            raise DecodeError("unexpected end of input")
        out += self.data[position:stop]
        return stop

    def _skip(self, position: int, end: int) -> int:
        """The position behind the unknown field at `position`, nested groups and all."""
        depth = 0
        while position < end:
            self._count()
            tag, position = self._varint(position, end)
            wire_type = tag & 7
            if wire_type == VARINT:
                _, position = self._varint(position, end)
            elif wire_type == FIXED64:
                position += 8
            elif wire_type == LENGTH:
                length, position = self._varint(position, end)
                position += length
            elif wire_type == START_GROUP:
                depth += 1
            elif wire_type == END_GROUP:
                depth -= 1
            elif wire_type == FIXED32:
                position += 4
            else:
                raise DecodeError(f"illegal wire type {wire_type}")
            if depth == 0:
                if position > end:
                    break
                return position
        raise DecodeError("unexpected end of input")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A varint of at most 10 bytes, modulo 2^64 as Go reads it, and the position behind it."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            if position >= end:
                raise DecodeError("unexpected end of input")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:  # noqa: PLR2004  # the continuation bit
                return value & 0xFFFF_FFFF_FFFF_FFFF, position
        raise DecodeError("integer overflow")

    def _count(self) -> None:
        self.fields_left -= 1
        if self.fields_left < 0:
            raise DecodeError(f"more than {MAX_REWRITTEN_FIELDS} fields in unusual encoding")


def write_varint(value: int) -> bytes:
    """The shortest varint of a non-negative `value`."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits to a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int32(value: int) -> int:
    """The low 32 bits of `value` as Go's int32: field numbers wrap."""
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value
