"""An HTTP/2 server that does what a test tells it to, frame by frame if need be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from h2.events import Event
    from h2.settings import SettingCodes

Fields = list[tuple[bytes, bytes]]


@define(eq=False)
class Asked:
    """One request, and the way to answer it."""

    connection: Connection
    number: int
    fields: dict[bytes, bytes]
    body: bytearray = field(factory=bytearray)
    reset: trio.Event = field(factory=trio.Event)

    async def head(
        self, *fields: tuple[bytes, bytes], end: bool = False, status: int = 200
    ) -> None:
        """Status and headers."""
        head = [(b":status", b"%d" % status), *fields]
        self.connection.h2.send_headers(self.number, head, end_stream=end)
        await self.connection.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """A piece of the body, as the client's windows let it."""
        h2 = self.connection.h2
        while data:
            size = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if not size:
                await self.connection.window.wait()
                continue
            piece, data = data[:size], data[size:]
            h2.send_data(self.number, piece, end_stream=end and not data)
            await self.connection.flush()

    async def trailers(self, *fields: tuple[bytes, bytes]) -> None:
        """The end of the answer."""
        self.connection.h2.send_headers(self.number, list(fields), end_stream=True)
        await self.connection.flush()

    async def answer(self, body: bytes, *fields: tuple[bytes, bytes], status: int = 200) -> None:
        """All of an answer."""
        await self.head(*fields, end=not body, status=status)
        await self.send(body, end=True)

    async def refuse(self, code: ErrorCodes) -> None:
        """Reset the stream."""
        self.connection.h2.reset_stream(self.number, code)
        await self.connection.flush()


Serve = Callable[[Asked], Awaitable[None]]


class Connection:
    """One connection of a client."""

    def __init__(self, stream: trio.abc.Stream, server: Http2Server) -> None:
        self.stream = stream
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.asked: dict[int, Asked] = {}
        self.window = trio.Event()
        self.pinged = trio.Event()
        self._lock = trio.Lock()

    async def flush(self) -> None:
        """Send what h2 has to say."""
        async with self._lock:
            data = self.h2.data_to_send()
            if data:
                await self.stream.send_all(data)

    async def leave(self, last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """GOAWAY; the connection goes on."""
        async with self._lock:
            frame = GoAwayFrame(last_stream_id=last, error_code=code)
            await self.stream.send_all(frame.serialize())

    async def run(self) -> None:
        """Read until the client hangs up."""
        self.h2.local_settings.update(
            {int(code): value for code, value in self.server.settings.items()}
        )
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        await self.flush()
        async with trio.open_nursery() as nursery:
            while data := await self.stream.receive_some(65_536):
                for event in self.h2.receive_data(data):
                    self._on(event, nursery)
                await self.flush()
            nursery.cancel_scope.cancel()

    def _on(self, event: Event, nursery: trio.Nursery) -> None:
        if isinstance(event, RequestReceived):
            self.asked[event.stream_id or 0] = Asked(
                self, event.stream_id or 0, dict(event.headers or ())
            )
        elif isinstance(event, DataReceived):
            self.asked[event.stream_id or 0].body += event.data or b""
            if self.server.reads:
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
        elif isinstance(event, StreamEnded):
            asked = self.asked[event.stream_id or 0]
            self.server.requests.append(asked)
            nursery.start_soon(self._serve, asked)
        elif isinstance(event, StreamReset):
            self.server.resets.append(event.error_code)
            self.asked[event.stream_id or 0].reset.set()
        elif isinstance(event, PingAckReceived):
            self.pinged.set()
        elif isinstance(event, WindowUpdated):
            self.window.set()
            self.window = trio.Event()

    async def _serve(self, asked: Asked) -> None:
        try:
            await self.server.serve(asked)
        except (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            # The client has given the stream up.
            return


@define(eq=False)
class Http2Server:
    """Answers each request by `serve`.

    Attributes:
        reads: whether it makes room for what clients send.
    """

    serve: Serve
    settings: dict[SettingCodes, int] = field(factory=dict)
    reads: bool = True
    port: int = 0
    requests: list[Asked] = field(factory=list)
    resets: list[object] = field(factory=list)
    connections: list[Connection] = field(factory=list)

    async def run(
        self, tls: ssl.SSLContext | None = None, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                partial(trio.serve_tcp, partial(self._converse, tls), 0, host="127.0.0.1")
            )
            self.port = listeners[0].socket.getsockname()[1]
            task_status.started()

    async def _converse(self, tls: ssl.SSLContext | None, plain: trio.SocketStream) -> None:
        stream: trio.abc.Stream = plain
        if tls is not None:
            stream = trio.SSLStream(plain, tls, server_side=True, https_compatible=True)
        connection = Connection(stream, self)
        self.connections.append(connection)
        try:
            await connection.run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError):
            # Clients leave as they like.
            pass
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def http2_server(
    serve: Serve, tls: ssl.SSLContext | None = None, **options: object
) -> AsyncIterator[Http2Server]:
    """A server until the block ends."""
    server = Http2Server(serve, **options)  # type: ignore[arg-type]  # the caller's
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, tls)
        yield server
        nursery.cancel_scope.cancel()
