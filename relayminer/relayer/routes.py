"""Settings turned into what a relay needs: per service and RPC type, where it goes and how."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import trio
from attrs import define, field

from relayminer.net.errors import BadUrlError
from relayminer.net.tls import HTTP1
from relayminer.net.url import DEFAULT_PORTS, parse_backend_url
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.forward_setup import hedge_of, traffic_of
from relayminer.relayer.metrics import ConnectionMetrics, RelayerMetrics, RouteMetrics
from relayminer.relayer.pool import FIRST_HEALTHY, ROUND_ROBIN, BackendPool, Endpoint
from relayminer.relayer.pool_profiles import PoolLimits, Timeouts, pool_limits_of, timeouts_of
from relayminer.relayer.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.config.settings import (
        AuthenticationSettings,
        BackendSettings,
        EndpointSettings,
        RelayerSettings,
        ServiceSettings,
    )
    from relayminer.net.held import HeldBytes
    from relayminer.net.http1 import Headers
    from relayminer.net.watchdog import Watchdog
    from relayminer.relayer.forward_hedge import Hedge
    from relayminer.relayer.forward_traffic import Traffic

EAGER = "eager"
DEFAULT_RPC_TYPE = "jsonrpc"
RPC_TYPES = {
    b"1": "grpc",
    b"2": "websocket",
    b"3": "jsonrpc",
    b"4": "rest",
    b"5": "cometbft",
}
NOT_HTTP_SCHEMES = frozenset({"ws", "wss"})


@define(eq=False)
class Route:
    """Where relays of one service and one RPC type go.

    Attributes:
        fixed_headers: set by the configuration; they replace the client's.
        fixed_names: their names in lower case.
    """

    service: str
    rpc_type: str
    pool: BackendPool | None
    base_path: str
    fixed_headers: Headers
    fixed_names: frozenset[bytes]
    max_attempts: int
    max_body_bytes: int
    max_message_bytes: int
    """Of a client in a conversation."""
    max_response_bytes: int
    timeouts: Timeouts
    eager: bool
    metrics: RouteMetrics
    held: HeldBytes
    """What answers in memory are counted against."""
    hedge: Hedge | None = None
    """Of idempotent methods, None when it is off."""
    traffic: Traffic | None = None
    """Of the service; None without limits, lanes and cache."""
    has_http: bool = True
    """Whether plain HTTP can reach the backend: a WebSocket address cannot be posted to."""
    warned_suppliers: set[str] = field(factory=set)
    """Suppliers for which the undeclared transport was already logged."""


@define(eq=False)
class ServiceRoutes:
    """The routes of one service."""

    service: str
    default_rpc_type: str
    by_type: dict[str, Route]
    without_backend: Route
    pool_limits: PoolLimits

    @property
    def height(self) -> int:
        """The highest chain height of its backends, 0 while unknown."""
        return max(
            (
                endpoint.height
                for route in self.by_type.values()
                if route.pool is not None
                for endpoint in route.pool.endpoints
            ),
            default=0,
        )

    def pick(self, rpc_type_header: bytes) -> Route:
        """The route of a request with this `Rpc-Type` header.

        There is no fallback from one type to another.
        """
        if not rpc_type_header:
            return self.by_type.get(self.default_rpc_type, self.without_backend)
        rpc_type = RPC_TYPES.get(rpc_type_header)
        if rpc_type is None:
            rpc_type = rpc_type_header.decode("latin-1")
        return self.by_type.get(rpc_type, self.without_backend)


class RouteBuilder:
    """Builds the routes of all services of a relayer."""

    def __init__(
        self,
        settings: RelayerSettings,
        watchdog: Watchdog,
        metrics: RelayerMetrics,
        held: HeldBytes,
    ) -> None:
        self._settings = settings
        self._servers = Servers(watchdog, held)
        self._held = held
        self._metrics = metrics

    def build(self) -> dict[str, ServiceRoutes]:
        """The routes by service id.

        Raises:
            RelayerConfigurationError: an endpoint's URL cannot be used.
        """
        return {
            service: self._service(service, settings)
            for service, settings in self._settings.services.items()
        }

    def _service(self, service: str, settings: ServiceSettings) -> ServiceRoutes:
        default = settings.default_backend or DEFAULT_RPC_TYPE
        default = RPC_TYPES.get(default.encode(), default)
        routes = ServiceRoutes(
            service,
            default,
            {
                rpc_type: self._route(service, rpc_type, settings, backend)
                for rpc_type, backend in settings.backends.items()
            },
            self._route(service, "unknown", settings, None),
            pool_limits_of(self._settings, service, settings),
        )
        traffic = traffic_of(
            service, settings, self._metrics, trio.current_time, lambda: routes.height
        )
        for route in routes.by_type.values():
            route.traffic = traffic
        return routes

    def _route(
        self,
        service: str,
        rpc_type: str,
        settings: ServiceSettings,
        backend: BackendSettings | None,
    ) -> Route:
        common = self._settings
        timeouts = timeouts_of(common, service, settings)
        eager = (settings.validation_mode or common.validation_mode) == EAGER
        pool = None
        fixed: Headers = []
        if backend is not None:
            pool = self._pool(service, rpc_type, settings, backend, timeouts)
            fixed = _fixed_headers(backend)
        return Route(
            service=service,
            rpc_type=rpc_type,
            pool=pool,
            base_path=backend.base_path if backend is not None else "",
            fixed_headers=fixed,
            fixed_names=frozenset(name.lower() for name, _ in fixed),
            max_attempts=1 + (backend.max_retries if backend is not None else 0),
            max_body_bytes=settings.max_body_bytes or common.max_body_bytes,
            max_message_bytes=settings.max_body_bytes or common.websocket.max_message_bytes,
            max_response_bytes=common.max_response_bytes,
            timeouts=timeouts,
            eager=eager,
            metrics=RouteMetrics(self._metrics, service, rpc_type, eager=eager),
            held=self._held,
            hedge=hedge_of(backend) if backend is not None else None,
            has_http=pool is not None
            and all(one.url.origin.scheme not in NOT_HTTP_SCHEMES for one in pool.endpoints),
        )

    def _pool(
        self,
        service: str,
        rpc_type: str,
        settings: ServiceSettings,
        backend: BackendSettings,
        timeouts: Timeouts,
    ) -> BackendPool:
        addresses = _addresses(backend)
        limits = pool_limits_of(self._settings, service, settings)
        watch = ConnectionMetrics(self._metrics, service)
        endpoints = []
        for name, text in addresses:
            try:
                url = parse_backend_url(text)
            except BadUrlError as error:
                raise RelayerConfigurationError(
                    f"service {service}, backend {rpc_type}: {error}"
                ) from None
            if url.origin.scheme not in DEFAULT_PORTS:
                raise RelayerConfigurationError(
                    f"service {service}, backend {rpc_type}: unknown scheme in {text!r}; "
                    f"choose from {', '.join(DEFAULT_PORTS)}"
                )
            label = name or url.origin.authority
            try:
                http = self._servers.server(url, rpc_type, backend, limits, timeouts, watch)
                tls = self._servers.tls(url, backend, HTTP1)
            except RelayerConfigurationError as error:
                raise RelayerConfigurationError(
                    f"service {service}, backend {rpc_type}: {error}"
                ) from error
            health = self._metrics.endpoint_health.bind(f"{service}:{rpc_type}", label)
            endpoints.append(Endpoint(label, url, http, health, tls))
        strategy = backend.load_balancing or (FIRST_HEALTHY if len(endpoints) == 1 else ROUND_ROBIN)
        return BackendPool(
            service,
            endpoints,
            strategy=strategy,
            unhealthy_threshold=backend.unhealthy_threshold,
            recovery_seconds=backend.recovery_timeout_seconds,
            clock=trio.current_time,
        )


def pools_of(routes: Mapping[str, ServiceRoutes]) -> list[BackendPool]:
    """Every backend pool."""
    return [
        route.pool
        for service in routes.values()
        for route in service.by_type.values()
        if route.pool is not None
    ]


def _addresses(backend: BackendSettings) -> list[tuple[str, str]]:
    listed: tuple[EndpointSettings, ...] = backend.urls
    if listed:
        return [(one.name, one.url) for one in listed]
    return [("", backend.url)]


def _fixed_headers(backend: BackendSettings) -> Headers:
    headers = {name.lower(): (name, value) for name, value in backend.headers.items()}
    authorization = _authorization(backend.authentication) or _from_urls(backend)
    if authorization:
        headers["authorization"] = ("Authorization", authorization)
    # Bodies are signed as they come: asking for plain ones saves both sides the gunzip.
    headers["accept-encoding"] = ("Accept-Encoding", "identity")
    headers.pop("host", None)
    headers.pop("content-length", None)
    return [(name.encode(), value.encode()) for name, value in headers.values()]


def _from_urls(backend: BackendSettings) -> str:
    """`user:password@` in front of the host; of several endpoints they must be the same."""
    users = {parse_backend_url(url).user_info for _, url in _addresses(backend)}
    user_info = users.pop() if len(users) == 1 else ""
    if not user_info:
        return ""
    return "Basic " + base64.b64encode(unquote_to_bytes(user_info)).decode()


def _authorization(settings: AuthenticationSettings) -> str:
    if settings.username and settings.password:
        pair = f"{settings.username}:{settings.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()
    if settings.bearer_token:
        return f"Bearer {settings.bearer_token}"
    return settings.plain_token
