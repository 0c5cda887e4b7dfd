"""Runs a Quart application on a socket that is open already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app

if TYPE_CHECKING:
    import socket

    from quart_trio import QuartTrio

PING_INTERVAL_SECONDS = 27.0  # CometBFT's; a client that stops answering pings is dropped


async def serve_web(
    app: QuartTrio,
    listener: socket.socket,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `listener` until cancelled."""
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.websocket_ping_interval = PING_INTERVAL_SECONDS
    config.graceful_timeout = 0.0
    sockets = Sockets(secure_sockets=[], insecure_sockets=[listener], quic_sockets=[])
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve, app, config, sockets)
        task_status.started()


async def _serve(
    app: QuartTrio,
    config: Config,
    sockets: Sockets,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    await worker_serve(wrapped, config, sockets=sockets, task_status=task_status)
