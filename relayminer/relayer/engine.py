"""The relay engine: admit, meter, forward, sign, publish, in this order, for every transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from relayminer.net.response_stream import ResponseStream
from relayminer.plugin import RelayAnswer, StreamAnswer
from relayminer.plugin.bridges import BridgeLimits
from relayminer.relayer.answer import error_answer, refusal_answer, served_answer
from relayminer.relayer.errors import RefusedError
from relayminer.relayer.metrics import unknown_route
from relayminer.relayer.replay import ReplayError
from relayminer.relayer.stream import NO_STREAM, STREAM_TYPES, StreamBrokenError
from relayminer.telemetry.metrics import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.cache.moment import ChainMoment
    from relayminer.net.http1 import HttpLimits, Request
    from relayminer.plugin import (
        AnswerSink,
        Bridge,
        BridgeCall,
        Connect,
        RelayCall,
        RequestTaker,
    )
    from relayminer.relayer.admit import Admission
    from relayminer.relayer.background import Background
    from relayminer.relayer.bridges import Bridges
    from relayminer.relayer.calls import Calls
    from relayminer.relayer.compress import Compressor
    from relayminer.relayer.forward import Forwarder
    from relayminer.relayer.meter import Meter
    from relayminer.relayer.metrics import RelayerMetrics, RouteMetrics
    from relayminer.relayer.publish import Publisher
    from relayminer.relayer.ready import StatusPages
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.replay import ReplayGuard
    from relayminer.relayer.sign import Signer
    from relayminer.relayer.simulate_exchange import SimulatedExchange
    from relayminer.relayer.stream import Streamer


class RelayEngine:
    """What transports get (`relayminer.plugin.Engine`).

    Args:
        confirm: answer after the log has the relay; else at the same moment.
        simulated: serves simulated relays, None when the feature is off.
        replays: refuses requests that were answered, None when they are relays like any other.
        compressor: of answers, None when it is off.
        max_in_flight: relays at once; the next one is answered 503.
        configured: whether any supplier key is loaded.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        meter: Meter,
        forwarder: Forwarder,
        signer: Signer,
        publisher: Publisher,
        streamer: Streamer,
        calls: Calls,
        simulated: SimulatedExchange | None = None,
        replays: ReplayGuard | None = None,
        compressor: Compressor | None = None,
        background: Background,
        pages: StatusPages,
        moment: ChainMoment,
        limits: HttpLimits,
        metrics: RelayerMetrics,
        confirm: bool,
        max_in_flight: int,
        configured: bool,
    ) -> None:
        self._admission = admission
        self._meter = meter
        self._forwarder = forwarder
        self._signer = signer
        self._publisher = publisher
        self._streamer = streamer
        self._calls = calls
        self.simulated = simulated
        self.replays = replays
        self._compressor = compressor
        self._background = background
        self._pages = pages
        self._moment = moment
        self._metrics = metrics
        self._unknown = unknown_route(metrics)
        # What another relayer has answered is known when the log has said so.
        self._confirm = confirm or replays is not None
        self._max_in_flight = max_in_flight
        self._configured = configured
        self._log = structlog.get_logger("relayminer.relayer")
        self.limits: HttpLimits = limits
        self.bridge_limits = BridgeLimits()
        self.bridges: Bridges | None = None
        self.takers: Sequence[RequestTaker] = ()
        """Transports that take single HTTP requests."""
        self.draining = False
        self.in_flight = 0
        self._inbound = metrics.inbound.bind("http1"), metrics.inbound.bind("h2c")
        metrics.in_flight.read = lambda: self.in_flight

    def status(self, path: str) -> RelayAnswer | None:
        """The answer to a status page, None for any other path."""
        return self._pages.answer(path, draining=self.draining)

    def refuse(self, status: int, message: str, *, reason: str, grpc: bool = False) -> RelayAnswer:
        """The answer to bytes that never became a relay."""
        self._unknown.received.value += 1
        self._unknown.rejected(reason).value += 1
        if grpc:
            self._calls.metrics.errors.bind(UNKNOWN, reason).value += 1
        answer = error_answer(status, message)
        answer.reason = reason
        return answer

    def undelivered(self, call: RelayCall) -> None:
        """Count an answer that its client did not take."""
        if call.grpc:
            self._calls.failed(call, "send_error")

    def taker(self, request: Request) -> RequestTaker | None:
        """Who answers this request, when it is no relay in HTTP's own form."""
        for taker in self.takers:
            if taker.takes(request):
                self._calls.count_web(request)
                return taker
        return None

    async def bridge(self, call: BridgeCall, connect: Connect) -> Bridge | RelayAnswer:
        """A conversation, or the answer to a handshake that leads to none."""
        if self.bridges is None:
            return self.refuse(503, "no conversations here", reason="no_bridges")
        try:
            return await self.bridges.open(call, connect)
        except RefusedError as refusal:
            return self._refused(refusal, self._unknown)

    async def record(
        self, relay: Relay, context: SessionContext, stored_response: bytes, *, charged: bool
    ) -> bool:
        """Log a relay of a conversation before it is answered.

        Returns:
            False when it is not mined; its charge was given back then.

        Raises:
            RefusedError: 503, it could not be logged; its charge was given back.
        """
        entry = self._mined(relay, context, stored_response)
        if entry is None:
            if charged:
                self._meter.refund(relay, context)
            if self.replays is not None:
                await self.replays.mark(relay)
            return False
        if self._confirm or not self._background.submit(
            lambda: self._publish(relay, context, entry, charged=charged)
        ):
            await self._publish(relay, context, entry, charged=charged)
        return True

    async def exchange(self, call: RelayCall) -> RelayAnswer:
        """One relay, from its bytes to its answer."""
        answer = await self.stream(call, None)
        if isinstance(answer, RelayAnswer):
            return answer
        return error_answer(500, "internal error")

    async def stream(self, call: RelayCall, sink: AnswerSink | None) -> RelayAnswer | StreamAnswer:
        """As `exchange`; with a `sink` the answer may be written piece by piece."""
        if self.in_flight >= self._max_in_flight:
            text = "relayer is at capacity"
            return self.refuse(503, text, reason="at_capacity", grpc=call.grpc)
        self.in_flight += 1
        self._inbound[call.grpc].value += 1
        route_metrics = self._unknown
        relay = None
        try:
            self._publisher.check()
            relay = self._decode(call)
            if self.simulated is not None:
                simulated = await self.simulated.serve(relay, sink)
                if simulated is not None:
                    return self._calls.simulated(simulated) if call.grpc else simulated
            relay.stream_types = NO_STREAM if sink is None else STREAM_TYPES
            route_metrics = relay.route.metrics
            route_metrics.received.value += 1
            route_metrics.request_bytes.observe(len(call.body))
            await self._admission.open(relay, len(call.body))
            self._forwarder.check(relay)
            answer = await (
                self._serve_eagerly(relay, sink)
                if relay.route.eager or self._forwarder.is_dear(relay)
                else self._serve_optimistically(relay, sink)
            )
            if self._compressor is not None and isinstance(answer, RelayAnswer):
                answer = await self._compressor.apply(call, answer)
            self._observe(call, relay)
        except StreamBrokenError as broken:
            return self._broken(relay, broken, route_metrics)
        except RefusedError as refusal:
            return self._refused_call(call, relay, refusal, route_metrics)
        except Exception:  # noqa: BLE001 - a client never sees a traceback, and one relay's accident ends no other
            self._metrics.relay_accidents.value += 1
            self._log.exception("relay_failed")
            return self._refused_call(call, relay, _accident(), route_metrics)
        else:
            return answer
        finally:
            self.in_flight -= 1

    def _decode(self, call: RelayCall) -> Relay:
        try:
            relay = (self._calls if call.grpc else self._admission).decode(call)
        except RefusedError:
            self._unknown.received.value += 1
            raise
        if not self._configured:
            raise RefusedError(
                500, "relayer not properly configured", "response_signer_not_configured"
            )
        return relay

    def _refused(self, refusal: RefusedError, metrics: RouteMetrics) -> RelayAnswer:
        metrics.rejected(refusal.reason).value += 1
        return refusal_answer(refusal)

    def _observe(self, call: RelayCall, relay: Relay) -> None:
        now, metrics = trio.current_time(), relay.route.metrics
        metrics.latency.observe(now - relay.arrived_at)
        if relay.answered_at:
            metrics.post_backend.observe(now - relay.answered_at)
        if call.grpc:
            self._calls.answered(call, relay)

    def _refused_call(
        self, call: RelayCall, relay: Relay | None, refusal: RefusedError, metrics: RouteMetrics
    ) -> RelayAnswer:
        answer = self._refused(refusal, metrics)
        return self._calls.refused(call, relay, refusal) if call.grpc else answer

    def _broken(
        self,
        relay: Relay | None,  # noqa: ARG002 - for the engine that traces
        broken: StreamBrokenError,
        metrics: RouteMetrics,
    ) -> StreamAnswer:
        metrics.rejected(broken.reason).value += 1
        return StreamAnswer(complete=False)

    async def _serve_eagerly(
        self, relay: Relay, sink: AnswerSink | None
    ) -> RelayAnswer | StreamAnswer:
        context = await self._admission.verify(relay)
        if self.replays is None:
            return await self._serve_verified(relay, context, sink)
        self.replays.enter(relay)
        try:
            return await self._serve_verified(relay, context, sink)
        except ReplayError:
            raise
        except BaseException:
            self.replays.forget(relay)
            raise

    async def _serve_verified(
        self, relay: Relay, context: SessionContext, sink: AnswerSink | None
    ) -> RelayAnswer | StreamAnswer:
        meter = self._meter
        charged = meter.take_leased(relay, context) or await meter.take(relay, context)
        try:
            response, retries = await self._forwarder.forward(relay)
            if isinstance(response, ResponseStream):
                answer, is_mined = await self._stream_eagerly(relay, context, response, sink)
                if charged and not is_mined:
                    meter.refund(relay, context)
                return answer
            body, stored_response = self._signer.sign(relay, response)
            entry = self._mined(relay, context, stored_response)
        except BaseException:
            if charged:
                meter.refund(relay, context)
            raise
        if entry is None:
            if charged:
                meter.refund(relay, context)
            if self.replays is not None:
                await self.replays.mark(relay)
        elif self._confirm or not self._background.submit(
            lambda: self._publish(relay, context, entry, charged=charged)
        ):
            await self._publish(relay, context, entry, charged=charged)
        metrics = relay.route.metrics
        metrics.served(response.status).value += 1
        metrics.response_bytes.observe(len(response.body))
        return served_answer(relay, response, body, retries)

    async def _stream_eagerly(
        self,
        relay: Relay,
        context: SessionContext,
        upstream: ResponseStream,
        sink: AnswerSink | None,
    ) -> tuple[StreamAnswer, bool]:
        """The answer, and whether the relay is mined."""
        is_mined = False

        async def finish(stored_response: bytes) -> None:
            nonlocal is_mined
            entry = self._mined(relay, context, stored_response)
            if entry is not None:
                await self._publish(relay, context, entry, charged=False)
                is_mined = True
            elif self.replays is not None:
                await self.replays.mark(relay)

        return await self._streamer.run(relay, upstream, sink, finish), is_mined

    async def _serve_optimistically(
        self, relay: Relay, sink: AnswerSink | None
    ) -> RelayAnswer | StreamAnswer:
        self._admission.check_known(relay)
        if self.replays is not None:
            self.replays.check(relay)
        response, retries = await self._forwarder.forward(relay)
        if isinstance(response, ResponseStream):

            async def finish(stored_response: bytes) -> None:
                await self._account_soon(relay, stored_response)

            return await self._streamer.run(relay, response, sink, finish)
        body, stored_response = self._signer.sign(relay, response)
        await self._account_soon(relay, stored_response)
        metrics = relay.route.metrics
        metrics.served(response.status).value += 1
        metrics.response_bytes.observe(len(response.body))
        return served_answer(relay, response, body, retries)

    async def _account_soon(self, relay: Relay, stored_response: bytes) -> None:
        if not self._background.submit(lambda: self._account(relay, stored_response)):
            # Too much waits: this client waits for its own relay's checks.
            await self._account(relay, stored_response)

    async def _account(self, relay: Relay, stored_response: bytes) -> None:
        """Validate, meter and publish a relay that was answered already."""
        try:
            context = await self._admission.verify(relay)
        except RefusedError:
            self._dropped(relay, "validation_failed")
            return
        try:
            if self.replays is not None:
                self.replays.enter(relay)
            charged = await self._meter.take(relay, context)
        except RefusedError as refusal:
            self._dropped(relay, refusal.reason)
            return
        entry = self._mined(relay, context, stored_response)
        if entry is None:
            if charged:
                self._meter.refund(relay, context)
            return
        try:
            await self._publish(relay, context, entry, charged=charged)
        except RefusedError as refusal:
            self._dropped(relay, refusal.reason)

    def _mined(self, relay: Relay, context: SessionContext, stored_response: bytes) -> bytes | None:
        if self._moment.height >= context.claim_open_height:
            # The miner may have sealed the session: the entry would be dropped there.
            self._dropped(relay, "late")
            return None
        return self._publisher.mined(relay, context, stored_response)

    async def _publish(
        self, relay: Relay, context: SessionContext, entry: bytes, *, charged: bool
    ) -> None:
        try:
            await self._publisher.publish(relay, context, entry)
            relay.published = True
        except RefusedError:
            if charged:
                self._meter.refund(relay, context)
            raise

    def _dropped(self, relay: Relay, reason: str) -> None:
        # A label is not a forger's to choose: the name counts once the relay is verified.
        application = UNKNOWN if relay.context is None else relay.application
        self._metrics.dropped.bind(relay.service, application, reason).value += 1


def _accident() -> RefusedError:
    return RefusedError(500, "internal error", "internal_error")
