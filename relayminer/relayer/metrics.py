"""The relayer's metrics, bound to their labels before the first relay (relayer.md 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.telemetry.metrics import SIZE_BYTES, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.telemetry.metrics import Counter, Metrics

_PREFIX = "ha_relayer_"
_ROUTE = ("service_id", "rpc_type")


class RelayerMetrics:
    """All families of the relayer."""

    def __init__(self, metrics: Metrics) -> None:
        self.relay_accidents = metrics.recoveries.bind("relay")
        self.connection_accidents = metrics.recoveries.bind("connection")
        self._declare_relays(metrics)
        self._declare_backends(metrics)
        self._declare_traffic(metrics)
        self._declare_meter(metrics)
        self._declare_process(metrics)
        self._declare_stages(metrics)

    def _declare_relays(self, metrics: Metrics) -> None:
        counter, histogram, p = metrics.counter, metrics.histogram, _PREFIX
        self.received = counter(p + "relays_received", "HTTP relays entering", _ROUTE)
        self.served = counter(
            p + "relays_served", "Replies delivered, by backend status", (*_ROUTE, "status_code")
        )
        self.rejected = counter(
            p + "relays_rejected", "Refused before or during serving", (*_ROUTE, "reason")
        )
        self.dropped = counter(
            p + "relays_dropped",
            "Served, not mined",
            ("service_id", "application", "reason"),
        )
        self.published = counter(
            p + "relays_published", "Relays written to the log", ("service_id", "supplier")
        )
        metrics.alias(
            "ha_transport_redis_published", ("service_id", "supplier_addr"), self.published
        )
        self.mined = counter(
            p + "relays_mined", "Relays above difficulty and published", ("service_id",)
        )
        self.skipped = counter(
            p + "relays_skipped_difficulty", "Relays below difficulty", ("service_id",)
        )
        self.optimistic = counter(
            p + "relays_served_optimistically",
            "Supplier absent from the registry, but its key is loaded",
            _ROUTE,
        )
        self.undeclared = counter(
            p + "undeclared_transport_served", "Transport not declared on chain", _ROUTE
        )
        self.validation_failures = counter(
            p + "validation_failures", "Relays that break a rule", ("service_id", "reason")
        )
        self.latency = histogram(
            p + "relay_latency_seconds", "Request start to answer ready", _ROUTE
        )
        self.publish_latency = histogram(
            p + "publish_latency_seconds", "Time until the log has confirmed", ("service_id",)
        )
        self.request_bytes = histogram(
            p + "request_body_size_bytes", "Outer request", _ROUTE, SIZE_BYTES
        )
        self.response_bytes = histogram(
            p + "response_body_size_bytes", "Backend body", _ROUTE, SIZE_BYTES
        )

    def _declare_backends(self, metrics: Metrics) -> None:
        counter, histogram, gauge, p = (
            metrics.counter,
            metrics.histogram,
            metrics.gauge,
            _PREFIX,
        )
        self.backend_missing = counter(
            p + "backend_missing", "No pool for the requested type", _ROUTE
        )
        self.fast_fails = counter(
            p + "fast_fails", "Refused because no endpoint is healthy", ("service_id",)
        )
        self.backend_latency = histogram(
            p + "backend_latency_seconds", "All attempts", ("service_id", "outcome")
        )
        self.backend_requests = counter(
            p + "backend_requests",
            "Backend outcomes, once per relay",
            ("service_id", "outcome", "status_code"),
        )
        self.endpoint_health = gauge(
            p + "backend_health_status", "1 healthy, 0 left alone", ("service_id", "endpoint")
        )

    def _declare_traffic(self, metrics: Metrics) -> None:
        counter, gauge, p = metrics.counter, metrics.gauge, _PREFIX
        self.retries = counter(p + "backend_retries", "Further attempts, hedges included").bind()
        self.retries_refused = counter(
            p + "backend_retries_refused", "Attempts for which the retry budget had nothing left"
        ).bind()
        self.probe_successes = counter(
            p + "health_check_successes", "Probes", ("service_id", "endpoint")
        )
        self.probe_failures = counter(
            p + "health_check_failures", "Probes", ("service_id", "endpoint")
        )
        self.endpoint_height = gauge(
            p + "backend_block_height", "Height of its chain", ("service_id", "endpoint")
        )
        self.shed = counter(
            p + "relays_shed", "Refused for want of capacity", ("service_id", "lane")
        )
        self.waiting = gauge(p + "relays_waiting", "Waiting for their turn", ("service_id", "lane"))
        self.response_cache = counter(
            p + "response_cache_lookups", "Of immutable methods", ("service_id", "result")
        )

    def _declare_meter(self, metrics: Metrics) -> None:
        counter, p = metrics.counter, _PREFIX
        self.meter_consumptions = counter(
            p + "relay_meter_consumptions", "Meter decisions", ("service_id", "result")
        )
        self.meter_errors = counter(
            p + "relay_meter_redis_errors", "Meter calls that failed", ("operation",)
        )
        self.meter_refunds = counter(
            p + "relay_meter_refunds", "Relays that were charged and not mined", ("service_id",)
        )

    def _declare_process(self, metrics: Metrics) -> None:
        counter, gauge, p = metrics.counter, metrics.gauge, _PREFIX
        self.connections = gauge(p + "active_connections", "Open client connections").bind()
        self.in_flight = gauge(p + "relays_in_flight", "Relays being served").bind()
        self.answer_bytes = gauge(
            p + "answer_bytes_in_flight", "Of large answers, read and not yet taken by clients"
        ).bind()
        self.height = gauge(p + "current_block_height", "Last block height seen").bind()
        self.lookups_refused = counter(
            p + "chain_lookups_refused", "Look-ups for unvouched applications over the limit"
        ).bind()
        self.background = gauge(
            p + "background_relays", "Optimistic relays waiting for their checks"
        ).bind()

    def _declare_stages(self, metrics: Metrics) -> None:
        histogram, gauge, p = metrics.histogram, metrics.gauge, _PREFIX
        mode = ("service_id", "mode")
        self.pre_backend = histogram(
            p + "relay_pre_backend_seconds", "Arrival to first backend attempt", _ROUTE
        )
        self.post_backend = histogram(
            p + "relay_post_backend_seconds", "Backend's answer to answer ready", _ROUTE
        )
        self.validation_latency = histogram(
            p + "validation_latency_seconds", "Verification of valid relays", mode
        )
        self.meter_latency = histogram(
            p + "relay_meter_latency_seconds",
            "Calls to the shared meter; most relays are charged to a lease and need none",
            mode,
        )
        self.inbound = metrics.counter(
            p + "inbound_requests_by_proto", "Relays that came over HTTP/1.1 or gRPC", ("proto",)
        )
        self.pool_in_flight = gauge(
            p + "http_pool_in_flight", "Backend requests in progress", ("service_id",)
        )
        self.pool_max = gauge(
            p + "http_pool_max_conns", "Connections that backends may have", ("service_id",)
        )
        self.pool_wait = histogram(
            p + "http_pool_wait_seconds",
            "From wanting a connection to a backend to having one, dials included",
            ("service_id",),
        )
        self.dial = histogram(
            p + "backend_dial_seconds", "New connections to backends, TLS included", ("service_id",)
        )
        self.conn_reused = metrics.counter(
            p + "backend_conn_reused",
            "Backend requests by whether their connection was there already",
            ("service_id", "reused"),
        )
        self.sessions_active = gauge(
            p + "relay_meter_sessions_active",
            "Sessions that relays are charged to",
            ("supplier", "service_id"),
        )


class ConnectionMetrics:
    """What relays of one service wait for before a backend hears of them."""

    __slots__ = ("_fresh", "_reused", "_wait", "dialled")

    def __init__(self, metrics: RelayerMetrics, service: str) -> None:
        self._wait = metrics.pool_wait.bind(service)
        self._reused = metrics.conn_reused.bind(service, "true")
        self._fresh = metrics.conn_reused.bind(service, "false")
        self.dialled: Callable[[float], None] = metrics.dial.bind(service).observe

    def had(self, seconds: float, *, reused: bool) -> None:
        """A relay has its connection, after so many seconds."""
        (self._reused if reused else self._fresh).value += 1
        self._wait.observe(seconds)


class RouteMetrics:
    """The children that relays of one service and RPC type touch."""

    __slots__ = (
        "_all",
        "_answered",
        "_rejected",
        "_served",
        "latency",
        "meter_latency",
        "mined",
        "post_backend",
        "pre_backend",
        "publish_latency",
        "received",
        "request_bytes",
        "response_bytes",
        "route",
        "skipped",
        "success_latency",
        "validation_latency",
        "within_limit",
    )

    def __init__(
        self, metrics: RelayerMetrics, service: str, rpc_type: str, *, eager: bool = True
    ) -> None:
        self._all = metrics
        mode = "eager" if eager else "optimistic"
        self.pre_backend = metrics.pre_backend.bind(service, rpc_type)
        self.post_backend = metrics.post_backend.bind(service, rpc_type)
        self.validation_latency = metrics.validation_latency.bind(service, mode)
        self.meter_latency = metrics.meter_latency.bind(service, mode)
        self.route = (service, rpc_type)
        self.received = metrics.received.bind(service, rpc_type)
        self.latency = metrics.latency.bind(service, rpc_type)
        self.success_latency = metrics.backend_latency.bind(service, "success")
        self.mined = metrics.mined.bind(service)
        self.skipped = metrics.skipped.bind(service)
        self.publish_latency = metrics.publish_latency.bind(service)
        self.request_bytes = metrics.request_bytes.bind(service, rpc_type)
        self.response_bytes = metrics.response_bytes.bind(service, rpc_type)
        self.within_limit = metrics.meter_consumptions.bind(service, "within_limit")
        self._served: dict[int, Counter] = {}
        self._answered: dict[int, Counter] = {}
        self._rejected: dict[str, Counter] = {}

    def served(self, status: int) -> Counter:
        """Replies with a backend status."""
        child = self._served.get(status)
        if child is None:
            child = self._served[status] = self._all.served.bind(*self.route, str(status))
        return child

    def answered(self, status: int) -> Counter:
        """Successful backend exchanges with a status."""
        child = self._answered.get(status)
        if child is None:
            child = self._answered[status] = self._all.backend_requests.bind(
                self.route[0], "success", str(status)
            )
        return child

    def rejected(self, reason: str) -> Counter:
        """Refusals for a reason of ours."""
        child = self._rejected.get(reason)
        if child is None:
            child = self._rejected[reason] = self._all.rejected.bind(*self.route, reason)
        return child


def unknown_route(metrics: RelayerMetrics) -> RouteMetrics:
    """For bytes that name no service of ours: their labels are not the sender's to choose."""
    return RouteMetrics(metrics, UNKNOWN, UNKNOWN)
