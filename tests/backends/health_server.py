"""A gRPC server that speaks `grpc.health.v1.Health`, on grpcio."""

from __future__ import annotations

from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVING = 1
NOT_SERVING = 2


class HealthServer:
    """Answers `Check` with the status of the service that is asked for.

    Attributes:
        statuses: by service name; the empty name is the whole server.
        asked: names that were asked for.
        knows_health: without it the method is unknown.
    """

    def __init__(self) -> None:
        self.statuses = {"": SERVING}
        self.asked: list[str] = []
        self.knows_health = True
        self.port = 0

    def check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """One call."""
        name = request[2:].decode()
        self.asked.append(name)
        if name not in self.statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([0x08, self.statuses[name]])

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address while it runs."""
        server = grpc.server(futures.ThreadPoolExecutor(2))
        if self.knows_health:
            handler = grpc.unary_unary_rpc_method_handler(self.check)
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
            )
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{self.port}"
        finally:
            server.stop(None).wait(5)
