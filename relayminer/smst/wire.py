"""`MsgSubmitProof.proof`: the gob stream of a compact closest proof.

Written with exactly the type ids that the reference produces (64 to 66); read with whatever ids
and field order the stream defines, as the chain does (`smt: proofs.go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from relayminer.smst import gob
from relayminer.smst.errors import ProofDecodeError
from relayminer.smst.proof import CompactClosestProof, CompactMerkleProof

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["bytes", "list", "int", "struct"]

# Names as the stream carries them, in the order in which they are written.
_CLOSEST_FIELDS: Final[Mapping[str, Kind]] = {
    "Path": "bytes",
    "FlippedBits": "list",
    "Depth": "bytes",
    "ClosestPath": "bytes",
    "ClosestValueHash": "bytes",
    "ClosestProof": "struct",
}
_MERKLE_FIELDS: Final[Mapping[str, Kind]] = {
    "SideNodes": "list",
    "NonMembershipLeafData": "bytes",
    "BitMask": "bytes",
    "NumSideNodes": "int",
    "SiblingData": "bytes",
}

_CLOSEST_TYPE: Final = 64
_LIST_TYPE: Final = 65
_MERKLE_TYPE: Final = 66


def _struct_definition(type_id: int, name: bytes, fields: Mapping[str, Kind]) -> bytes:
    """The message that defines a struct type."""
    ids = {"bytes": gob.BYTES, "list": _LIST_TYPE, "int": gob.INT, "struct": _MERKLE_TYPE}
    listed = b"".join(
        b"\x01" + gob.encode_bytes(field.encode()) + b"\x01" + gob.encode_int(ids[kind]) + b"\x00"
        for field, kind in fields.items()
    )
    common = b"\x01" + gob.encode_bytes(name) + b"\x01" + gob.encode_int(type_id) + b"\x00"
    body = b"\x03\x01" + common + b"\x01" + gob.encode_uint(len(fields)) + listed + b"\x00\x00"
    return gob.encode_bytes(gob.encode_int(-type_id) + body)


def _list_definition() -> bytes:
    """The message that defines the list of byte strings."""
    common = (
        b"\x01" + gob.encode_bytes(b"[][]uint8") + b"\x01" + gob.encode_int(_LIST_TYPE) + b"\x00"
    )
    body = b"\x02\x01" + common + b"\x01" + gob.encode_int(gob.BYTES) + b"\x00\x00"
    return gob.encode_bytes(gob.encode_int(-_LIST_TYPE) + body)


DEFINITIONS: Final = (
    _struct_definition(_CLOSEST_TYPE, b"SparseCompactMerkleClosestProof", _CLOSEST_FIELDS)
    + _list_definition()
    + _struct_definition(_MERKLE_TYPE, b"SparseCompactMerkleProof", _MERKLE_FIELDS)
)


def encode_proof(proof: CompactClosestProof) -> bytes:
    """The bytes of `MsgSubmitProof.proof`, equal to the reference's."""
    inner = proof.closest_proof
    nested = None
    if inner is not None:
        nested = _struct(
            _list(inner.side_nodes),
            _bytes(inner.non_membership_leaf_data),
            _bytes(inner.bit_mask),
            gob.encode_int(inner.num_side_nodes) if inner.num_side_nodes else None,
            _bytes(inner.sibling_data),
        )
    body = _struct(
        _bytes(proof.path),
        _list(proof.flipped_bits),
        _bytes(proof.depth),
        _bytes(proof.closest_path),
        _bytes(proof.closest_value_hash),
        nested,
    )
    return DEFINITIONS + gob.encode_bytes(gob.encode_int(_CLOSEST_TYPE) + body)


def _struct(*fields: bytes | None) -> bytes:
    """Each field that is there, after the distance from the one before; then the end mark."""
    parts: list[bytes] = []
    delta = 1
    for field in fields:
        if field is None:
            delta += 1
        else:
            parts.extend((bytes((delta,)), field))
            delta = 1
    return b"".join(parts) + b"\x00"


def _bytes(value: bytes | None) -> bytes | None:
    return gob.encode_bytes(value) if value else None


def _list(values: tuple[bytes, ...]) -> bytes | None:
    if not values:
        return None
    return gob.encode_uint(len(values)) + b"".join(gob.encode_bytes(value) for value in values)


class _Values:
    """What a struct of the stream held, by field name."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.lists: dict[str, tuple[bytes, ...]] = {}
        self.ints: dict[str, int] = {}
        self.structs: dict[str, _Values] = {}


def decode_proof(data: bytes) -> CompactClosestProof:
    """Read a compact closest proof from the bytes of a `MsgSubmitProof.proof`.

    Other type ids, unknown fields and bytes after the value are tolerated, as on chain.

    Raises:
        ProofDecodeError: the bytes are no such stream.
    """
    types, type_id, message = gob.read_value_message(data)
    values = _read_struct(message, types, type_id, _CLOSEST_FIELDS)
    nested = values.structs.get("ClosestProof")
    return CompactClosestProof(
        path=values.raw.get("Path", b""),
        flipped_bits=values.lists.get("FlippedBits", ()),
        depth=values.raw.get("Depth", b""),
        closest_path=values.raw.get("ClosestPath", b""),
        closest_value_hash=values.raw.get("ClosestValueHash"),
        closest_proof=None if nested is None else _merkle_proof(nested),
    )


def _merkle_proof(values: _Values) -> CompactMerkleProof:
    return CompactMerkleProof(
        side_nodes=values.lists.get("SideNodes", ()),
        bit_mask=values.raw.get("BitMask", b""),
        num_side_nodes=values.ints.get("NumSideNodes", 0),
        sibling_data=values.raw.get("SiblingData"),
        non_membership_leaf_data=values.raw.get("NonMembershipLeafData"),
    )


def _read_struct(
    message: gob.Reader, types: gob.Types, type_id: int, wanted: Mapping[str, Kind]
) -> _Values:
    wire_type = types.get(type_id)
    if not isinstance(wire_type, gob.StructType):
        raise ProofDecodeError(f"type {type_id} is no struct")
    _check_fields(wire_type, types, wanted)
    values = _Values()
    for name, field_type in gob.struct_fields(message, wire_type):
        match wanted.get(name):
            case "bytes":
                # Zero bytes leave the field as absent as when it is not written.
                if raw := message.byte_string():
                    values.raw[name] = raw
            case "list":
                values.lists[name] = tuple(message.byte_string() for _ in range(message.count()))
            case "int":
                values.ints[name] = message.integer()
            case "struct":
                values.structs[name] = _read_struct(message, types, field_type, _MERKLE_FIELDS)
            case None:
                gob.skip(message, types, field_type)
    return values


def _check_fields(wire_type: gob.StructType, types: gob.Types, wanted: Mapping[str, Kind]) -> None:
    """Every field that has a known name must have that field's type; one at least must."""
    known = 0
    for name, type_id in wire_type.fields:
        kind = wanted.get(name)
        if kind is None:
            continue
        known += 1
        if kind == "list":
            fits = types.get(type_id) == gob.RepeatedType((gob.BYTES,))
        elif kind == "struct":
            fits = isinstance(types.get(type_id), gob.StructType)
        else:
            fits = type_id == (gob.BYTES if kind == "bytes" else gob.INT)
        if not fits:
            raise ProofDecodeError(f"field {name} has type {type_id}, which does not fit")
    if wire_type.fields and not known:
        raise ProofDecodeError("no field of the struct is known")
