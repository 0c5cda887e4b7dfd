"""A gRPC server by Google's library, as a backend."""

from __future__ import annotations

import struct
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.testing.certificates import Authority

ECHO, FAIL, MANY = "/pkg.Service/Echo", "/pkg.Service/Fail", "/pkg.Service/Many"


def framed(message: bytes) -> bytes:
    """A gRPC message behind its prefix."""
    return struct.pack(">BI", 0, len(message)) + message


@define(eq=False)
class GrpcNode:
    """A gRPC server by Google's library."""

    metadata: list[dict[str, Any]] = field(factory=list)

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """The same again, with a trailer of its own."""
        self.metadata.append(dict(context.invocation_metadata()))
        context.set_trailing_metadata((("x-node", "one"),))
        return request

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """An error of the application."""
        context.abort(grpc.StatusCode.NOT_FOUND, "no such: thing")
        return request

    def many(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """The same three times."""
        del context
        yield from (request, request, request)

    @contextmanager
    def running(self, authority: Authority | None = None, port: int = 0) -> Iterator[str]:
        """Its address while it runs."""
        server = grpc.server(futures.ThreadPoolExecutor(4))
        methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("pkg.Service", methods),)
        )
        address = f"127.0.0.1:{port}"
        if authority is None:
            port = server.add_insecure_port(address)
        else:
            identity = authority.issue()
            pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait(5)
