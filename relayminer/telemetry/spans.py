"""Spans: how the trace of a relay is named, and where its spans wait until they are sent.

The relayer and the miner of a relay are different processes, and neither tells the other anything
about tracing: both name the trace by the relay's hash, which both know. The hash also says whether
a relay is traced at all, so both decide alike, and a span that is made twice (an entry read again
after a crash) is the same span.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import trio
from attrs import field, frozen

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8
BATCH_SPANS: Final = 256
"""So many are sent together, and wake their sender."""
TEXT_MAX: Final = 256
"""Characters of a text in a span: whoever sends a relay chooses some of them."""
_CHOICES: Final = 1 << 64

INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

Value = str | bool | int | float
Attributes = dict[str, Value]


class TraceName:
    """What a trace and its spans are called.

    Args:
        digest: 32 bytes: the relay hash, or the hash of the request of a relay that has none.
    """

    __slots__ = ("digest", "root_id", "trace_id")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.trace_id = _named(digest[:TRACE_ID_BYTES])
        self.root_id = _named(digest[TRACE_ID_BYTES : TRACE_ID_BYTES + SPAN_ID_BYTES])

    def span_id(self, name: str) -> bytes:
        """Of a span below the root; `name` is its own within the trace."""
        return _named(sha256(self.digest + name.encode()).digest()[:SPAN_ID_BYTES])


def _named(id_bytes: bytes) -> bytes:
    """An id of zeros is none."""
    return id_bytes if any(id_bytes) else b"\1" * len(id_bytes)


@frozen
class Event:
    """Something that happened during a span."""

    name: str
    time_ns: int
    attributes: Attributes = field(factory=dict)


@frozen
class Link:
    """A span of another trace: 16 and 8 bytes."""

    trace_id: bytes
    span_id: bytes


@frozen(kw_only=True)
class Span:
    """A part of a relay's life.

    Attributes:
        parent_id: empty for a root.
        start_ns: nanoseconds since 1970, as all times here.
        error: why it went wrong; empty when it did not.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    error: str = ""


def child(
    trace: TraceName,
    name: str,
    start_ns: int,
    end_ns: int,
    attributes: Attributes,
    *,
    mark: str = "",
    parent_id: bytes = b"",
    kind: int = INTERNAL,
    events: tuple[Event, ...] = (),
    error: str = "",
) -> Span:
    """A span below the root, or below another span; `mark` tells it from others of its name."""
    return Span(
        trace_id=trace.trace_id,
        span_id=trace.span_id(name + mark),
        parent_id=parent_id or trace.root_id,
        name=name,
        kind=kind,
        start_ns=min(start_ns, end_ns),
        end_ns=end_ns,
        attributes=attributes,
        events=events,
        error=error,
    )


def clipped(text: str) -> str:
    """A text of bearable length."""
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX]


class Traces:
    """Says which relays are traced, and keeps spans until they are sent.

    Args:
        ratio: share of relays, 0 to 1.
        max_spans: that wait; when there are more, the oldest are dropped and counted.
        metrics: where that is told.
    """

    def __init__(self, ratio: float, max_spans: int, metrics: Metrics) -> None:
        self._below = int(ratio * _CHOICES)
        self._max_spans = max_spans
        self._waiting: deque[Span] = deque()
        self._enough = trio.Event()
        self.results = metrics.counter(
            "relayminer_trace_spans", "Spans, by what became of them", ("result",)
        )
        self._no_room = self.results.bind("no_room")
        waiting = metrics.gauge("relayminer_trace_spans_waiting", "Spans to be sent").bind()
        waiting.read = lambda: len(self._waiting)

    def takes(self, digest: bytes) -> bool:
        """Whether the relay of this hash is traced; the same in every process."""
        return int.from_bytes(digest[-8:]) < self._below

    def add(self, *spans: Span) -> None:
        """Have them sent."""
        waiting = self._waiting
        waiting.extend(spans)
        while len(waiting) > self._max_spans:
            waiting.popleft()
            self._no_room.value += 1
        if len(waiting) >= BATCH_SPANS:
            self._enough.set()

    def take(self) -> list[Span]:
        """The oldest, as many as are sent together."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(BATCH_SPANS, len(waiting)))]

    def drop(self) -> int:
        """Forget all that wait; returns how many those were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    async def wait_enough(self, seconds: float) -> None:
        """Return when a batch is together, or after `seconds`."""
        if len(self._waiting) < BATCH_SPANS:
            self._enough = trio.Event()
        with trio.move_on_after(seconds):
            await self._enough.wait()
