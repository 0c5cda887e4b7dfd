"""Spans in OTLP's protobuf form, as OpenTelemetry's own messages write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from relayminer.telemetry.spans import TEXT_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.telemetry.spans import Span, Value

_TIME_MAX: Final = (1 << 64) - 1
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1


def otlp_span(span: Span) -> OtlpSpan:
    """A span as its message."""
    status = Status(code=Status.STATUS_CODE_ERROR, message=_text(span.error))
    return OtlpSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        name=_text(span.name),
        kind=cast("OtlpSpan.SpanKind.ValueType", span.kind),
        start_time_unix_nano=_time(span.start_ns),
        end_time_unix_nano=_time(span.end_ns),
        attributes=_attributes(span.attributes),
        events=[
            OtlpSpan.Event(
                time_unix_nano=_time(event.time_ns),
                name=_text(event.name),
                attributes=_attributes(event.attributes),
            )
            for event in span.events
        ],
        links=[OtlpSpan.Link(trace_id=one.trace_id, span_id=one.span_id) for one in span.links],
        status=status if span.error else None,
    )


def encode_request(resource: Mapping[str, Value], scope: str, spans: Sequence[OtlpSpan]) -> bytes:
    """What is posted to a collector.

    Args:
        resource: what all spans have in common.
        scope: who made them.
        spans: of `otlp_span`.
    """
    in_scope = ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)
    about = Resource(attributes=_attributes(resource))
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=about, scope_spans=[in_scope])]
    )
    return request.SerializeToString()


def refused_spans(body: bytes) -> tuple[int, str]:
    """How many spans a collector that said yes has not taken, and its reason."""
    try:
        partly = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        # Some answer in JSON, or with nothing at all: the status is what counts.
        return 0, ""
    refused = max(0, partly.rejected_spans)
    # With none of them refused the text is advice to whoever runs the collector.
    return refused, partly.error_message[:TEXT_MAX] if refused else ""


def _attributes(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=_text(name), value=_any(value)) for name, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_text(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=min(max(_INT_MIN, value), _INT_MAX))
    return AnyValue(double_value=value)


def _text(text: str) -> str:
    """Without what UTF-8 cannot say: lone surrogates."""
    return text.encode(errors="replace").decode()


def _time(nanoseconds: int) -> int:
    # A log entry's time is what its writer says: no nonsense may stop the sender.
    return min(max(0, nanoseconds), _TIME_MAX)
