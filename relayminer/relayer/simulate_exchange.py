"""A simulated relay over HTTP: one attempt, signed, and nothing written down (relayer.md 11)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from relayminer.net.errors import NetError
from relayminer.net.response_stream import ResponseStream
from relayminer.plugin import RelayAnswer, StreamAnswer
from relayminer.relayer.answer import refusal_answer
from relayminer.relayer.errors import RefusedError, no_backend
from relayminer.relayer.forward_request import backend_headers, backend_request
from relayminer.relayer.simulate import SimulationRefusedError, Simulator, StoreMarks
from relayminer.relayer.simulate_metrics import SimulationMetrics
from relayminer.relayer.stream import NO_STREAM, STREAM_TYPES, StreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from relayminer.config.settings import RelayerSettings
    from relayminer.net.response import Response
    from relayminer.plugin import AnswerSink
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.sign import Signer
    from relayminer.relayer.stream import Streamer
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics

_SERVER_ERROR = 500


class SimulatedExchange:
    """Serves simulated relays.

    Args:
        simulator: admits them.
        signer: signs answers.
        streamer: passes streams on.
        is_meter_well: looks at the meter's store without touching it.
    """

    def __init__(
        self,
        simulator: Simulator,
        signer: Signer,
        streamer: Streamer,
        is_meter_well: Callable[[], bool],
    ) -> None:
        self.simulator = simulator
        self._signer = signer
        self._streamer = streamer
        self._is_meter_well = is_meter_well

    async def serve(
        self, relay: Relay, sink: AnswerSink | None
    ) -> RelayAnswer | StreamAnswer | None:
        """The answer to a simulated relay; None when it is an ordinary one."""
        key_id = self.simulator.key_id(relay.outer_headers)
        if not key_id:
            return None
        answer: RelayAnswer | StreamAnswer
        route = relay.route
        try:
            with self.simulator.slot():
                await self.simulator.admit(relay.request, key_id)
                answer = await self._answer(relay, sink)
            result = "success" if self._is_meter_well() else "meter_degraded"
        except SimulationRefusedError as refusal:
            answer, result = refusal_answer(refusal), refusal.result
        except StreamBrokenError:
            answer, result = StreamAnswer(complete=False), "backend_error"
        except RefusedError as refusal:
            is_signature = refusal.reason == "signing_error"
            answer = refusal_answer(refusal)
            result = "sign_failed" if is_signature else "backend_error"
        self.simulator.count(route.rpc_type, relay.request, result)
        seconds = trio.current_time() - relay.arrived_at
        self.simulator.metrics.observe(route.rpc_type, route.service, seconds)
        return answer

    async def _answer(self, relay: Relay, sink: AnswerSink | None) -> RelayAnswer | StreamAnswer:
        relay.stream_types = NO_STREAM if sink is None else STREAM_TYPES
        response = await self._forward(relay)
        if isinstance(response, ResponseStream):
            return await self._streamer.run(relay, response, sink, _forget, is_counted=False)
        body, _ = self._signer.sign(relay, response)
        return RelayAnswer(200, body, lease=response.lease)

    async def _forward(self, relay: Relay) -> Response | ResponseStream:
        """One attempt, of which the pool hears nothing."""
        route = relay.route
        pool = route.pool
        if pool is not None and not route.has_http:
            text = f"rpc type {route.rpc_type} is not served over HTTP"
            raise RefusedError(400, text, "wrong_transport")
        endpoint = pool.pick() if pool is not None else None
        if pool is None or endpoint is None:
            raise no_backend(route.service)
        method = relay.http.method.encode() or b"GET"
        try:
            response = await endpoint.http.open(
                method,
                backend_request(relay, route, endpoint, method, backend_headers(relay, route)),
                deadline=trio.current_time() + route.timeouts.request_seconds,
                header_timeout_seconds=route.timeouts.response_header_seconds,
                max_response_bytes=route.max_response_bytes,
                stream_types=relay.stream_types,
            )
        except NetError as error:
            raise RefusedError(502, "backend error", "backend_error") from error
        finally:
            pool.released(endpoint)
        if response.status >= _SERVER_ERROR:
            if isinstance(response, ResponseStream):
                response.close()
            raise RefusedError(response.status, "backend service error", "backend_5xx")
        return response


def simulation_of(
    settings: RelayerSettings,
    *,
    keys: Container[str],
    services: Container[str],
    store: Redis,
    names: KeyNames,
    metrics: Metrics,
    signer: Signer,
    streamer: Streamer,
) -> SimulatedExchange | None:
    """What serves simulated relays, None when the feature is off.

    Raises:
        RelayerConfigurationError: a pinned identity cannot be used.
    """
    if not settings.simulation.enabled:
        return None
    simulator = Simulator(
        settings.simulation,
        keys=keys,
        services=services,
        marks=StoreMarks(store, names),
        metrics=SimulationMetrics(metrics),
        max_ring_members=settings.max_ring_members,
        clock=trio.current_time,
        wall_clock=time.time,
    )
    return SimulatedExchange(simulator, signer, streamer, lambda: store.is_connected)


async def _forget(stored_response: bytes) -> None:
    """Nothing of a simulated relay is kept."""
    del stored_response
