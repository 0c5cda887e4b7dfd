"""Opening conversations, and what happens to all of them: expiry and the end of the relayer.

The handshake of relayer.md 3.1, with the backend dialled before the upgrade is answered (K-11),
failover, `base_path` and authentication (K-12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.net.dial import dial
from relayminer.net.errors import NetError, WireTimeoutError
from relayminer.net.url import request_target
from relayminer.plugin import BackendTarget, BridgeLimits
from relayminer.relayer.bridge import OpenBridge
from relayminer.relayer.bridge_metrics import BridgeMetrics, ServiceBridgeMetrics
from relayminer.relayer.bridge_simulated import SimulatedBridge
from relayminer.relayer.errors import RefusedError, no_backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.config.settings import RelayerSettings
    from relayminer.net.http1 import Headers
    from relayminer.net.watchdog import Watchdog
    from relayminer.net.wire import AnyWire
    from relayminer.plugin import BridgeCall, Connect
    from relayminer.relayer.bridge import BridgeStages
    from relayminer.relayer.engine import RelayEngine
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.routes import Route, ServiceRoutes
    from relayminer.telemetry.metrics import Metrics

WEBSOCKET: Final = "websocket"
SWEEP_SECONDS: Final = 0.25
_NAMING_HEADERS: Final = (b"target-service-id", b"pocket-service-id", b"x-forwarded-host")
_HANDSHAKE_HEADERS: Final = frozenset(
    {b"connection", b"upgrade", b"accept-encoding", b"content-length", b"transfer-encoding"}
)
_HANDSHAKE_PREFIX: Final = b"sec-websocket-"
_SUPPLIER: Final = b"pocket-supplier-address"


class Bridges:
    """All conversations of a relayer.

    Args:
        routes: by service id.
        stages: of the engine.
        watchdog: of the backend connections.
        metrics: where counters of conversations are declared.
        relayer_metrics: of all relays.
        drain_seconds: how long answers are waited for at the end: half of it.
        configured: whether any supplier key is loaded.
    """

    def __init__(
        self,
        routes: Mapping[str, ServiceRoutes],
        stages: BridgeStages,
        watchdog: Watchdog,
        metrics: Metrics,
        relayer_metrics: RelayerMetrics,
        *,
        drain_seconds: float,
        configured: bool,
    ) -> None:
        self._routes = routes
        self._stages = stages
        self._watchdog = watchdog
        self._metrics = BridgeMetrics(metrics)
        self._relayer_metrics = relayer_metrics
        self._drain_seconds = drain_seconds
        self._configured = configured
        self._by_service: dict[str, ServiceBridgeMetrics] = {}
        self._open: set[OpenBridge] = set()
        self._give_up_at: float | None = None
        self._log = structlog.get_logger("relayminer.relayer")

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, call: BridgeCall, connect: Connect) -> OpenBridge:
        """Find the service, connect to its backend.

        Raises:
            RefusedError: 400, 404, 500 or 503.
        """
        route, pool = self._find(call)
        wire = await self._connect(route, pool, call, connect)
        made = (
            self._stages,
            route,
            call.headers,
            self._metrics_of(route.service),
            lambda bridge: self._forget(bridge, wire),
        )
        simulator = self._stages.simulator
        key_id = "" if simulator is None else simulator.key_id(call.headers)
        bridge = OpenBridge(*made)
        if simulator is not None and key_id:
            bridge = SimulatedBridge(simulator, key_id, *made)
        self._open.add(bridge)
        if self._give_up_at is not None:
            bridge.drain()
        return bridge

    async def run(self) -> None:
        """End what has expired, until cancelled."""
        seen = 0
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            for bridge in list(self._open):
                bridge.release_turns(now)
            height = self._stages.moment.height
            if height != seen:
                seen = height
                for bridge in list(self._open):
                    if 0 < bridge.grace_end_height < height:
                        bridge.expire()
            if self._give_up_at is not None and now >= self._give_up_at:
                for bridge in list(self._open):
                    bridge.give_up()

    def drain(self) -> None:
        """The relayer stops: every conversation ends with 1012, idle ones now."""
        self._give_up_at = trio.current_time() + self._drain_seconds / 2
        for bridge in list(self._open):
            bridge.drain()

    def _find(self, call: BridgeCall) -> tuple[Route, BackendPool]:
        if self._give_up_at is not None:
            raise RefusedError(503, "relayer is shutting down", "draining")
        service = service_of(call)
        if not service:
            raise RefusedError(400, "missing service ID", "missing_service_id")
        routes = self._routes.get(service)
        if routes is None:
            raise RefusedError(404, "unknown service", "unknown_service")
        if not self._configured:
            raise RefusedError(
                500, "relayer not properly configured", "response_signer_not_configured"
            )
        route = routes.by_type.get(WEBSOCKET)
        if route is None or route.pool is None:
            self._relayer_metrics.backend_missing.bind(service, WEBSOCKET).value += 1
            raise no_backend(service)
        return route, route.pool

    async def _connect(
        self, route: Route, pool: BackendPool, call: BridgeCall, connect: Connect
    ) -> AnyWire:
        """Connect to the first endpoint that can be; each is tried once."""
        deadline = trio.current_time() + route.timeouts.request_seconds
        tried: list[Endpoint] = []
        endpoint = pool.pick()
        while endpoint is not None and trio.current_time() < deadline:
            tried.append(endpoint)
            began = trio.current_time()
            try:
                wire = await self._dial(route, endpoint, call, connect)
            except NetError as error:
                pool.failed(endpoint, str(error))
                self._log.warning(
                    "backend_not_connected",
                    service=route.service,
                    endpoint=endpoint.name,
                    reason=str(error),
                )
            except BaseException:
                pool.released(endpoint)
                raise
            else:
                pool.succeeded(endpoint, trio.current_time() - began)
                return wire
            endpoint = pool.pick_other(*tried)
        self._relayer_metrics.fast_fails.bind(route.service).value += 1
        raise no_backend(route.service)

    async def _dial(
        self, route: Route, endpoint: Endpoint, call: BridgeCall, connect: Connect
    ) -> AnyWire:
        origin = endpoint.url.origin
        seconds = route.timeouts.dial_seconds
        deadline = trio.current_time() + seconds
        wire = await dial(origin, timeout_seconds=seconds, tls=endpoint.tls)
        self._watchdog.watch(wire)
        try:
            with trio.fail_at(deadline):
                await connect(
                    BackendTarget(
                        wire,
                        origin.authority,
                        request_target(endpoint.url, route.base_path, ""),
                        backend_headers(route, call),
                    )
                )
        except BaseException as error:
            self._watchdog.forget(wire)
            wire.close()
            if isinstance(error, trio.TooSlowError):
                raise WireTimeoutError(
                    f"no handshake with {origin.authority} within {seconds:g} s"
                ) from None
            raise
        return wire

    def _forget(self, bridge: OpenBridge, wire: AnyWire) -> None:
        self._open.discard(bridge)
        self._watchdog.forget(wire)
        wire.close()

    def _metrics_of(self, service: str) -> ServiceBridgeMetrics:
        known = self._by_service.get(service)
        if known is None:
            known = self._by_service[service] = ServiceBridgeMetrics(self._metrics, service)
        return known


def service_of(call: BridgeCall) -> str:
    """The first of the three headers that is not empty, else the first segment of the path."""
    for wanted in _NAMING_HEADERS:
        for name, value in call.headers:
            if name == wanted and value:
                return value.decode("latin-1")
    return call.target.partition("?")[0].lstrip("/").partition("/")[0]


def backend_headers(route: Route, call: BridgeCall) -> Headers:
    """What the backend's handshake carries: the configured headers, supplier and service."""
    headers = [
        (name, value)
        for name, value in route.fixed_headers
        if name.lower() not in _HANDSHAKE_HEADERS and not name.lower().startswith(_HANDSHAKE_PREFIX)
    ]
    supplier = next((value for name, value in call.headers if name == _SUPPLIER), b"")
    return [*headers, (b"Pocket-Supplier", supplier), (b"Pocket-Service", route.service.encode())]


def bridges_of(
    engine: RelayEngine,
    routes: Mapping[str, ServiceRoutes],
    settings: RelayerSettings,
    metrics: Metrics,
    stages: BridgeStages,
    watchdog: Watchdog,
    relayer_metrics: RelayerMetrics,
) -> Bridges:
    """The conversations of a relayer, offered by its engine."""
    limits = settings.websocket
    engine.bridge_limits = BridgeLimits(
        max_message_bytes=limits.max_message_bytes,
        ping_interval_seconds=limits.ping_interval_seconds,
        read_timeout_seconds=limits.read_timeout_seconds,
        write_timeout_seconds=limits.write_timeout_seconds,
        close_timeout_seconds=limits.close_timeout_seconds,
    )
    engine.bridges = Bridges(
        routes,
        stages,
        watchdog,
        metrics,
        relayer_metrics,
        drain_seconds=settings.drain_seconds,
        configured=bool(stages.keys),
    )
    return engine.bridges
