"""One unary gRPC call on a connection of its own: for probes, which are few and far between."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from relayminer.net.dial import TLS_SCHEMES, dial
from relayminer.net.errors import BadResponseError, WireError
from relayminer.net.tls import ClientTls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from relayminer.net.http1 import Headers
    from relayminer.net.url import Origin
    from relayminer.net.wire import AnyWire

GRPC_OK: Final = 0
UNIMPLEMENTED: Final = 12
_PREFIX = struct.Struct(">BI")
_MAX_ANSWER_BYTES = 65_536
_OURS = frozenset({b"host", b"content-length", b"accept-encoding", b"connection", b"te"})


class UnaryCall:
    """Dials, asks, hangs up. The caller bounds the time.

    Args:
        make_tls: a context for https origins; ALPN is set here.
    """

    def __init__(self, make_tls: Callable[[], ssl.SSLContext]) -> None:
        self._make_tls = make_tls

    async def __call__(
        self,
        origin: Origin,
        path: bytes,
        message: bytes,
        headers: Headers,
        *,
        timeout_seconds: float,
    ) -> tuple[int, bytes]:
        """The gRPC status and the answer's message (empty unless the status is 0).

        Raises:
            WireError, WireTimeoutError: no connection, or it broke.
            BadResponseError: this is not gRPC.
        """
        tls = None
        if origin.scheme in TLS_SCHEMES:
            context = self._make_tls()
            context.set_alpn_protocols(["h2"])
            tls = ClientTls(context)
        wire = await dial(origin, timeout_seconds=timeout_seconds, tls=tls)
        try:
            return await _Conversation(wire).ask(origin, path, message, headers)
        except ProtocolError as error:
            raise BadResponseError(f"not HTTP/2: {error}") from error
        finally:
            wire.close()


class _Conversation:
    """One stream on one connection."""

    def __init__(self, wire: AnyWire) -> None:
        self._wire = wire
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._status: int | None = None
        self._http_status = b""
        self._body = b""
        self._ended = False

    async def ask(
        self, origin: Origin, path: bytes, message: bytes, headers: Headers
    ) -> tuple[int, bytes]:
        """One call."""
        h2 = self._h2
        h2.initiate_connection()
        h2.send_headers(1, _request_headers(origin, path, headers))
        h2.send_data(1, _PREFIX.pack(0, len(message)) + message, end_stream=True)
        await self._wire.send(h2.data_to_send())
        while not self._ended:
            data = await self._wire.receive()
            if not data:
                raise WireError("the server closed before its answer was complete")
            for event in h2.receive_data(data):
                self._on(event)
            out = h2.data_to_send()
            if out:
                await self._wire.send(out)
        if self._status is None:
            code = self._http_status.decode("latin-1") or "none"
            raise BadResponseError(f"no gRPC status; HTTP status {code}")
        return self._status, self._body[_PREFIX.size :]

    def _on(self, event: object) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._read_headers(event.headers)
        elif isinstance(event, DataReceived):
            self._body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
            if len(self._body) > _MAX_ANSWER_BYTES:
                raise BadResponseError("the answer has more bytes than accepted")
        elif isinstance(event, StreamEnded):
            self._ended = True
        elif isinstance(event, StreamReset | ConnectionTerminated) and not self._ended:
            raise WireError("the server ended the call")

    def _read_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            if name == b":status":
                self._http_status = value
            elif name == b"grpc-status" and value.isdigit():
                self._status = int(value)


def _request_headers(origin: Origin, path: bytes, headers: Headers) -> Headers:
    return [
        (b":method", b"POST"),
        (b":scheme", origin.scheme.encode()),
        (b":authority", origin.authority.encode()),
        (b":path", path),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *((name, value) for name, value in headers if name not in _OURS),
    ]
