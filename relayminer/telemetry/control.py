"""The control plane: `/metrics`, `/health`, `/ready` on an address of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, jsonify
from quart_trio import QuartTrio

from relayminer.telemetry.merged import merged_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics

    Pages = Callable[[], Awaitable[Mapping[str, bytes]]]


def control_app(metrics: Metrics, health: Health, pages: Pages | None = None) -> QuartTrio:
    """The web application, without a server."""
    app = QuartTrio("relayminer")

    @app.get("/metrics")
    async def metrics_page() -> Response:
        page = metrics.page()
        if pages is not None:
            page = merged_page(page, await pages())
        return Response(page, content_type=metrics.content_type)

    @app.get("/health")
    async def health_page() -> Response:
        return jsonify(status="healthy")

    @app.get("/ready")
    async def ready_page() -> tuple[Response, int]:
        problems, details = health.problems(), health.details()
        if problems:
            return jsonify(status="not ready", problems=problems, **details), 503
        return jsonify(status="ready", **details), 200

    return app


class ControlPlane:
    """Serves the control plane until cancelled.

    Args:
        listen: addresses: `host:port`, or `fd://number` of a bound socket.
        metrics: of this process.
        health: of this process.
        pages: metrics of other processes, to be shown with ours.
    """

    name = "control plane"

    def __init__(
        self,
        listen: Sequence[str],
        metrics: Metrics,
        health: Health,
        pages: Pages | None = None,
    ) -> None:
        self._listen = list(listen)
        self._app = control_app(metrics, health, pages)
        self.addresses: list[str] = []
        """Where it listens, once started: `http://host:port`."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        config = Config()
        config.bind = self._listen
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = 1.0
        async with trio.open_nursery() as nursery:
            self.addresses = await nursery.start(serve, self._app, config)
            task_status.started()
