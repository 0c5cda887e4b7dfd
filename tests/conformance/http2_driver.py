"""Drives HTTP/2 cleartext, relays as POSTs or as gRPC calls, one stream each; and gRPC-Web."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trio
from attrs import Factory, define, field

from relayminer.net.client import request_bytes
from relayminer.net.errors import WireError
from relayminer.testing.backend import HttpNode
from relayminer.testing.driver import HungUpError, Reply
from relayminer.testing.http_client import Client, connect
from relayminer.testing.http_driver import json_rpc_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperframe.frame import Frame, GoAwayFrame

    from relayminer.testing.driver import DrivenBackend, DrivenConnection

SEND_RELAY = "/pocket.service.RelayService/SendRelay"
GRPC_OK = "0"
HTTP_OK = "200"
TRAILERS_FLAG = 0x80
WINDOW_BYTES = 16_777_216


def framed(message: bytes) -> bytes:
    """A gRPC message behind its prefix, uncompressed."""
    return struct.pack(">BI", 0, len(message)) + message


def unframed(data: bytes) -> bytes:
    """The one message of a gRPC body, empty when there is none."""
    if len(data) < 5:
        return b""
    _, size = struct.unpack(">BI", data[:5])
    return data[5 : 5 + size]


@define
class Stream:
    """What has come of one answer."""

    headers: dict[str, str] = Factory(dict)
    body: bytearray = field(factory=bytearray)
    ended: bool = False


class PatientProtocol(h2.connection.H2Connection):
    """h2, but a GOAWAY does not end the streams that began before it (RFC 9113, 6.8)."""

    def _receive_goaway_frame(
        self, frame: GoAwayFrame
    ) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        return [], [event]


class Http2Connection:
    """One connection, without a task of its own.

    Args:
        grpc: whether relays go as calls of the relay service.
    """

    def __init__(self, stream: trio.SocketStream, *, grpc: bool) -> None:
        self._stream = stream
        self._grpc = grpc
        self._protocol = PatientProtocol(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._streams: dict[int, Stream] = {}
        self._waiting: deque[int] = deque()
        self._terminated = False

    async def open(self) -> None:
        """Send the preface, with windows that never hold the relayer up."""
        self._protocol.initiate_connection()
        self._protocol.increment_flow_control_window(WINDOW_BYTES)
        await self._flush()

    async def send(self, body: bytes) -> None:
        """One stream with one relay."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "relayer"),
            (":path", SEND_RELAY if self._grpc else "/"),
        ]
        if self._grpc:
            headers += [("content-type", "application/grpc"), ("te", "trailers")]
            body = framed(body)
        else:
            headers += [("content-length", str(len(body)))]
        try:
            number = self._protocol.get_next_available_stream_id()
            self._protocol.send_headers(number, headers, end_stream=not body)
        except h2.exceptions.ProtocolError:
            self._terminated = True
            return
        stream = self._streams[number] = Stream()
        self._waiting.append(number)
        await self._flush()
        rest = memoryview(body)
        while rest and not stream.ended:
            try:
                window = self._protocol.local_flow_control_window(number)
                size = min(window, self._protocol.max_outbound_frame_size, len(rest))
                if not size:
                    await self._read()
                    continue
                self._protocol.send_data(number, bytes(rest[:size]), size == len(rest))
            except (h2.exceptions.ProtocolError, HungUpError):
                # The relayer has answered already, or is gone: `receive` tells.
                return
            rest = rest[size:]
            await self._flush()

    async def receive(self) -> Reply:
        """The answer of the oldest stream; without one, the end of the connection."""
        if not self._waiting:
            while not self._terminated:
                await self._read()
            raise HungUpError("the relayer says that it is leaving")
        number = self._waiting.popleft()
        stream = self._streams[number]
        while not stream.ended:
            await self._read()
        del self._streams[number]
        return self._grpc_reply(stream) if self._grpc else self._http_reply(stream)

    async def aclose(self) -> None:
        """Close the socket."""
        await trio.aclose_forcefully(self._stream)

    def _grpc_reply(self, stream: Stream) -> Reply:
        status = stream.headers.get("grpc-status", "")
        if status == GRPC_OK:
            return Reply(response=unframed(bytes(stream.body)), ended=self._terminated)
        words = unquote(stream.headers.get("grpc-message", ""))
        http = stream.headers.get(":status", "reset")
        return Reply(refusal=f"{http} {status} {words}", ended=self._terminated)

    def _http_reply(self, stream: Stream) -> Reply:
        status = stream.headers.get(":status", "reset")
        if status == HTTP_OK:
            return Reply(response=bytes(stream.body), ended=self._terminated)
        words = stream.body.decode("utf-8", "replace")
        return Reply(refusal=f"{status} {words}", ended=self._terminated)

    async def _flush(self) -> None:
        try:
            await self._stream.send_all(self._protocol.data_to_send())
        except trio.BrokenResourceError:
            # `receive` finds what was said before.
            return

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(65_536)
        except trio.BrokenResourceError as error:
            raise HungUpError(str(error)) from error
        if not data:
            raise HungUpError("the relayer closed the connection")
        for event in self._protocol.receive_data(data):
            self._handle(event)
        await self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._terminated = True
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            stream.headers |= {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data or b""
            self._protocol.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            stream.ended = True


class GrpcWebConnection:
    """gRPC-Web over HTTP/1.1."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def send(self, body: bytes) -> None:
        """POST the framed message."""
        headers = [(b"Content-Type", b"application/grpc-web+proto"), (b"X-Grpc-Web", b"1")]
        target = SEND_RELAY.encode()
        try:
            await self._client.wire.send(
                request_bytes(b"POST", target, b"relayer", headers, framed(body))
            )
        except WireError:
            # `receive` finds what was said before.
            return

    async def receive(self) -> Reply:
        """The message, or the status of the trailers."""
        try:
            answer = await self._client.read()
        except (WireError, ConnectionError) as error:
            raise HungUpError(str(error)) from error
        ended = answer.header(b"connection").lower() == b"close"
        message, trailers, rest = b"", b"", answer.body
        while len(rest) >= 5:
            flag, size = struct.unpack(">BI", rest[:5])
            if flag & TRAILERS_FLAG:
                trailers = rest[5 : 5 + size]
            else:
                message = rest[5 : 5 + size]
            rest = rest[5 + size :]
        if b"grpc-status:0" in trailers.replace(b" ", b"") and message:
            return Reply(response=message, ended=ended)
        words = trailers or answer.header(b"grpc-message") or answer.body
        return Reply(refusal=f"{answer.status} {words.decode('utf-8', 'replace')}", ended=ended)

    async def aclose(self) -> None:
        """Close the socket."""
        self._client.wire.close()


class _JsonRpc:
    """What these drivers have in common: a JSON-RPC backend behind an envelope."""

    backend_type = "jsonrpc"

    def oversize_bytes(self, max_body_bytes: int) -> int:
        """Just too large."""
        return max_body_bytes

    def payload(self, number: int) -> bytes:
        """A JSON-RPC call."""
        return json_rpc_payload(number)

    def backend(self, bodies: Callable[[int], bytes]) -> DrivenBackend:
        """An HTTP server."""
        return HttpNode(bodies)


class Http2Driver(_JsonRpc):
    """HTTP/2 with prior knowledge."""

    name = "http2"

    async def connect(self, address: tuple[str, int], service: str) -> DrivenConnection:
        """A connection; the service is in each relay."""
        del service
        return await _open(address, grpc=False)


class GrpcDriver(_JsonRpc):
    """gRPC, unary."""

    name = "grpc"

    async def connect(self, address: tuple[str, int], service: str) -> DrivenConnection:
        """A channel; the service is in each relay."""
        del service
        return await _open(address, grpc=True)


class GrpcWebDriver(_JsonRpc):
    """gRPC-Web over HTTP/1.1."""

    name = "grpc-web"

    async def connect(self, address: tuple[str, int], service: str) -> DrivenConnection:
        """A connection; the service is in each relay."""
        del service
        return GrpcWebConnection(await connect(address))


async def _open(address: tuple[str, int], *, grpc: bool) -> Http2Connection:
    connection = Http2Connection(await trio.open_tcp_stream(*address), grpc=grpc)
    await connection.open()
    return connection
