"""What `/ready/{service}` says of a service's backends (relayer.md 10.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relayminer.relayer.forward_traffic import Traffic
    from relayminer.relayer.pool import BackendPool, Endpoint
    from relayminer.relayer.routes import ServiceRoutes


def backends_page(routes: ServiceRoutes) -> dict[str, Any]:
    """The sections `pool`, `backends` and, where there are limits, `admission`."""
    endpoints = [
        (pool, endpoint)
        for route in routes.by_type.values()
        if (pool := route.pool) is not None
        for endpoint in pool.endpoints
    ]
    shown = [_endpoint(pool, endpoint) for pool, endpoint in endpoints]
    limits = routes.pool_limits
    in_flight = sum(endpoint.http.in_flight for _, endpoint in endpoints)
    most = sum(endpoint.http.max_connections for _, endpoint in endpoints)
    page: dict[str, Any] = {
        "pool": {
            **({"profile": limits.profile} if limits.profile else {}),
            "max_conns_per_host": limits.max_connections,
            "max_idle_conns_per_host": limits.max_idle_connections,
            "idle_conn_timeout_seconds": limits.idle_seconds,
            "in_flight": in_flight,
            "saturation_pct": round(100 * in_flight / most, 1) if most else 0.0,
        },
        "backends": {
            "total": len(shown),
            "healthy": sum(1 for one in shown if one["healthy"]),
            "endpoints": shown,
        },
    }
    traffic = next((route.traffic for route in routes.by_type.values()), None)
    if traffic is not None:
        page["admission"] = _admission(traffic)
    return page


def _endpoint(pool: BackendPool, endpoint: Endpoint) -> dict[str, Any]:
    page: dict[str, Any] = {
        "name": endpoint.name,
        # Never the user and password that a URL may carry.
        "url": f"{endpoint.url.origin.scheme}://{endpoint.url.origin.authority}",
        "healthy": pool.is_healthy(endpoint),
        "state": endpoint.state,
        "failures": endpoint.failures,
        "latency_ms": round(endpoint.rank.latency_seconds * 1000, 2),
        "error_pct": round(endpoint.rank.error_share * 100, 1),
    }
    if endpoint.height:
        page["height"] = endpoint.height
    if endpoint.probe_problem:
        page["problem"] = endpoint.probe_problem
    return page


def _admission(traffic: Traffic) -> dict[str, Any]:
    queues = {"service": traffic.queue} if traffic.queue is not None else {}
    queues |= {lane.name: lane.queue for lane in (traffic.lanes.all if traffic.lanes else ())}
    page: dict[str, Any] = {
        name: {
            "max_in_flight": queue.max_in_flight,
            "in_flight": queue.in_flight,
            "waiting": queue.waiting,
            "refused": queue.refused,
        }
        for name, queue in queues.items()
    }
    if traffic.cache is not None:
        page["response_cache_bytes"] = traffic.cache.bytes_kept
    return page
