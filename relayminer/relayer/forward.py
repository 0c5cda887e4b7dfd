"""The relay's request to the backend, with retries inside one budget of time.

Source of the rules: relayer.md 2.3 to 2.5; K-23 and K-25 are done the better way: what the client
or the size of an answer caused is neither retried nor held against the endpoint, and all attempts
share one `request_timeout_seconds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.net.errors import (
    DialTimeoutError,
    HeadTooLargeError,
    NetError,
    ResponseTooLargeError,
    TooMuchHeldError,
    WireTimeoutError,
)
from relayminer.net.response_stream import ResponseStream
from relayminer.relayer.errors import RefusedError, no_backend
from relayminer.relayer.forward_hedge import hedged
from relayminer.relayer.forward_request import backend_headers, backend_request

NO_STREAM: frozenset[bytes] = frozenset()

if TYPE_CHECKING:
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.relayer.forward_budget import RetryBudget
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.routes import Route

SERVER_ERROR = 500
BACKEND_5XX = "backend_5xx"


class EndpointFailedError(RefusedError):
    """The endpoint is to blame; another one may do better."""


class Forwarder:
    """Sends relays to backends.

    Args:
        metrics: where outcomes are counted.
        budget: of retries, for all relays together.
    """

    def __init__(self, metrics: RelayerMetrics, budget: RetryBudget) -> None:
        self._metrics = metrics
        self._budget = budget

    def exchanges(
        self, relay: Relay, route: Route, pool: BackendPool, deadline: float
    ) -> Exchanges:
        """What asks endpoints for one relay."""
        return Exchanges(relay, route, pool, deadline)

    def check(self, relay: Relay) -> None:
        """Refuse early a relay for which there will be no turn in time.

        Raises:
            RefusedError: 503.
        """
        traffic = relay.route.traffic
        if traffic is not None:
            traffic.check(relay)

    def is_dear(self, relay: Relay) -> bool:
        """Whether the backend's work is too dear to be done for a relay not yet verified (K-46)."""
        traffic = relay.route.traffic
        return traffic is not None and traffic.is_dear(relay)

    async def forward(self, relay: Relay) -> tuple[Response | ResponseStream, int]:
        """The backend's answer (any status below 500) and how many retries it took.

        An answer of one of the relay's `stream_types` comes with its head; who gets it closes it,
        and tells the pool how it went.

        Raises:
            RefusedError: 502 when no endpoint answered, the backend's own status when it is a
                server error, 503 when every endpoint is left alone or the service is at capacity.
        """
        traffic = relay.route.traffic
        if traffic is None:
            return await self._measured(relay)
        kept = traffic.cached(relay)
        if kept is not None:
            return kept, 0
        permit = await traffic.enter(relay)
        try:
            response, retries = await self._measured(relay)
        except BaseException:
            permit.leave()
            raise
        if isinstance(response, ResponseStream):
            response.when_closed(permit.leave)
        else:
            permit.leave()
            traffic.keep(relay, response)
        return response, retries

    async def _measured(self, relay: Relay) -> tuple[Response | ResponseStream, int]:
        began = trio.current_time()
        route = relay.route
        route.metrics.pre_backend.observe(began - relay.arrived_at)
        try:
            response, retries = await self._attempt(relay, route, began)
        except RefusedError as refusal:
            outcome = refusal.reason
            status = str(refusal.status) if outcome == BACKEND_5XX else "none"
            seconds = trio.current_time() - began
            self._metrics.backend_latency.bind(route.service, outcome).observe(seconds)
            self._metrics.backend_requests.bind(route.service, outcome, status).value += 1
            raise
        relay.answered_at = trio.current_time()
        route.metrics.success_latency.observe(relay.answered_at - began)
        route.metrics.answered(response.status).value += 1
        return response, retries

    async def _attempt(
        self, relay: Relay, route: Route, began: float
    ) -> tuple[Response | ResponseStream, int]:
        pool = route.pool
        endpoint = pool.pick() if pool is not None else None
        if pool is None or endpoint is None:
            raise no_backend(route.service)
        self._budget.earn()
        exchange = self.exchanges(relay, route, pool, began + route.timeouts.request_seconds)
        if route.hedge is not None and route.hedge.covers(relay):
            return await hedged(exchange, pool, endpoint, self._budget, route.hedge.after_seconds)
        attempt = 1
        while True:
            try:
                response = await exchange.open(endpoint)
            except EndpointFailedError:
                if attempt >= route.max_attempts:
                    raise
                other = pool.pick_other(endpoint)
                if other is None:
                    raise
                if not self._budget.spend():
                    pool.released(other)
                    raise
            else:
                relay.retries = attempt - 1
                return response, attempt - 1
            attempt += 1
            endpoint = other


class Exchanges:
    """One relay's exchanges with endpoints; each one's outcome is told to the pool."""

    __slots__ = ("_deadline", "_headers", "_method", "_pool", "_relay", "_route")

    def __init__(self, relay: Relay, route: Route, pool: BackendPool, deadline: float) -> None:
        self._relay = relay
        self._route = route
        self._pool = pool
        self._deadline = deadline
        self._method = relay.http.method.encode() or b"GET"
        self._headers: Headers = backend_headers(relay, route)

    async def run(self, endpoint: Endpoint) -> Response:
        """One attempt, for an answer that is read to its end; raises as `open`."""
        self._relay.stream_types = NO_STREAM
        response = await self.open(endpoint)
        if isinstance(response, ResponseStream):
            response.close()
            raise RefusedError(502, "backend error", "backend_network_error")
        return response

    async def open(self, endpoint: Endpoint) -> Response | ResponseStream:
        """One attempt.

        Raises:
            EndpointFailedError: another endpoint may be tried.
            RefusedError: trying again would not help, or would take too long.
        """
        route, pool = self._route, self._pool
        began = trio.current_time()
        try:
            response = await endpoint.http.open(
                self._method,
                backend_request(self._relay, route, endpoint, self._method, self._headers),
                deadline=self._deadline,
                header_timeout_seconds=route.timeouts.response_header_seconds,
                max_response_bytes=route.max_response_bytes,
                stream_types=self._relay.stream_types,
            )
        except NetError as error:
            raise self._judged(error, endpoint) from error
        except BaseException:
            # The client's own doing, or the end of whoever asked.
            pool.released(endpoint)
            raise
        if response.status >= SERVER_ERROR:
            if isinstance(response, ResponseStream):
                response.close()
            pool.failed(endpoint, f"status {response.status}")
            raise EndpointFailedError(response.status, "backend service error", BACKEND_5XX)
        if isinstance(response, ResponseStream) and not endpoint.on_trial:
            # How a stream went is known at its end; one on trial has shown that it is there.
            self._relay.endpoint = endpoint
        else:
            pool.succeeded(endpoint, trio.current_time() - began)
        return response

    def _judged(self, error: NetError, endpoint: Endpoint) -> RefusedError:
        """What the client is told of an exchange without an answer; the pool hears whose fault."""
        pool = self._pool
        reason = "backend_network_error"
        if isinstance(error, DialTimeoutError):
            # Nothing was asked yet, so it is not what was asked that takes long.
            reason = "backend_timeout"
        elif isinstance(error, WireTimeoutError):
            pool.timed_out(endpoint)
            return RefusedError(502, "backend error", "backend_timeout")
        elif isinstance(error, TooMuchHeldError):
            pool.released(endpoint)
            return RefusedError(503, "relayer is at capacity", "answer_bytes")
        elif isinstance(error, ResponseTooLargeError) and not isinstance(error, HeadTooLargeError):
            # Nobody asks for headers; a large body was asked for.
            pool.released(endpoint)
            return RefusedError(502, "backend error", reason)
        pool.failed(endpoint, str(error))
        return EndpointFailedError(502, "backend error", reason)
