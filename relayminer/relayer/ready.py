"""The status pages on the relay port (relayer.md 10.5), with answers that are true (K-40)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.relayer.answer import error_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.cache.moment import ChainMoment
    from relayminer.plugin import RelayAnswer
    from relayminer.relayer.routes import ServiceRoutes
    from relayminer.telemetry.health import Health

_READY = "/ready/"


class StatusPages:
    """`/health`, `/ready` and `/ready/{service}`."""

    def __init__(
        self, routes: Mapping[str, ServiceRoutes], moment: ChainMoment, health: Health
    ) -> None:
        self._routes = routes
        self._moment = moment
        self._health = health

    def answer(self, path: str, *, draining: bool) -> RelayAnswer | None:
        """The page of `path`, None when it is not one of ours."""
        if path in {"/health", "/healthz"}:
            return json_answer(200, {"status": "healthy", "block_height": self._moment.height})
        if path == "/ready":
            return self._ready(draining=draining)
        if path.startswith(_READY):
            return self._service(path.removeprefix(_READY), draining=draining)
        return None

    def problems(self, *, draining: bool) -> dict[str, str]:
        """What keeps this relayer from serving."""
        problems = self._health.problems()
        if draining:
            problems["drain"] = "shutting down"
        return problems

    def _ready(self, *, draining: bool) -> RelayAnswer:
        problems = self.problems(draining=draining)
        page: dict[str, Any] = {
            "status": "not ready" if problems else "healthy",
            "block_height": self._moment.height,
            **self._health.details(),
        }
        if problems:
            page["problems"] = problems
        return json_answer(503 if problems else 200, page)

    def _service(self, service: str, *, draining: bool) -> RelayAnswer:
        if not service:
            return error_answer(400, "service_id path parameter is required")
        routes = self._routes.get(service)
        if routes is None:
            return error_answer(404, "unknown service")
        endpoints = []
        in_flight = max_connections = 0
        for route in routes.by_type.values():
            if route.pool is None:
                continue
            for endpoint in route.pool.endpoints:
                in_flight += endpoint.http.in_flight
                max_connections += endpoint.http.max_connections
                endpoints.append(
                    {
                        "name": endpoint.name,
                        # Never the user and password that a URL may carry.
                        "url": f"{endpoint.url.origin.scheme}://{endpoint.url.origin.authority}",
                        "healthy": route.pool.is_healthy(endpoint),
                    }
                )
        healthy = sum(1 for endpoint in endpoints if endpoint["healthy"])
        problems = self.problems(draining=draining)
        ready = healthy > 0 and not problems
        page: dict[str, Any] = {
            "service_id": service,
            "ready": ready,
            "block_height": self._moment.height,
            "pool": {
                "max_conns_per_host": max_connections,
                "in_flight": in_flight,
                "saturation_pct": round(100 * in_flight / max_connections, 1)
                if max_connections
                else 0.0,
            },
            "backends": {"total": len(endpoints), "healthy": healthy, "endpoints": endpoints},
        }
        if problems:
            page["problems"] = problems
        return json_answer(200 if ready else 503, page)
