"""grpclib's HTTP/2 layer with Trio's way of waiting.

grpclib waits on asyncio's events. Its connection and streams ask nothing more of them than `set`,
`clear`, `is_set` and `wait`, so that is what they get here, and no asyncio loop runs beside Trio's.

A client may leave at any moment. Whoever waits for it then gets a `WireError`, and nobody else is
disturbed: a relay that the engine has in hand is finished and accounted for, as over HTTP/1.1.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import trio
from grpclib.config import Configuration
from grpclib.protocol import Connection, Stream
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from h2.exceptions import FrameTooLargeError, ProtocolError

from relayminer.plugin import WireError, WireTimeoutError
from relayminer_plugins.grpc.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from h2.events import Event
    from hyperframe.frame import Frame, GoAwayFrame

    from relayminer.plugin import Headers
    from relayminer_plugins.grpc.outbox import Outbox

_MAX_FRAME_BYTES: Final = 65_536
"""Of the DATA frames that we write, however large the peer would take them."""
_LENGTH_BYTES: Final = 3
_WORTH_BYTES: Final = 256
"""A DATA frame of ours as large as this is work done for the peer, who may well answer it with
window updates and pings; smaller ones are what a hostile window makes of an answer."""


class Protocol(H2Connection):
    """h2 with a shorter memory, and with more patience for a client that says goodbye."""

    MAX_CLOSED_STREAMS = 1_024
    DEFAULT_MAX_HEADER_LIST_SIZE = 16_384

    def receive_data(self, data: bytes) -> list[Event]:  # type: ignore[override]  # we have bytes
        """As h2, which looks at a frame's length only when it has all of it: up to 16 MiB."""
        events = super().receive_data(data)
        begun = self.incoming_buffer._data  # noqa: SLF001 - h2 tells nobody what it keeps
        if int.from_bytes(begun[:_LENGTH_BYTES], "big") > self.max_inbound_frame_size:
            self._terminate_connection(ErrorCodes.FRAME_SIZE_ERROR)
            raise FrameTooLargeError("a frame that announces more than we take")
        return events

    @property
    def open_inbound_streams(self) -> int:
        """None too many: h2 would end the connection, `Http2Connection.accept` refuses the stream.

        Asked for each new stream, which is when h2 forgets closed ones.
        """
        self._open_streams(1)
        return 0

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """A client's GOAWAY ends nothing that it asked before (RFC 9113, 6.8); h2's would."""
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class Held:
    """Bytes of requests that are not answered yet, of all streams of a connection."""

    __slots__ = ("bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self.max_bytes = max_bytes


class TooMuchHeldError(Exception):
    """The connection's requests are too large, all together."""


class Inbox:
    """What has come of a request's body, in order.

    A piece is acknowledged when somebody takes it: until then it counts against the windows of its
    stream and of its connection, which bounds what a client can make us hold.
    """

    __slots__ = ("_acknowledge", "_left", "_news", "_pieces", "ended")

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._news = Flag()
        self._left = False
        self.ended = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is nothing to take yet."""
        return not (self._pieces or self.ended)

    @property
    def finished(self) -> bool:
        """Whether all has come and was taken."""
        return self.ended and not self._pieces

    def add(self, data: bytes, ack_size: int) -> None:
        """A DATA frame. grpclib calls it."""
        self._pieces.append((data, ack_size))
        self._news.set()

    def eof(self) -> None:
        """The client has said all. grpclib calls it."""
        self.ended = True
        self._news.set()

    def leave(self) -> None:
        """The client has gone: nothing comes any more."""
        self._left = True
        self._news.set()

    def unacked_size(self) -> int:
        """Bytes that nobody took, now forgotten. grpclib calls it when the stream ends."""
        size = sum(size for _, size in self._pieces)
        self._pieces.clear()
        return size

    async def news(self) -> None:
        """Return when a piece has come, or the end, or the client has left."""
        while not (self._pieces or self.ended or self._left):
            self._news.clear()
            await self._news.wait()

    def take(self) -> bytes | None:
        """The next piece, None at the end of the body; `news` comes first.

        Raises:
            WireError: the client left before.
        """
        if self._pieces:
            data, size = self._pieces.popleft()
            if size:
                self._acknowledge(size)
            return data
        if not self.ended:
            raise WireError("the client has left")
        return None


class TrioStream(Stream):
    """A stream whose waits are Trio's, and end.

    Attributes:
        inbox: what has come of the request's body.
        outbox: of the connection.
        held: by all streams of the connection.
        write_timeout_seconds: for the client to make room for what is sent to it.
        left: set when the client has reset the stream, or is gone altogether.
        at_work: whether its relay has been handed to the engine.
    """

    inbox: Inbox
    outbox: Outbox
    held: Held
    write_timeout_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.window_updated = Flag()  # type: ignore[assignment]  # as good as asyncio's here
        self.left = Flag()
        self.at_work = False
        self._patience: trio.CancelScope | None = None
        self._last_moment = math.inf
        self._held_bytes = 0

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        """As grpclib, with an `Inbox`."""
        super().init_stream(stream_id, connection)
        self.inbox = Inbox(lambda size: connection.ack(stream_id, size))
        self.buffer = self.inbox  # type: ignore[assignment]  # what grpclib calls of it is there

    def leave(self) -> None:
        """The client is gone: wake whoever waits for it."""
        self.left.set()
        self.inbox.leave()
        self.window_updated.set()

    def hurry(self, last_moment: float) -> None:
        """Whatever the client still has to say, it has to say until then."""
        self._last_moment = min(self._last_moment, last_moment)
        if self._patience is not None:
            self._patience.deadline = min(self._patience.deadline, last_moment)

    async def take(self, deadline: float) -> bytes | None:
        """The next piece of the body, None at its end.

        Raises:
            WireError: the client left before.
            trio.TooSlowError: nothing came until `deadline`.
            TooMuchHeldError: the streams of this connection hold too much already.
        """
        if self.inbox.is_waiting:
            # The client may wait for the window updates that earlier pieces were worth.
            await self.outbox.flush()
            with trio.CancelScope(deadline=min(deadline, self._last_moment)) as patience:
                self._patience = patience
                await self.inbox.news()
            self._patience = None
            if patience.cancelled_caught:
                raise trio.TooSlowError
        piece = self.inbox.take()
        if piece:
            self._held_bytes += len(piece)
            self.held.bytes += len(piece)
            if self.held.bytes > self.held.max_bytes:
                raise TooMuchHeldError
        return piece

    def let_go(self) -> None:
        """What was taken is answered, or forgotten."""
        self.held.bytes -= self._held_bytes
        self._held_bytes = 0

    async def respond(self, head: Headers, body: bytes, trailers: Headers | None = None) -> None:
        """A whole answer.

        Raises:
            WireError: the client left.
            WireTimeoutError: it does not take it.
        """
        number, h2 = self.id or 0, self._h2_connection
        if self.left.is_set() or number not in h2.streams:
            raise WireError("the client has left")
        try:
            if body and not self._fits(len(body)):
                await self.send_fields(head)
                await self.send_piece(body, end_stream=trailers is None)
                if trailers is not None:
                    await self.send_fields(trailers, end_stream=True)
                return
            h2.send_headers(number, head, end_stream=not body and trailers is None)
            if body:
                h2.send_data(number, body, end_stream=trailers is None)
                self.connection.data_send_process()
            if trailers is not None:
                h2.send_headers(number, trailers, end_stream=True)
        except ProtocolError as error:
            raise WireError(f"the stream is closed: {error}") from error
        self._transport.write(h2.data_to_send())

    def _fits(self, size: int) -> bool:
        """Whether it may be sent at once, in one frame."""
        h2 = self._h2_connection
        return (
            size <= min(_MAX_FRAME_BYTES, h2.max_outbound_frame_size)
            and size <= h2.local_flow_control_window(self.id or 0)
            and self.outbox.room.is_set()
        )

    async def send_fields(self, fields: Headers, *, end_stream: bool = False) -> None:
        """Headers or trailers, as bytes: grpclib passes them to h2, which takes both.

        Raises:
            WireError: the client left.
            WireTimeoutError: it does not read.
        """
        await self._room(self._write_deadline())
        try:
            await self.send_headers(fields, end_stream=end_stream)  # type: ignore[arg-type]  # bytes do
        except ProtocolError as error:
            raise WireError(f"the stream is closed: {error}") from error

    async def send_piece(self, data: bytes, *, end_stream: bool = False) -> None:
        """As much as the client's windows take, and so on until all is written.

        Raises:
            WireError: the client left.
            WireTimeoutError: it does not make room in time.
        """
        try:
            await self._send_all(memoryview(data), end_stream=end_stream)
        except ProtocolError as error:
            raise WireError(f"the stream is closed: {error}") from error

    async def _send_all(self, rest: memoryview, *, end_stream: bool) -> None:
        number, h2, deadline = self.id or 0, self._h2_connection, self._write_deadline()
        while True:
            await self._room(deadline)
            if not rest:
                # Needs no window, which a peer can make negative.
                if end_stream:
                    h2.end_stream(number)
                    self._transport.write(h2.data_to_send())
                return
            window = h2.local_flow_control_window(number)
            if window <= 0:
                self.window_updated.clear()
                await self._wait(self.window_updated, deadline)
                continue
            size = min(window, h2.max_outbound_frame_size, _MAX_FRAME_BYTES, len(rest))
            is_last = size == len(rest)
            h2.send_data(number, bytes(rest[:size]), end_stream=end_stream and is_last)
            if size >= _WORTH_BYTES:
                self.connection.data_send_process()
            self._transport.write(h2.data_to_send())
            if is_last:
                return
            rest = rest[size:]

    def _write_deadline(self) -> float:
        return trio.current_time() + self.write_timeout_seconds

    async def _room(self, deadline: float) -> None:
        """Wait until the outbox takes more."""
        while not self.outbox.room.is_set():
            await self._wait(self.outbox.room, deadline)
        if self.left.is_set():
            raise WireError("the client has left")

    async def _wait(self, flag: Flag | Any, deadline: float) -> None:
        await self.outbox.flush()
        with trio.CancelScope(deadline=deadline) as patience:
            await flag.wait()
        if patience.cancelled_caught:
            raise WireTimeoutError("the client took longer than it was given")


class TrioConnection(Connection):
    """A connection whose waits are Trio's.

    Args:
        outbox: of all that is written.
        held: by all streams.
        write_timeout_seconds: of each of them.
        on_data_sent: called for each DATA frame that is worth something.
    """

    def __init__(
        self,
        protocol: Protocol,
        outbox: Outbox,
        held: Held,
        *,
        write_timeout_seconds: float,
        on_data_sent: Callable[[], None],
    ) -> None:
        super().__init__(
            protocol,
            outbox,  # type: ignore[arg-type]  # all that grpclib calls of it is there
            config=Configuration(_keepalive_time=None),
        )
        self.write_ready = outbox.room  # type: ignore[assignment]  # as good as asyncio's here
        self._outbox = outbox
        self._held = held
        self._write_timeout_seconds = write_timeout_seconds
        self._on_data_sent = on_data_sent

    def create_stream(self, *, stream_id: int | None = None, wrapper: Any = None) -> TrioStream:
        """As grpclib, with our streams."""
        stream = TrioStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )
        stream.outbox = self._outbox
        stream.held = self._held
        stream.write_timeout_seconds = self._write_timeout_seconds
        return stream

    def data_send_process(self) -> None:
        """A DATA frame was written."""
        self._on_data_sent()
