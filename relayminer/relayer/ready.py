"""The status pages on the relay port (relayer.md 10.5), with answers that are true (K-40)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.relayer.answer import error_answer, json_answer
from relayminer.relayer.pool_page import backends_page

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
        backends = backends_page(routes)
        problems = self.problems(draining=draining)
        ready = backends["backends"]["healthy"] > 0 and not problems
        page: dict[str, Any] = {
            "service_id": service,
            "ready": ready,
            "block_height": self._moment.height,
            **backends,
        }
        if problems:
            page["problems"] = problems
        return json_answer(200 if ready else 503, page)
