"""The transport that owns HTTP/2 connections, and takes gRPC-Web requests off HTTP/1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.plugin import Claim
from relayminer_plugins.grpc import web
from relayminer_plugins.grpc.connection import Http2Connection
from relayminer_plugins.grpc.relays import serve_request
from relayminer_plugins.grpc.service import CONTENT_TYPE, NAME, Call

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers, RelayAnswer, Request, Wire
    from relayminer_plugins.grpc.streams import TrioStream

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ENDS: Final = frozenset({b"", b"+", b";"})
"""What may follow `application/grpc`; gRPC-Web is another type."""


class GrpcTransport:
    """HTTP/2 with prior knowledge: gRPC calls, gRPC-Web, relays as over HTTP/1.1, status pages."""

    name = NAME
    priority = 10
    alpn = ("h2",)

    def __init__(self) -> None:
        self._connections: set[Http2Connection] = set()

    def claims(self, head: bytes) -> Claim:
        """Whatever begins with HTTP/2's preface."""
        if head.startswith(_PREFACE):
            return Claim.YES
        return Claim.MORE if _PREFACE.startswith(head) else Claim.NO

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Serve the connection until either side hangs up."""

        async def answer(stream: TrioStream, headers: Headers) -> None:
            if _is_grpc(headers):
                await Call(stream, headers, engine).serve()
            else:
                await serve_request(stream, headers, engine)

        connection = Http2Connection(wire, engine.limits, answer)
        wire.ends_itself = True
        self._connections.add(connection)
        if engine.draining:
            connection.drain()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def drain(self) -> None:
        """Say GOAWAY on every connection."""
        for connection in list(self._connections):
            connection.drain()

    def takes(self, request: Request) -> bool:
        """Whether one HTTP request is gRPC-Web, or the preflight of it."""
        return web.takes(request)

    async def answer(self, request: Request, engine: Engine) -> RelayAnswer:
        """Answer it."""
        return await web.answer(request, engine)


def _is_grpc(headers: Headers) -> bool:
    """POST with `application/grpc`, `application/grpc+proto` and the like."""
    method = kind = b""
    for name, value in headers:
        if name == b":method":
            method = value
        elif name == b"content-type":
            kind = value
    if method != b"POST" or not kind.startswith(CONTENT_TYPE):
        return False
    return kind[len(CONTENT_TYPE) :][:1] in _ENDS
