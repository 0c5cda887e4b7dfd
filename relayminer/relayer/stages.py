"""The stages of a relay with a clock beside each: what a relayer is made of when it traces.

A relayer that does not trace has the plain stages, and pays nothing for these.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from relayminer.plugin import RelayAnswer
from relayminer.relayer.admit import Admission
from relayminer.relayer.engine import RelayEngine
from relayminer.relayer.errors import RefusedError
from relayminer.relayer.forward import Exchanges, Forwarder
from relayminer.relayer.meter import Meter
from relayminer.relayer.publish import Publisher
from relayminer.relayer.sign import Signer
from relayminer.relayer.stream import StreamBrokenError, Streamer
from relayminer.relayer.tracing import MINED, RelayTrace, RelayTracer
from relayminer.telemetry.spans import CLIENT, INTERNAL, PRODUCER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from relayminer.net.response import Response
    from relayminer.net.response_stream import ResponseStream
    from relayminer.plugin import AnswerSink, RelayCall, StreamAnswer
    from relayminer.relayer.metrics import RouteMetrics
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.routes import Route
    from relayminer.telemetry.spans import Traces

AT_CAPACITY = "at_capacity"


@contextmanager
def timed(relay: Relay, name: str, kind: int = INTERNAL, **attributes: str) -> Iterator[None]:
    """Note a stage of the relay when it ends, and how."""
    trace = relay.trace
    if trace is None:
        yield
        return
    began_at, error = trio.current_time(), ""
    try:
        yield
    except (RefusedError, StreamBrokenError) as refusal:
        error = refusal.reason
        raise
    except BaseException as accident:
        error = type(accident).__name__
        raise
    finally:
        trace.went_through(name, began_at, error, kind, **attributes)


class TracedAdmission(Admission):
    """Begins the trace of a relay of any transport: all of them pass `open` or `open_message`."""

    async def open(self, relay: Relay, body_bytes: int) -> None:
        """As `Admission.open`."""
        relay.trace = RelayTrace(relay.arrived_at, is_message=False)
        with timed(relay, "admit"):
            await super().open(relay, body_bytes)

    async def open_message(self, relay: Relay) -> None:
        """As `Admission.open_message`."""
        relay.trace = RelayTrace(relay.arrived_at, is_message=True)
        with timed(relay, "admit"):
            await super().open_message(relay)

    async def verify(self, relay: Relay) -> SessionContext:
        """As `Admission.verify`."""
        with timed(relay, "verify"):
            return await super().verify(relay)


class TracedMeter(Meter):
    """Notes a charge; begins a new trace for a push, which is charged without being admitted."""

    def take_leased(self, relay: Relay, context: SessionContext) -> bool:
        """As `Meter.take_leased`."""
        began_at = trio.current_time()
        is_charged = super().take_leased(relay, context)
        if is_charged and relay.trace is not None:
            relay.trace.went_through("meter", began_at)
        return is_charged

    async def take(self, relay: Relay, context: SessionContext) -> bool:
        """As `Meter.take`."""
        trace = relay.trace
        if trace is not None and trace.relay_hash is not None:
            relay.trace = RelayTrace(trio.current_time(), is_message=True, is_push=True)
        if self.take_leased(relay, context):
            return True
        with timed(relay, "meter"):
            return await super().take(relay, context)


class TracedForwarder(Forwarder):
    """Notes what the backend took, and each endpoint of it."""

    async def forward(self, relay: Relay) -> tuple[Response | ResponseStream, int]:
        """As `Forwarder.forward`."""
        with timed(relay, "forward"):
            response, retries = await super().forward(relay)
        if relay.trace is not None:
            relay.trace.status = response.status
        return response, retries

    def exchanges(
        self, relay: Relay, route: Route, pool: BackendPool, deadline: float
    ) -> Exchanges:
        """As `Forwarder.exchanges`."""
        return TracedExchanges(relay, route, pool, deadline)


class TracedExchanges(Exchanges):
    """Notes each attempt."""

    __slots__ = ()

    async def open(self, endpoint: Endpoint) -> Response | ResponseStream:
        """As `Exchanges.open`."""
        with timed(self._relay, "attempt", CLIENT, **{"pocket.endpoint": endpoint.name}):
            return await super().open(endpoint)


class TracedSigner(Signer):
    """Notes a signature; those of the batches of a stream are in its stage."""

    def sign(self, relay: Relay, response: Response) -> tuple[bytes, bytes]:
        """As `Signer.sign`."""
        with timed(relay, "sign"):
            return super().sign(relay, response)


class TracedStreamer(Streamer):
    """Notes how long an answer was streamed."""

    async def run(
        self,
        relay: Relay,
        upstream: ResponseStream,
        sink: AnswerSink | None,
        finish: Callable[[bytes], Awaitable[None]],
        *,
        is_counted: bool = True,
    ) -> StreamAnswer:
        """As `Streamer.run`."""
        with timed(relay, "stream"):
            return await super().run(relay, upstream, sink, finish, is_counted=is_counted)


class TracedPublisher(Publisher):
    """Notes the way into the log."""

    async def publish(self, relay: Relay, context: SessionContext, entry: bytes) -> None:
        """As `Publisher.publish`."""
        with timed(relay, "publish", PRODUCER):
            await super().publish(relay, context, entry)


class TracedEngine(RelayEngine):
    """Tells what became of relays."""

    def __init__(self, tracer: RelayTracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def stream(self, call: RelayCall, sink: AnswerSink | None) -> RelayAnswer | StreamAnswer:
        """As `RelayEngine.stream`."""
        answer = await super().stream(call, sink)
        if isinstance(answer, RelayAnswer) and answer.reason == AT_CAPACITY:
            self._tracer.refused(call.body, None, AT_CAPACITY)
        return answer

    def _observe(self, call: RelayCall, relay: Relay) -> None:
        super()._observe(call, relay)
        self._tracer.answered(relay)

    def _refused_call(
        self, call: RelayCall, relay: Relay | None, refusal: RefusedError, metrics: RouteMetrics
    ) -> RelayAnswer:
        self._tracer.refused(call.body, relay, refusal.reason)
        return super()._refused_call(call, relay, refusal, metrics)

    def _broken(
        self, relay: Relay | None, broken: StreamBrokenError, metrics: RouteMetrics
    ) -> StreamAnswer:
        if relay is not None:
            self._tracer.broken(relay, broken.reason)
        return super()._broken(relay, broken, metrics)

    def _mined(self, relay: Relay, context: SessionContext, stored_response: bytes) -> bytes | None:
        entry = super()._mined(relay, context, stored_response)
        if entry is None:
            self._tracer.decided(relay, "difficulty")
        return entry

    async def _publish(
        self, relay: Relay, context: SessionContext, entry: bytes, *, charged: bool
    ) -> None:
        try:
            await super()._publish(relay, context, entry, charged=charged)
        except RefusedError as refusal:
            self._tracer.decided(relay, refusal.reason)
            raise
        self._tracer.decided(relay, MINED)

    def _dropped(self, relay: Relay, reason: str) -> None:
        super()._dropped(relay, reason)
        self._tracer.decided(relay, reason)


@frozen
class Stages:
    """What the stages of a relayer are made by.

    Attributes:
        tracer: tells of what is refused before it is a relay; None when relays are not traced.
    """

    tracer: RelayTracer | None = None
    admission: type[Admission] = Admission
    meter: type[Meter] = Meter
    forwarder: type[Forwarder] = Forwarder
    signer: type[Signer] = Signer
    streamer: type[Streamer] = Streamer
    publisher: type[Publisher] = Publisher
    engine: Callable[..., RelayEngine] = RelayEngine


def stages_of(traces: Traces | None, wall_clock_ns: Callable[[], int]) -> Stages:
    """The plain stages, or those that tell where a relay's time goes."""
    if traces is None:
        return Stages()
    tracer = RelayTracer(traces, wall_clock_ns)
    return Stages(
        tracer,
        TracedAdmission,
        TracedMeter,
        TracedForwarder,
        TracedSigner,
        TracedStreamer,
        TracedPublisher,
        partial(TracedEngine, tracer),
    )
