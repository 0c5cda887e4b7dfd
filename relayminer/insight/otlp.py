"""Spans in OTLP's protobuf form, written without its library.

The form is frozen (OTLP 1), a dozen fields of it are used here, and a test reads what is written
with the library's own messages.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.telemetry.spans import Span, Value

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_MORE: Final = 0x80
_TIME_MAX: Final = (1 << 64) - 1
_ERROR: Final = 3 << 3 | _VARINT, 2
"""`Status.code` and its value."""


def encode_span(span: Span) -> bytes:
    """`opentelemetry.proto.trace.v1.Span`."""
    parts = [_field(1, span.trace_id), _field(2, span.span_id)]
    if span.parent_id:
        parts.append(_field(4, span.parent_id))
    parts += [
        _field(5, _text(span.name)),
        _number(6, span.kind),
        _time(7, span.start_ns),
        _time(8, span.end_ns),
    ]
    parts += [_field(9, one) for one in _attributes(span.attributes)]
    for event in span.events:
        about = b"".join(_field(3, one) for one in _attributes(event.attributes))
        parts.append(_field(11, _time(1, event.time_ns) + _field(2, _text(event.name)) + about))
    parts += [_field(13, _field(1, one.trace_id) + _field(2, one.span_id)) for one in span.links]
    if span.error:
        parts.append(_field(15, _field(2, _text(span.error)) + bytes(_ERROR)))
    return b"".join(parts)


def encode_request(resource: Mapping[str, Value], scope: str, spans: Sequence[bytes]) -> bytes:
    """`opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`.

    Args:
        resource: what all spans have in common.
        scope: who made them.
        spans: of `encode_span`.
    """
    about = _field(1, b"".join(_field(1, one) for one in _attributes(resource)))
    made = _field(1, _field(1, _text(scope)))
    in_scope = _field(2, made + b"".join(_field(2, span) for span in spans))
    return _field(1, about + in_scope)


def _attributes(attributes: Mapping[str, Value]) -> list[bytes]:
    """Each as a `KeyValue`."""
    return [
        _field(1, _text(name)) + _field(2, _any_value(value)) for name, value in attributes.items()
    ]


def _any_value(value: Value) -> bytes:
    if isinstance(value, str):
        return _field(1, _text(value))
    if isinstance(value, bool):
        return _number(2, value)
    if isinstance(value, int):
        return _number(3, value)
    return _tag(4, _FIXED64) + struct.pack("<d", value)


def _text(text: str) -> bytes:
    return text.encode(errors="replace")


def _field(number: int, value: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _varint(value)


def _time(number: int, nanoseconds: int) -> bytes:
    # A log entry's time is what its writer says: no nonsense may stop the sender.
    return _tag(number, _FIXED64) + struct.pack("<Q", min(max(0, nanoseconds), _TIME_MAX))


def _tag(number: int, kind: int) -> bytes:
    return bytes((number << 3 | kind,))


def _varint(value: int) -> bytes:
    """Seven bits a byte; a negative number as its two's complement of 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)
