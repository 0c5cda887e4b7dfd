"""One side of a conversation: trio-websocket's connection, read without queue or extra tasks.

trio-websocket puts messages into a channel for another task. Here the reader itself hands each
message over and reads on when that is done: order is kept, nothing piles up, and what is not read
fills the sender's socket. Idle, a side costs one task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from relayminer.plugin import Wire, WireError, linger
from relayminer_plugins.websocket.raw import RawText, make_raw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.plugin import BackendTarget, BridgeLimits
    from relayminer_plugins.websocket.stream import WireStream

_RECEIVE_BYTES = 16_384
_FREE_BYTES = 65_536
"""A smaller message is not asked for."""
_LINGER_BYTES = 16_777_216
_LINGER_SECONDS = 1.0


class RefusedHandshakeError(Exception):
    """The client's handshake is no WebSocket handshake.

    Attributes:
        status: 400, or 426 for a version that nobody here speaks.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Peer(WebSocketConnection):
    """A WebSocket connection whose messages go straight to `on_message`.

    Attributes:
        on_message: is given each message and whether it came as text.
        on_close: is given code and reason when the peer says goodbye, or breaks the rules: then
            the reason is None.
        on_too_big: the message exceeds the limit.
        on_growing: is given the bytes of a message of which there is more than `_FREE_BYTES`, and
            returns when they may be in memory.
    """

    on_message: Callable[[bytes, bool], Awaitable[None]]
    on_close: Callable[[int, str | None], None]
    on_too_big: Callable[[], None]
    on_growing: Callable[[int], Awaitable[None]] | None = None

    def __init__(
        self,
        stream: WireStream,
        limits: BridgeLimits,
        *,
        kind: ConnectionType,
        target: BackendTarget | None = None,
    ) -> None:
        super().__init__(
            stream,
            WSConnection(kind),
            host=None if target is None else target.authority,
            path=None if target is None else target.target,
            client_extra_headers=None if target is None else target.headers,
            message_queue_size=0,
            max_message_size=limits.max_message_bytes,
            receive_buffer_size=_RECEIVE_BYTES,
        )
        self._wire_stream = stream
        self._bytes = bytearray()
        self._read_all = trio.Event()
        self._broken = False
        self.deaf = False
        """Messages are not looked at any more."""

    # The handshake, before anybody reads in the background.

    async def read_request(self) -> Request:
        """The client's handshake.

        Raises:
            RefusedHandshakeError: it is none.
            WireError: the client went away.
        """
        try:
            event = await self._next_event()
        except RemoteProtocolError as error:
            status = getattr(error.event_hint, "status_code", 400)
            raise RefusedHandshakeError(status, str(error)) from error
        except UnicodeError as error:
            raise RefusedHandshakeError(400, "Bad HTTP message") from error
        if not isinstance(event, Request):
            raise WireError("the client sent no handshake")
        return event

    async def accept(self, request: Request) -> None:
        """Answer the handshake with 101: no subprotocol, no extension."""
        await self._accept(request, None, [])

    async def connect(self) -> None:
        """Shake hands as a client.

        Raises:
            WireError: the server refuses, or is none.
        """
        request, self._initial_request = self._initial_request, None
        if request is None:
            raise WireError("only a client begins a handshake, and only once")
        try:
            await self._send(request)
            event = await self._next_event()
        except (ConnectionClosed, RemoteProtocolError, UnicodeError) as error:
            raise WireError(f"no WebSocket handshake: {error}") from error
        if not isinstance(event, AcceptConnection):
            status = getattr(event, "status_code", 0)
            raise WireError(f"the backend refuses the WebSocket handshake: status {status}")
        await self._handle_accept_connection_event(event)
        make_raw(self._wsproto)

    async def _next_event(self) -> Event:
        while True:
            for event in self._wsproto.events():
                return event
            data = await self._wire_stream.wire.receive(_RECEIVE_BYTES)
            if not data:
                raise WireError("the connection ended within the handshake")
            self._wsproto.receive_data(data)

    # The conversation.

    async def read(self) -> None:
        """Hand over messages until the connection ends."""
        self._wire_stream.touch()
        try:
            await self._reader_task()
        finally:
            self._read_all.set()

    async def part(self, code: int, reason: str) -> None:
        """Say goodbye, hear the answer, and see to it that ours can be read.

        A socket closed with unread data resets the connection and takes our last words with it.
        """
        self.deaf = True
        await self.aclose(code, reason)
        wire = self._wire_stream.wire
        if isinstance(wire, Wire) and self._broken:
            wire.finish_writing()
            await self._read_all.wait()
            await linger(wire, _LINGER_BYTES, _LINGER_SECONDS)

    def drop(self) -> None:
        """Give the socket back, whatever was or was not said."""
        self._wire_stream.wire.close()

    async def send(self, data: bytes, *, text: bool) -> None:
        """Write a message.

        Raises:
            ConnectionClosed: it cannot be.
        """
        if self._close_reason is not None:
            raise ConnectionClosed(self._close_reason)
        await self._send(TextMessage(RawText.of(data)) if text else BytesMessage(data))

    async def send_ping(self) -> None:
        """Ask for a sign of life, unless something is being written anyway.

        Raises:
            ConnectionClosed: it cannot be.
        """
        if self._close_reason is None and not self._stream_lock.locked():
            await self._send(Ping())

    async def _send(self, event: Event) -> None:
        """As the library's, without a turn of the scheduler when nobody else is writing."""
        try:
            data = self._wsproto.send(event)
        except LocalProtocolError as error:
            raise ConnectionClosed(self._close_reason) from error
        if isinstance(event, AcceptConnection):
            # Before anything of the client is decoded.
            make_raw(self._wsproto)
        lock: trio.StrictFIFOLock = self._stream_lock
        if lock.locked():
            await lock.acquire()
        else:
            lock.acquire_nowait()
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            await self._abort_web_socket()
            raise ConnectionClosed(self._close_reason) from None
        finally:
            lock.release()

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        if self.deaf:
            return
        text = isinstance(event, TextMessage)
        content = event.data
        # The raw decoder gives characters 0 to 255.
        data = content.encode("latin-1") if isinstance(content, str) else bytes(content)
        whole = self._bytes
        if len(whole) + len(data) > self._max_message_size:
            whole.clear()
            self.deaf = True
            self.on_too_big()
            return
        size = len(whole) + len(data)
        if size > _FREE_BYTES and self.on_growing is not None:
            # Nobody reads while this waits: the sender waits, too.
            self._wire_stream.rest()
            await self.on_growing(size)
            self._wire_stream.touch()
            if self.deaf:
                return
        if whole or not event.message_finished:
            whole += data
            if not event.message_finished:
                return
            data = bytes(whole)
            self._bytes = bytearray()
        self._wire_stream.rest()
        await self.on_message(data, text)
        self._wire_stream.touch()

    async def _handle_pong_event(self, event: Pong) -> None:  # noqa: ARG002 - called by the library
        self._wire_stream.touch()

    async def _handle_close_connection_event(self, event: CloseConnection) -> None:
        self.deaf = True
        if self._wsproto.state is ConnectionState.OPEN:
            # wsproto says so of frames that break the rules; it leaves the goodbye to us.
            self._broken = True
            self._reader_running = False
            await self._send(CloseConnection(code=event.code, reason=event.reason))
            await self._close_web_socket(event.code, event.reason)
            self._close_handshake.set()
            self.on_close(int(event.code), None)
            return
        if self._wsproto.state is ConnectionState.REMOTE_CLOSING:
            self.on_close(int(event.code), event.reason or "")
        await super()._handle_close_connection_event(event)
