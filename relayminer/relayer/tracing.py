"""What the relayer tells of a traced relay: one span for the relay, one below it for each stage.

Whether a relay is traced is known when its hash is, at the end of its way (`telemetry.spans`). So
with tracing on every relay keeps its stages' times, and spans are made of them when it was both
answered and decided upon: logged, or not and why. `stages.py` takes the times.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import trio

from relayminer.telemetry.spans import (
    SERVER,
    Attributes,
    Link,
    Span,
    TraceName,
    Traces,
    child,
    clipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.net.http1 import Headers
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.routes import Route

MINED: Final = "mined"
HASHED_BYTES: Final = 65_536
"""Of a request that is refused: its ring signature, which no other has, comes first."""
STAGES_MAX: Final = 32
NANOSECONDS: Final = 1_000_000_000

_TRACEPARENT: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.{0,73})?"
)
_NO_VERSION: Final = b"ff"
_FIRST_VERSION: Final = b"00"


class Stage:
    """A stage that a relay went through; Trio times."""

    __slots__ = ("attributes", "began_at", "ended_at", "error", "kind", "name")

    def __init__(
        self, name: str, began_at: float, *, error: str, kind: int, attributes: Attributes
    ) -> None:
        self.name = name
        self.began_at = began_at
        self.ended_at = trio.current_time()
        self.error = error
        self.kind = kind
        self.attributes = attributes


class RelayTrace:
    """Of one relay, or of one answer more to the same request.

    Attributes:
        began_at: Trio time.
        is_message: of a conversation: nobody tells when it is answered.
        is_push: an answer that was not asked for by a request of its own.
        relay_hash: 32 bytes, once request and answer are known.
        answered_at: Trio time; 0 before.
        fate: `MINED`, or why it is not mined; empty before that is known.
        status: of the backend; 0 without.
    """

    __slots__ = (
        "answered_at",
        "began_at",
        "fate",
        "is_message",
        "is_push",
        "is_told",
        "relay_hash",
        "stages",
        "status",
    )

    def __init__(self, began_at: float, *, is_message: bool, is_push: bool = False) -> None:
        self.began_at = began_at
        self.is_message = is_message
        self.is_push = is_push
        self.relay_hash: bytes | None = None
        self.answered_at = 0.0
        self.fate = ""
        self.status = 0
        self.is_told = False
        self.stages: list[Stage] = []

    def went_through(
        self, name: str, began_at: float, error: str = "", kind: int = 1, **attributes: str | int
    ) -> None:
        """A stage has ended."""
        if len(self.stages) < STAGES_MAX:
            stage = Stage(name, began_at, error=error, kind=kind, attributes={**attributes})
            self.stages.append(stage)


class RelayTracer:
    """Makes spans of relays.

    Args:
        traces: which relays, and where spans go.
        wall_clock_ns: nanoseconds since 1970.
    """

    def __init__(self, traces: Traces, wall_clock_ns: Callable[[], int]) -> None:
        self._traces = traces
        self._wall_clock_ns = wall_clock_ns

    def answered(self, relay: Relay) -> None:
        """The answer is on its way to the client."""
        trace = relay.trace
        if trace is not None:
            trace.answered_at = trio.current_time()
            self._tell_if_over(relay, trace)

    def decided(self, relay: Relay, fate: str) -> None:
        """Whether it is mined is known; what comes first counts."""
        trace = relay.trace
        if trace is not None and not trace.fate:
            trace.fate = fate
            if trace.is_message:
                trace.answered_at = trio.current_time()
            self._tell_if_over(relay, trace)

    def refused(
        self, request: bytes, relay: Relay | None, reason: str, route: Route | None = None
    ) -> None:
        """It is not served.

        Args:
            request: as it came.
            relay: if it came so far as to be one.
            reason: as `relays_rejected_total` calls it.
            route: where it would have gone, of a message that is no relay.
        """
        trace = None if relay is None else relay.trace
        if trace is None:
            trace = RelayTrace(trio.current_time(), is_message=False)
            if relay is not None:
                trace.began_at = relay.arrived_at
        if trace.is_told:
            return
        digest = trace.relay_hash or sha256(request[:HASHED_BYTES]).digest()
        self._end_early(digest, relay, route, trace, reason)

    def broken(self, relay: Relay, reason: str) -> None:
        """Its answer was begun, and not sent to its end."""
        trace = relay.trace
        if trace is not None and not trace.is_told:
            digest = trace.relay_hash or _request_hash(relay)
            self._end_early(digest, relay, relay.route, trace, reason)

    def _end_early(
        self,
        digest: bytes,
        relay: Relay | None,
        route: Route | None,
        trace: RelayTrace,
        reason: str,
    ) -> None:
        trace.answered_at = trio.current_time()
        trace.fate = trace.fate or reason
        self._tell(digest, relay, route if relay is None else relay.route, trace, error=reason)

    def _tell_if_over(self, relay: Relay, trace: RelayTrace) -> None:
        if trace.is_told or not trace.fate or not trace.answered_at:
            return
        digest = trace.relay_hash or _request_hash(relay)
        self._tell(digest, relay, relay.route, trace)

    def _tell(
        self,
        digest: bytes,
        relay: Relay | None,
        route: Route | None,
        trace: RelayTrace,
        error: str = "",
    ) -> None:
        trace.is_told = True
        if not self._traces.takes(digest):
            return
        name = TraceName(digest)
        zero_ns = self._wall_clock_ns() - int(trio.current_time() * NANOSECONDS)

        def unix_ns(at: float) -> int:
            return zero_ns + int(at * NANOSECONDS)

        attributes = _attributes(relay, route, trace)
        link = None if relay is None else gateway_span(relay.outer_headers)
        root = Span(
            trace_id=name.trace_id,
            span_id=name.root_id,
            parent_id=b"",
            name="relay",
            kind=SERVER,
            start_ns=unix_ns(trace.began_at),
            end_ns=unix_ns(max(trace.began_at, trace.answered_at)),
            attributes=attributes,
            links=() if link is None else (link,),
            error=error,
        )
        below = [
            child(
                name,
                stage.name,
                unix_ns(stage.began_at),
                unix_ns(stage.ended_at),
                stage.attributes,
                mark=str(number),
                parent_id=_above(name, stage, trace.stages),
                kind=stage.kind,
                error=stage.error,
            )
            for number, stage in enumerate(trace.stages)
        ]
        self._traces.add(root, *below)


def _above(name: TraceName, stage: Stage, stages: list[Stage]) -> bytes:
    """The span of the stage that an attempt was made in; of any other the root's."""
    if stage.name == "attempt":
        for number, other in enumerate(stages):
            if other.name == "forward" and other.began_at <= stage.began_at <= other.ended_at:
                return name.span_id(f"forward{number}")
    return name.root_id


def _attributes(relay: Relay | None, route: Route | None, trace: RelayTrace) -> Attributes:
    """What is known of the relay: never its payload, its headers, or an address of a backend."""
    attributes: Attributes = {"pocket.mined": trace.fate == MINED}
    if trace.fate != MINED:
        attributes["pocket.reason"] = clipped(trace.fate)
    if trace.relay_hash is not None:
        attributes["pocket.relay_hash"] = trace.relay_hash.hex()
    if trace.status:
        attributes["pocket.backend_status"] = trace.status
    if trace.is_push:
        attributes["pocket.push"] = True
    if route is not None:
        attributes["pocket.service_id"] = route.service
        attributes["pocket.rpc_type"] = route.rpc_type
    if relay is not None:
        attributes |= {
            "pocket.application_address": clipped(str(relay.application)),
            "pocket.supplier_operator_address": clipped(str(relay.supplier)),
            "pocket.session_id": clipped(str(relay.session_id)),
            "pocket.session_end_height": relay.end_height,
            "pocket.arrival_height": relay.arrival_height,
            "pocket.retries": relay.retries,
        }
    return attributes


def _request_hash(relay: Relay) -> bytes:
    """Of a relay that has no hash: that of its request, in its canonical form."""
    request = relay.request
    form = relay.own_forms().request(request.meta.signature, request.payload)
    return sha256(form[:HASHED_BYTES]).digest()


def gateway_span(headers: Headers) -> Link | None:
    """The span in which the gateway sent the request, by its W3C `traceparent`; None without one.

    It is a link, not a parent: who asks us does not decide what we trace, nor under what name.
    """
    values = [value for name, value in headers if name == b"traceparent"]
    found = _TRACEPARENT.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None or found[1] == _NO_VERSION or (found[1] == _FIRST_VERSION and found[4]):
        return None
    trace_id, span_id = bytes.fromhex(found[2].decode()), bytes.fromhex(found[3].decode())
    return Link(trace_id, span_id) if any(trace_id) and any(span_id) else None
