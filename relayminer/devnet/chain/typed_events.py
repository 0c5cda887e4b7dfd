"""Typed events as ABCI events: one attribute per field, its value the field as JSON text.

The JSON is that of gogoproto's jsonpb with defaults emitted and original names: 64-bit integers
quoted, 32-bit ones bare, enums by name, bytes in base64, unset sub-messages null, no spaces, and
`<`, `>`, `&` escaped. Source: cosmos-sdk: types/events.go.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from relayminer.devnet.chain.values import Attribute, Event

if TYPE_CHECKING:
    from google.protobuf.message import Message

_QUOTED_INTEGERS = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
_ESCAPES = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"))


def plain_event(event_type: str, *attributes: tuple[str, str]) -> Event:
    """An event with plain text values, in the given order."""
    return Event(event_type, tuple(Attribute(key, value) for key, value in attributes))


def typed_event(message: Message) -> Event:
    """The ABCI event of a typed event message, attributes sorted by key."""
    descriptor = message.DESCRIPTOR
    attributes = sorted(
        (Attribute(each.name, _dump(_field_value(message, each))) for each in descriptor.fields),
        key=lambda attribute: attribute.key,
    )
    return Event(descriptor.full_name, tuple(attributes))


def _dump(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _field_value(message: Message, descriptor: FieldDescriptor) -> Any:
    value = getattr(message, descriptor.name)
    if descriptor.label == FieldDescriptor.LABEL_REPEATED:
        entry = descriptor.message_type
        if entry is not None and entry.GetOptions().map_entry:
            item = entry.fields_by_name["value"]
            return {_key_text(key): _json_value(value[key], item) for key in sorted(value)}
        return [_json_value(each, descriptor) for each in value]
    if descriptor.message_type is not None and not message.HasField(descriptor.name):
        return None
    return _json_value(value, descriptor)


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _json_value(value: Any, descriptor: FieldDescriptor) -> Any:
    if descriptor.message_type is not None:
        return {each.name: _field_value(value, each) for each in descriptor.message_type.fields}
    if descriptor.enum_type is not None:
        named = descriptor.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    if descriptor.type in _QUOTED_INTEGERS:
        return str(value)
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode("ascii")
    return value
