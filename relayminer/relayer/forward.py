"""The relay's request to the backend, with retries inside one budget of time.

Source of the rules: relayer.md 2.3 to 2.5; K-23 and K-25 are done the better way: what the client
or the size of an answer caused is neither retried nor held against the endpoint, and all attempts
share one `request_timeout_seconds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.net.client import request_bytes
from relayminer.net.errors import (
    BadRequestError,
    BadUrlError,
    NetError,
    ResponseTooLargeError,
    WireTimeoutError,
)
from relayminer.net.url import request_target
from relayminer.relayer.errors import RefusedError, no_backend

if TYPE_CHECKING:
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.routes import Route

SERVER_ERROR = 500
BACKEND_5XX = "backend_5xx"
_MAX_TARGETS = 1_000
_MAX_CACHED_URL = 2_048
# Framing and connection management are ours, whatever the inner request says.
_OURS = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"trailer",
        b"te",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"expect",
        b"pocket-supplier",
        b"pocket-service",
        b"pocket-application",
    }
)
_INHERITED = {
    b"content-type": b"Content-Type",
    b"accept": b"Accept",
    b"user-agent": b"User-Agent",
}
_POCKET = b"pocket-"


class Forwarder:
    """Sends relays to backends.

    Args:
        metrics: where outcomes are counted.
    """

    def __init__(self, metrics: RelayerMetrics) -> None:
        self._metrics = metrics

    async def forward(self, relay: Relay) -> tuple[Response, int]:
        """The backend's answer (any status below 500) and how many retries it took.

        Raises:
            RefusedError: 502 when no endpoint answered, the backend's own status when it is a
                server error, 503 when every endpoint is left alone.
        """
        began = trio.current_time()
        route = relay.route
        try:
            response, retries = await self._attempt(relay, route)
        except RefusedError as refusal:
            outcome = refusal.reason
            status = str(refusal.status) if outcome == BACKEND_5XX else "none"
            seconds = trio.current_time() - began
            self._metrics.backend_latency.bind(route.service, outcome).observe(seconds)
            self._metrics.backend_requests.bind(route.service, outcome, status).value += 1
            raise
        route.metrics.success_latency.observe(trio.current_time() - began)
        route.metrics.answered(response.status).value += 1
        return response, retries

    async def _attempt(self, relay: Relay, route: Route) -> tuple[Response, int]:
        pool = route.pool
        endpoint = pool.pick() if pool is not None else None
        if pool is None or endpoint is None:
            raise no_backend(route.service)
        deadline = trio.current_time() + route.timeouts.request_seconds
        method = relay.http.method.encode() or b"GET"
        headers = _headers(relay, route)
        attempt = 0
        while True:
            attempt += 1
            request = _request(relay, route, endpoint, method, headers)
            failure: RefusedError
            try:
                response = await endpoint.http.exchange(
                    method,
                    request,
                    deadline=deadline,
                    header_timeout_seconds=route.timeouts.response_header_seconds,
                    max_response_bytes=route.max_response_bytes,
                )
            except (WireTimeoutError, ResponseTooLargeError) as error:
                raise _backend_error(error) from error
            except NetError as error:
                pool.failed(endpoint, str(error))
                failure = _backend_error(error)
            else:
                if response.status < SERVER_ERROR:
                    pool.succeeded(endpoint)
                    return response, attempt - 1
                pool.failed(endpoint, f"status {response.status}")
                failure = RefusedError(response.status, "backend service error", BACKEND_5XX)
            other = pool.pick_other(endpoint) if attempt < route.max_attempts else None
            if other is None:
                raise failure
            endpoint = other


def _backend_error(error: NetError) -> RefusedError:
    timed_out = isinstance(error, WireTimeoutError)
    reason = "backend_timeout" if timed_out else "backend_network_error"
    return RefusedError(502, "backend error", reason)


def _request(
    relay: Relay, route: Route, endpoint: Endpoint, method: bytes, headers: Headers
) -> bytes:
    url = relay.http.url
    target = endpoint.targets.get(url)
    try:
        if target is None:
            target = request_target(endpoint.url, route.base_path, url).encode("ascii")
            if len(url) <= _MAX_CACHED_URL:
                if len(endpoint.targets) >= _MAX_TARGETS:
                    endpoint.targets.clear()
                endpoint.targets[url] = target
        return request_bytes(
            method, target, endpoint.http.origin.authority.encode(), headers, relay.http.body
        )
    except (BadUrlError, BadRequestError) as error:
        # The client's doing: no endpoint is blamed for it.
        raise RefusedError(502, "backend error", "bad_backend_request") from error


def _headers(relay: Relay, route: Route) -> Headers:
    """The backend request's headers in the order of relayer.md 2.4."""
    fixed_names = route.fixed_names
    headers: Headers = []
    outer: dict[bytes, bytes] = {}
    present = set()
    for name, value in relay.outer_headers:
        if name.startswith(_POCKET) and name not in outer and name not in _OURS:
            outer[name] = value
    for text, values in relay.http.headers.items():
        name = text.encode()
        lowered = name.lower()
        if lowered in _OURS or lowered in fixed_names or lowered in outer:
            continue
        present.add(lowered)
        headers.extend([(name, value.encode()) for value in values])
    for name, value in relay.outer_headers:
        title = _INHERITED.get(name)
        if title is not None and name not in present and name not in fixed_names:
            present.add(name)
            headers.append((title, value))
    headers.extend(item for item in outer.items() if item[0] not in fixed_names)
    headers.extend(route.fixed_headers)
    headers.append((b"Pocket-Supplier", relay.supplier.encode()))
    headers.append((b"Pocket-Service", route.service.encode()))
    if relay.application:
        headers.append((b"Pocket-Application", relay.application.encode()))
    return headers
