"""What is written is what OpenTelemetry's own library reads."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as TheirSpan

from relayminer.insight.otlp import encode_request, otlp_span
from relayminer.telemetry.spans import Event, Link, Span, TraceName, child
from tests.tracing.collector import read_attributes, read_spans

TEXTS = st.text(max_size=300).map(lambda text: text.encode(errors="replace").decode())
ATTRIBUTES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXTS,
    TEXTS
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=4,
)
TIMES = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=8, max_size=16)
SPANS = st.builds(
    Span,
    trace_id=IDS,
    span_id=IDS,
    parent_id=st.just(b"") | IDS,
    name=TEXTS,
    kind=st.integers(1, 5),
    start_ns=TIMES,
    end_ns=TIMES,
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(Event, TEXTS, TIMES, ATTRIBUTES), max_size=3).map(tuple),
    links=st.lists(st.builds(Link, IDS, IDS), max_size=2).map(tuple),
    error=TEXTS,
)


@given(SPANS)
def test_a_span_is_read_as_it_was_meant(span: Span) -> None:
    """Every field, in every size."""
    theirs = TheirSpan.FromString(otlp_span(span).SerializeToString())
    assert theirs.trace_id == span.trace_id
    assert theirs.span_id == span.span_id
    assert theirs.parent_span_id == span.parent_id
    assert (theirs.name, theirs.kind) == (span.name, span.kind)
    assert theirs.start_time_unix_nano == span.start_ns
    assert theirs.end_time_unix_nano == span.end_ns
    assert read_attributes(theirs.attributes) == span.attributes
    assert [
        Event(one.name, one.time_unix_nano, read_attributes(one.attributes))
        for one in theirs.events
    ] == list(span.events)
    assert [Link(one.trace_id, one.span_id) for one in theirs.links] == list(span.links)
    assert (theirs.status.code, theirs.status.message) == (2 if span.error else 0, span.error)
    known = ParseDict(MessageToDict(theirs), TheirSpan())
    assert known.ByteSize() == theirs.ByteSize()


@given(st.lists(SPANS, max_size=5), ATTRIBUTES)
def test_a_request_holds_its_spans_and_their_resource(
    spans: list[Span], resource: dict[str, Any]
) -> None:
    """All of them, in order."""
    seen = read_spans(encode_request(resource, "relayminer", [otlp_span(one) for one in spans]))
    assert [one.name for one in seen] == [one.name for one in spans]
    assert all(one.resource == resource for one in seen)


def test_numbers_that_do_not_fit_stop_nobody() -> None:
    """Times before 1970, or beyond what the form can say: as near as it gets."""
    name = TraceName(b"\1" * 32)
    theirs = otlp_span(child(name, "x", -5, 1 << 70, {"units": 1 << 70}))
    assert theirs.start_time_unix_nano == 0
    assert theirs.end_time_unix_nano == (1 << 64) - 1
    assert read_attributes(theirs.attributes) == {"units": (1 << 63) - 1}


def test_no_id_is_made_of_zeros() -> None:
    """Which would be none; a hash below a hard target begins with many of them."""
    name = TraceName(b"\0" * 32)
    assert any(name.trace_id)
    assert any(name.root_id)
    assert TraceName(b"\0" * 8 + b"\1" * 24).trace_id == b"\0" * 8 + b"\1" * 8
