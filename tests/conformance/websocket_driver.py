"""Drives WebSocket: relays as binary messages, refusals as close codes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)
from wsproto.utilities import RemoteProtocolError

from relayminer.testing.driver import ConnectRefusedError, HungUpError, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsproto.events import Event

    from relayminer.testing.driver import DrivenBackend

MAX_MESSAGE_BYTES = 50_000_000


class WebSocketNode:
    """A WebSocket server that answers its n-th message with `bodies(n)`."""

    def __init__(self, bodies: Callable[[int], bytes]) -> None:
        self._bodies = bodies
        self._port = 0
        self.asked = 0
        self.hold: trio.Event | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._port}/"

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            serve = partial(
                serve_websocket,
                self._serve,
                "127.0.0.1",
                0,
                ssl_context=None,
                max_message_size=MAX_MESSAGE_BYTES,
            )
            server = await nursery.start(serve)
            self._port = server.port
            task_status.started()

    async def _serve(self, request: WebSocketRequest) -> None:
        socket = await request.accept()
        try:
            while True:
                await socket.get_message()
                number = self.asked
                self.asked += 1
                if self.hold is not None:
                    await self.hold.wait()
                await socket.send_message(self._bodies(number))
        except ConnectionClosed:
            return


class WebSocketConnection:
    """One conversation, without a task of its own."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._piece = b""

    async def open(self, host: str, service: str) -> None:
        """Shake hands.

        Raises:
            ConnectRefusedError: the relayer answers with something else than 101.
        """
        headers = [(b"Target-Service-Id", service.encode()), (b"Rpc-Type", b"2")]
        await self._write(Request(host=host, target="/", extra_headers=headers))
        try:
            event = await self._next()
        except HungUpError as error:
            raise ConnectRefusedError(str(error)) from error
        if isinstance(event, RejectConnection):
            body = await self._next() if event.has_body else None
            text = body.data.decode() if isinstance(body, RejectData) else ""
            raise ConnectRefusedError(f"{event.status_code} {text}")
        if not isinstance(event, AcceptConnection):
            raise ConnectRefusedError(f"no handshake: {event!r}")

    async def send(self, body: bytes) -> None:
        """One binary message."""
        await self._write(BytesMessage(body))

    async def receive(self) -> Reply:
        """The next message, or the close code."""
        while True:
            event = await self._next()
            if isinstance(event, CloseConnection):
                await self._write(event.response())
                return Reply(refusal=f"{int(event.code)} {event.reason}", ended=True)
            if isinstance(event, Ping):
                await self._write(event.response())
            elif isinstance(event, Message):
                data = event.data
                self._piece += data.encode("latin-1") if isinstance(data, str) else bytes(data)
                if event.message_finished:
                    whole, self._piece = self._piece, b""
                    return Reply(response=whole)

    async def aclose(self) -> None:
        """Close the socket."""
        await trio.aclose_forcefully(self._stream)

    async def _write(self, event: Event) -> None:
        try:
            await self._stream.send_all(self._protocol.send(event))
        except trio.BrokenResourceError:
            # The relayer hung up; `receive` finds what it said before.
            return

    async def _next(self) -> Event:
        while not self._events:
            try:
                data = await self._stream.receive_some(65_536)
            except trio.BrokenResourceError as error:
                raise HungUpError(str(error)) from error
            if not data:
                raise HungUpError("the relayer closed the connection")
            try:
                self._protocol.receive_data(data)
                self._events.extend(self._protocol.events())
            except RemoteProtocolError as error:
                raise HungUpError(f"not WebSocket: {error}") from error
        return self._events.pop(0)


class WebSocketDriver:
    """WebSocket with a WebSocket backend: payloads travel as they are."""

    name = "websocket"
    backend_type = "websocket"

    def oversize_bytes(self, max_body_bytes: int) -> int:
        """The payload alone is too large then."""
        return max_body_bytes

    def payload(self, number: int) -> bytes:
        """A JSON-RPC call without an envelope."""
        return b'{"jsonrpc":"2.0","id":%d,"method":"eth_blockNumber","params":[]}' % number

    def backend(self, bodies: Callable[[int], bytes]) -> DrivenBackend:
        """A WebSocket server."""
        return WebSocketNode(bodies)

    async def connect(self, address: tuple[str, int], service: str) -> WebSocketConnection:
        """A conversation about `service`."""
        connection = WebSocketConnection(await trio.open_tcp_stream(*address))
        try:
            await connection.open("relayer", service)
        except BaseException:
            await connection.aclose()
            raise
        return connection
