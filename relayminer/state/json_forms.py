"""Chain values as JSON, in the form that Go gives the generated structs (state 1.5.8 to 1.5.10).

It is neither protobuf's JSON nor canonical: 64-bit integers are numbers, enums are integers, an
amount is a string, and what is empty is left out except where a table below says otherwise.
Source: `encoding/json` over the structs of `poktroll: x/*/types/*.pb.go`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from relayminer.protocol.pb import session_pb2, shared_pb2, supplier_pb2
from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError

if TYPE_CHECKING:
    from google.protobuf.message import Message

MessageType = TypeVar("MessageType", bound="Message")

# Fields that Go writes even when they are empty; "*" is every field of the message.
ALWAYS_WRITTEN: Final = {
    "pocket.shared.Params": "*",
    "pocket.supplier.Params": "*",
    "pocket.application.Application": "pending_undelegations",
    "cosmos.base.v1beta1.Coin": "amount",
}


def session_json(session: session_pb2.Session) -> bytes:
    """A session as the session cache holds it (1.5.8)."""
    return message_json(session)


def parse_session(data: bytes) -> session_pb2.Session:
    """The session in `data`; raises UnreadableValueError."""
    return parse_message(session_pb2.Session, data)


def shared_params_json(params: shared_pb2.Params) -> bytes:
    """Shared parameters as the cache of parameters at a height holds them (1.5.9)."""
    return message_json(params)


def parse_shared_params(data: bytes) -> shared_pb2.Params:
    """The parameters in `data`; raises UnreadableValueError."""
    return parse_message(shared_pb2.Params, data)


def supplier_params_json(params: supplier_pb2.Params) -> bytes:
    """Supplier parameters as their cache holds them (1.5.10)."""
    return message_json(params)


def parse_supplier_params(data: bytes) -> supplier_pb2.Params:
    """The parameters in `data`; raises UnreadableValueError."""
    return parse_message(supplier_pb2.Params, data)


def message_json(message: Message) -> bytes:
    """Any message of the chain in this form."""
    return gojson.dumps(_object(message))


def parse_message(kind: type[MessageType], data: bytes) -> MessageType:
    """A message of type `kind` from this form; unknown names are ignored, as Go does.

    Raises:
        UnreadableValueError: not JSON, or a value of another type than its field's.
    """
    message = kind()
    try:
        _fill(message, gojson.loads_object(data))
    except (TypeError, ValueError, AttributeError) as error:
        raise UnreadableValueError(f"not a {kind.DESCRIPTOR.full_name}: {error}") from error
    return message


def _object(message: Message) -> dict[str, Any]:
    always = ALWAYS_WRITTEN.get(message.DESCRIPTOR.full_name, "")
    result: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = _value(message, field)
        if value or always in {"*", field.name}:
            result[field.name] = value
    return result


def _value(message: Message, field: FieldDescriptor) -> Any:
    """The field's value for JSON; None, zero or an empty text when it is empty."""
    value = getattr(message, field.name)
    if _is_map(field):
        return {str(key): _single(value[key]) for key in sorted(value, key=str)} or None
    if field.label == FieldDescriptor.LABEL_REPEATED:
        return [_single(item) for item in value] or None
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        # A present message is written even when it is empty itself, so it must count as a value.
        return _Present(_object(value)) if message.HasField(field.name) else None
    return _single(value)


class _Present(dict[str, Any]):
    """An object that is true even when it is empty."""

    def __bool__(self) -> bool:
        return True


def _single(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return _object(value) if hasattr(value, "DESCRIPTOR") else value


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return bool(kind is not None and kind.GetOptions().map_entry)


def _fill(message: Message, values: dict[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        value = values.get(field.name)
        if value is None:
            continue
        if _is_map(field):
            target = getattr(message, field.name)
            for key, item in value.items():
                _fill(target[int(key)], item)
        elif field.label == FieldDescriptor.LABEL_REPEATED:
            target = getattr(message, field.name)
            for item in value:
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    _fill(target.add(), item)
                else:
                    target.append(item)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            target = getattr(message, field.name)
            target.SetInParent()
            _fill(target, value)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, field.name, base64.b64decode(value))
        else:
            setattr(message, field.name, value)
