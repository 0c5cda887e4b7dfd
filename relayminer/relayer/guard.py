"""The freshness guard: an endpoint whose chain lags behind its siblings' gets no relays.

A node that has stopped syncing answers fast and well, and everything it says is old. Its height,
compared with that of its siblings, is the one thing that shows it. The measure is the highest
height that any endpoint of the same backend answers in the same round; an endpoint that does not
answer stays as it was, for that is the business of probes and of the breaker.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio

from relayminer.net.errors import BadResponseError, NetError
from relayminer.net.server import fetch
from relayminer.net.url import request_target
from relayminer.relayer.errors import RelayerConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.config.settings import RelayerSettings
    from relayminer.config.traffic import FreshnessSettings
    from relayminer.net.server import Server
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route, ServiceRoutes
    from relayminer.telemetry.metrics import Gauge

_MAX_ANSWER_BYTES = 1_048_576
_OK = 200
_COMETBFT = "cometbft"
_STATUS_PATH = "/status"
_STATUS_FIELD = "result.sync_info.latest_block_height"
_METHOD = "eth_blockNumber"
_RESULT = "result"
_HEX = 16


class FreshnessGuard:
    """Watches the heights of all backends that have a `freshness.max_lag_blocks`.

    Args:
        routes: by service id.
        settings: of the relayer.
        metrics: where heights are shown.

    Raises:
        RelayerConfigurationError: a path cannot be asked for.
    """

    def __init__(
        self,
        routes: Mapping[str, ServiceRoutes],
        settings: RelayerSettings,
        metrics: RelayerMetrics,
    ) -> None:
        self._guarded: list[_Guarded] = []
        for service, service_routes in routes.items():
            for rpc_type, route in service_routes.by_type.items():
                freshness = settings.services[service].backends[rpc_type].freshness
                if freshness.max_lag_blocks:
                    self._guarded.append(_Guarded(route, freshness, metrics))

    async def run(self) -> None:
        """Compare heights until cancelled: at once, then every interval."""
        async with trio.open_nursery() as nursery:
            for one in self._guarded:
                nursery.start_soon(one.run)


class _Guarded:
    """One backend."""

    def __init__(
        self,
        route: Route,
        freshness: FreshnessSettings,
        metrics: RelayerMetrics,
    ) -> None:
        self._route = route
        self._freshness = freshness
        name = f"{route.service}:{route.rpc_type}"
        endpoints = route.pool.endpoints if route.pool is not None else ()
        self._questions = [
            _Question(
                route,
                endpoint,
                freshness,
                endpoint.http.sibling(max_connections=1),
                metrics.endpoint_height.bind(name, endpoint.name),
            )
            for endpoint in endpoints
        ]

    async def run(self) -> None:
        try:
            while True:
                async with trio.open_nursery() as nursery:
                    for question in self._questions:
                        nursery.start_soon(question.ask)
                self._compare()
                await trio.sleep(self._freshness.interval_seconds)
        finally:
            for question in self._questions:
                question.pool.close()

    def _compare(self) -> None:
        pool, limit = self._route.pool, self._freshness.max_lag_blocks
        answered = [one for one in self._questions if one.height]
        if pool is None or not answered:
            return
        highest = max(one.height for one in answered)
        for one in answered:
            lag = highest - one.height
            pool.lag_found(
                one.endpoint,
                is_lagging=lag > limit,
                reason=f"height {one.height} is {lag} blocks behind {highest}",
            )


class _Question:
    """What one endpoint is asked.

    Attributes:
        height: answered in this round, 0 for none.
    """

    def __init__(
        self,
        route: Route,
        endpoint: Endpoint,
        freshness: FreshnessSettings,
        pool: Server,
        gauge: Gauge,
    ) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.height = 0
        self._gauge = gauge
        self._timeout_seconds = freshness.timeout_seconds
        path = freshness.path or (_STATUS_PATH if route.rpc_type == _COMETBFT else "")
        self._method, self._body = b"GET", b""
        self._headers = list(route.fixed_headers)
        self._field = freshness.height_field or (_STATUS_FIELD if path else _RESULT)
        if not path:
            asked = {"jsonrpc": "2.0", "id": 1, "method": freshness.method or _METHOD, "params": []}
            self._method, self._body = b"POST", json.dumps(asked).encode()
            self._headers.append((b"Content-Type", b"application/json"))
        try:
            self._target = request_target(endpoint.url, route.base_path, path).encode("ascii")
        except NetError as error:
            raise RelayerConfigurationError(
                f"service {route.service}, backend {route.rpc_type}, freshness.path: {error}"
            ) from None

    async def ask(self) -> None:
        """Set `height`."""
        self.height = 0
        try:
            answer = await fetch(
                self.pool,
                self._method,
                self._target,
                headers=self._headers,
                body=self._body,
                timeout_seconds=self._timeout_seconds,
                max_response_bytes=_MAX_ANSWER_BYTES,
            )
            if answer.status != _OK:
                return
            self.height = height_in(answer.body, self._field)
        except NetError:
            return
        self.endpoint.height = self.height
        self._gauge.value = self.height


def height_in(body: bytes, field: str) -> int:
    """The height in a JSON answer: a number, or a text of decimal or `0x` digits.

    Args:
        body: JSON.
        field: names with dots between them.

    Raises:
        BadResponseError: there is none.
    """
    try:
        value: Any = json.loads(body)
        for name in field.split("."):
            value = value[name]
        height = int(value, _HEX) if isinstance(value, str) and "x" in value else int(value)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadResponseError(f"no height at {field}") from error
    if height < 0:
        raise BadResponseError(f"the height at {field} is negative")
    return height
