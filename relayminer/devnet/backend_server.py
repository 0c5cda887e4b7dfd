"""The whole demo backend on its ports: HTTP with streams and WebSocket, gRPC, metrics."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen

from relayminer.devnet.backend import BackendFaults, JsonRpcBackend
from relayminer.devnet.backend_grpc import DemoServicer
from relayminer.devnet.backend_metrics import BackendMetrics
from relayminer.devnet.backend_routes import BackendRoutes
from relayminer.devnet.grpc_server import serve_servicer
from relayminer.devnet.http_server import serve_http
from relayminer.devnet.sockets import open_listener, port_of

if TYPE_CHECKING:
    import socket


@frozen(kw_only=True)
class BackendOptions:
    """How a demo backend is made; port 0 takes any free one.

    Attributes:
        backend_id: told in answers.
        push_seconds: from one push of a subscription to the next.
        seed: of the dice that faults are thrown with.
    """

    host: str = "127.0.0.1"
    port: int = 8545
    grpc_port: int = 50051
    metrics_port: int = 9095
    backend_id: str = "backend"
    push_seconds: float = 1.0
    faults: BackendFaults = field(factory=BackendFaults)
    seed: int = 0


@frozen
class RunningBackend:
    """Where a demo backend is.

    Attributes:
        url: of HTTP; with `ws` for WebSocket.
        grpc: `host:port`, cleartext.
        metrics_url: of the metrics page.
    """

    node: JsonRpcBackend
    url: str
    grpc: str
    metrics_url: str


async def run_backend(
    options: BackendOptions,
    *,
    task_status: trio.TaskStatus[RunningBackend] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a demo backend until cancelled; reports itself once every port answers.

    Raises:
        OSError: a port is taken.
    """
    dice = random.Random(options.seed).random  # noqa: S311 - no secret
    node = JsonRpcBackend(dice, options.backend_id, options.faults)
    metrics = BackendMetrics()
    with ExitStack() as stack:

        def listen(port: int) -> socket.socket:
            return stack.enter_context(open_listener(options.host, port))

        http, grpc, page = map(listen, (options.port, options.grpc_port, options.metrics_port))
        async with trio.open_nursery() as nursery:
            await nursery.start(
                partial(serve_backend, node, http, metrics, push_seconds=options.push_seconds)
            )
            await nursery.start(serve_servicer, DemoServicer(node, metrics), grpc)
            await nursery.start(partial(serve_http, metrics.page, [_listener(page)]))
            task_status.started(
                RunningBackend(
                    node,
                    f"http://{options.host}:{port_of(http)}",
                    f"{options.host}:{port_of(grpc)}",
                    f"http://{options.host}:{port_of(page)}/metrics",
                )
            )


async def serve_backend(
    node: JsonRpcBackend,
    listener: socket.socket,
    metrics: BackendMetrics | None = None,
    *,
    push_seconds: float = 1.0,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve everything but gRPC on one port until cancelled."""
    routes = BackendRoutes(node, metrics, push_seconds=push_seconds)
    await serve_http(
        routes.answer, [_listener(listener)], upgrade=routes.upgrade, task_status=task_status
    )


def _listener(bound: socket.socket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))
