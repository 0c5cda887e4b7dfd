"""The client's side of one HTTP/2 connection: many exchanges at once, without a task of its own.

Of those who wait for something, one reads for all; when it has what it wanted, the next one does.
So a connection costs nothing while nobody asks, and whoever may be cancelled harms no other: bytes
wait in `_outbox` until they are written, and the last to leave a stream tells the server.

Bounded are streams at once, unread bytes (by the windows), header blocks (by h2), and what we have
to say to a server that does not read (`_MAX_OUTBOX_BYTES`).
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError, ProtocolError, TooManyStreamsError

from relayminer.net.errors import (
    BadResponseError,
    NetError,
    NotProcessedError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http2_protocol import STREAM_WINDOW_BYTES, client_protocol, code_name
from relayminer.net.http2_stream import Http2Request, Http2Stream
from relayminer.net.response import Response
from relayminer.net.response_stream import CalledBody, ResponseStream, media_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.net.held import HeldBytes
    from relayminer.net.wire import Wire

MAX_STREAMS: Final = 100
"""On one connection at once; the server may allow less."""
_CONNECTION_WINDOW_BYTES: Final = MAX_STREAMS * STREAM_WINDOW_BYTES
_FLUSH_ABOVE_BYTES: Final = 65_536
_MAX_OUTBOX_BYTES: Final = 4_194_304
_INITIAL_WINDOW_BYTES: Final = 65_535
_FRAME_HEADER_BYTES: Final = 9
_FRAME_TYPE: Final = 3
_SETTINGS: Final = 4


class Http2Connection:
    """One connection to a server.

    Args:
        wire: open; with TLS, `h2` is agreed on. `greet` comes first.
        held: what the bodies of answers are counted against; None counts nothing.
        on_room: called when there is room for a stream, or the connection has ended.

    Attributes:
        is_closed: the socket is given back.
        is_leaving: no new streams; it closes with the last one.
    """

    def __init__(
        self, wire: Wire, on_room: Callable[[], None], held: HeldBytes | None = None
    ) -> None:
        self._wire = wire
        self._held = held
        self._on_room = on_room
        self._h2 = client_protocol()
        self._streams: dict[int, Http2Stream] = {}
        self._outbox = bytearray()
        self._writing = trio.Lock()
        self._is_read = False
        self._heard_at = -math.inf
        self._knows_settings = False
        self._problem: NetError | None = None
        self.is_closed = False
        self.is_leaving = False
        self.idle_since = trio.current_time()

    async def greet(self) -> None:
        """Exchange settings: how many streams the server bears is known before the first begins.

        Raises:
            WireError: the connection broke.
            BadResponseError: this is not HTTP/2.
        """
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _INITIAL_WINDOW_BYTES)
        await self._flush()
        head = b""
        while not self._knows_settings:
            data = await self._wire.receive()
            head = (head + data)[:_FRAME_HEADER_BYTES]
            if len(head) > _FRAME_TYPE and head[_FRAME_TYPE] != _SETTINGS:
                # h2 would wait for all of the frame that it takes this for.
                self._break(BadResponseError("not HTTP/2"))
            else:
                self._take(data)
            if self._problem is not None:
                raise self._problem

    @property
    def streams(self) -> int:
        """Exchanges in progress."""
        return len(self._streams)

    @property
    def room(self) -> int:
        """How many more exchanges may begin."""
        if self.is_closed or self.is_leaving:
            return 0
        most = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        return max(0, most - len(self._streams))

    async def exchange(
        self,
        request: Http2Request,
        *,
        deadline: float,
        header_timeout_seconds: float,
        max_response_bytes: int,
        stream_types: frozenset[bytes],
    ) -> Response | ResponseStream:
        """One exchange, as `Server.open`.

        Raises:
            NotProcessedError: the server has not looked at it.
            NetError: as `Server.open`.
        """
        stream = self._begin(request, max_response_bytes)
        handed_over = False
        try:
            with trio.fail_at(deadline) as patience:
                await self._send_body(stream, request.body)
                patience.deadline = min(deadline, trio.current_time() + header_timeout_seconds)
                while not stream.status and not stream.ended:
                    await self._progress(stream)
                patience.deadline = deadline
                if stream_types and media_type(stream.content_type()) in stream_types:
                    handed_over = True
                    stream.pass_on()
                    take = partial(self.receive, stream, deadline)
                    body = CalledBody(take, partial(self.end, stream))
                    return ResponseStream(stream.status, list(stream.headers), body)
                while not stream.ended:
                    await self._progress(stream)
            lease = stream.allowance.take_lease()
            return Response(stream.status, stream.headers, stream.take(), lease)
        except trio.TooSlowError:
            self._suspect(stream)
            raise WireTimeoutError("the server took longer than it was given") from None
        finally:
            if not handed_over:
                self.end(stream)
            else:
                self._pass_on()

    def has_heard_of(self, moment: float) -> bool:
        """Whether the server has said anything since then."""
        return self._heard_at >= moment

    def _begin(self, request: Http2Request, max_response_bytes: int) -> Http2Stream:
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, request.fields, end_stream=not request.body)
        except TooManyStreamsError as error:
            raise NotProcessedError("no room for another stream") from error
        except (NoAvailableStreamIDError, ProtocolError) as error:
            self.is_leaving = True
            self._close_when_unused()
            raise NotProcessedError(f"the connection is used up: {error}") from error
        stream = Http2Stream(number, trio.current_time(), max_response_bytes, self._held)
        self._streams[number] = stream
        return stream

    async def _send_body(self, stream: Http2Stream, body: bytes) -> None:
        sent = 0
        while sent < len(body) and not stream.ended:
            if stream.problem is not None:
                raise stream.problem
            size = min(
                self._h2.local_flow_control_window(stream.number),
                self._h2.max_outbound_frame_size,
                len(body) - sent,
            )
            if size <= 0:
                await self._flush()
                await self._progress(stream)
                continue
            piece = body[sent : sent + size]
            sent += size
            self._h2.send_data(stream.number, piece, end_stream=sent == len(body))
            self._outbox += self._h2.data_to_send()
            if len(self._outbox) > _FLUSH_ABOVE_BYTES:
                await self._flush()
        await self._flush()

    async def _flush(self) -> None:
        if self.is_closed:
            # Why, the stream says.
            return
        self._outbox += self._h2.data_to_send()
        async with self._writing:
            try:
                await self._wire.drain(self._outbox)
            except (WireError, WireTimeoutError) as error:
                self._break(WireError(str(error)))
                raise

    def _flush_some(self) -> None:
        self._outbox += self._h2.data_to_send()
        self._wire.drain_some(self._outbox)
        if len(self._outbox) > _MAX_OUTBOX_BYTES:
            self._break(WireError("the server does not read"))

    async def _progress(self, stream: Http2Stream) -> None:
        """Return when there may be news for `stream`; raises its problem."""
        if stream.problem is not None:
            raise stream.problem
        if self._is_read:
            stream.news = trio.Event()
            try:
                await stream.news.wait()
            finally:
                stream.news = None
        else:
            self._is_read = True
            try:
                data = await self._wire.receive()
            except (WireError, WireTimeoutError) as error:
                self._break(WireError(str(error)))
            else:
                self._take(data)
            finally:
                self._is_read = False
        if stream.problem is not None:
            raise stream.problem

    def _pass_on(self) -> None:
        """Whoever waits still has somebody who reads."""
        if not self._is_read and not self.is_closed:
            for stream in self._streams.values():
                if stream.news is not None:
                    stream.wake()
                    return

    def tend(self) -> None:
        """See to what the server has said while nobody was reading."""
        try:
            while not (self._is_read or self.is_closed):
                data = self._wire.receive_now()
                if data is None:
                    break
                self._take(data)
        except WireError as error:
            self._break(error)
        if not self.is_closed:
            self._flush_some()

    def _take(self, data: bytes) -> None:
        if not data:
            self._break(WireError("the server closed before its answer was complete"))
            return
        self._heard_at = trio.current_time()
        try:
            for event in self._h2.receive_data(data):
                self._on(event)
        except (H2Error, ValueError) as error:
            # ValueError: a number that is none.
            self._break(BadResponseError(f"not HTTP/2: {error}"))
            return
        self._flush_some()

    def _on(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self._told_to_leave(event)
            return
        if isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._knows_settings = self._knows_settings or isinstance(event, RemoteSettingsChanged)
            self._room_found(getattr(event, "stream_id", 0))
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, DataReceived):
            self._add(stream, event)
        elif isinstance(event, ResponseReceived):
            stream.begin(event.headers or ())
        elif isinstance(event, TrailersReceived):
            stream.headers.extend(event.headers or ())
        elif isinstance(event, StreamEnded):
            stream.ended = stream.problem is None
            stream.wake()
        elif isinstance(event, StreamReset):
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            kind = NotProcessedError if refused else WireError
            stream.fail(kind(f"the server gave the stream up: {code_name(event.error_code)}"))

    def _add(self, stream: Http2Stream, event: DataReceived) -> None:
        stream.add(event.data or b"")
        size = event.flow_controlled_length or 0
        if stream.is_taken_by_piece:
            stream.unread_bytes += size
        elif size:
            self._h2.acknowledge_received_data(size, stream.number)

    def _told_to_leave(self, event: ConnectionTerminated) -> None:
        self.is_leaving = True
        why = f"the server is leaving: {code_name(event.error_code)}"
        for stream in list(self._streams.values()):
            if stream.number > (event.last_stream_id or 0):
                stream.fail(NotProcessedError(why))
        self._close_when_unused()
        self._on_room()

    def _room_found(self, number: int | None) -> None:
        if number:
            stream = self._streams.get(number)
            if stream is not None:
                stream.wake()
            return
        for stream in self._streams.values():
            stream.wake()
        self._on_room()

    def _suspect(self, stream: Http2Stream) -> None:
        """A connection on which nothing came since the question may be dead: none begin on it."""
        if self._heard_at < stream.began_at:
            self.is_leaving = True

    def _break(self, problem: NetError) -> None:
        """The connection is over for everybody on it."""
        if self.is_closed:
            return
        self.is_closed = True
        self._problem = problem
        self._wire.drain_some(self._outbox)
        self._wire.close()
        for stream in list(self._streams.values()):
            stream.fail(problem)
        self._on_room()

    def end(self, stream: Http2Stream) -> None:
        """The exchange is over; the server hears of it if it is not done."""
        if self._streams.pop(stream.number, None) is None:
            return
        self.idle_since = trio.current_time()
        if not self.is_closed:
            with suppress(ProtocolError):
                if stream.unread_bytes:
                    self._h2.acknowledge_received_data(stream.unread_bytes, stream.number)
                # Also when the answer came before the request was all said.
                self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._flush_some()
        self._pass_on()
        self._close_when_unused()
        self._on_room()

    def _close_when_unused(self) -> None:
        if self.is_leaving and not self._streams:
            self.close()

    def leave(self) -> None:
        """Take no more; close when the last exchange has ended."""
        self.is_leaving = True
        self._close_when_unused()

    def close(self) -> None:
        """Say goodbye. Never blocks."""
        if not self.is_closed:
            with suppress(ProtocolError):
                self._h2.close_connection()
            self._outbox += self._h2.data_to_send()
            self._break(WireError("the connection was closed"))

    async def receive(self, stream: Http2Stream, deadline: float) -> bytes:
        """The next piece of a stream's body, empty at its end."""
        try:
            with trio.fail_at(deadline):
                while not stream.pieces:
                    if stream.ended:
                        return b""
                    await self._progress(stream)
        except trio.TooSlowError:
            raise WireTimeoutError("the server took longer than it was given") from None
        finally:
            self._pass_on()
        data = stream.take()
        size, stream.unread_bytes = stream.unread_bytes, 0
        if size and not self.is_closed:
            self._h2.acknowledge_received_data(size, stream.number)
            self._flush_some()
        return data
