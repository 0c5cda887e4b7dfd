"""One HTTP/2 connection: frames in from a wire, streams handed out, frames out again.

Every way in which a peer can make us work, remember or wait is bounded:

| what a peer may do | bound |
|---|---|
| streams at once, reset ones that still run included | `limits.max_streams` |
| header blocks | h2: 64 CONTINUATION frames, 16 KiB decoded |
| requests that it has not finished | windows, and `_HELD_BODIES` of the largest, all together |
| frames that ask for nothing, tiny DATA, resets | `_NUISANCE_LIMIT`, forgiven by real work |
| answers that it does not read | `outbox.py`: then nothing is written or read any more |
| silence | idle, body and write timeouts |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from grpclib.protocol import AbstractHandler, EventsProcessor, Stream
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    AlternativeServiceAvailable,
    ConnectionTerminated,
    DataReceived,
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    SettingsAcknowledged,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from relayminer.plugin import WireError, WireTimeoutError, linger
from relayminer_plugins.grpc.outbox import Outbox
from relayminer_plugins.grpc.streams import Held, Protocol, TrioConnection, TrioStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from h2.events import Event

    from relayminer.plugin import Headers, HttpLimits, Wire

_CONNECTION_WINDOW_BYTES: Final = 8_388_608
_STREAM_WINDOW_BYTES: Final = 1_048_576
_HELD_BODIES: Final = 4
_NUISANCE_LIMIT: Final = 1_000
_FORGIVEN_PER_ANSWER: Final = 20
_FORGIVEN_PER_FRAME: Final = 4
_CREDIT: Final = 10_000
"""As many more may follow work that is done: a client acknowledges after it has read."""
_SMALL_DATA_BYTES: Final = 64
_NUISANCES: Final = frozenset(
    {
        AlternativeServiceAvailable,
        PingAckReceived,
        PingReceived,
        PriorityUpdated,
        RemoteSettingsChanged,
        SettingsAcknowledged,
        StreamReset,
        UnknownFrameReceived,
        WindowUpdated,
    }
)
_HURRY_SECONDS: Final = 1.0
"""What a client has left to finish its requests once the relayer stops."""
_LINGER_BYTES: Final = 67_108_864
_LINGER_SECONDS: Final = 1.0


class Http2Connection(AbstractHandler):
    """Serves one connection.

    Args:
        wire: to the client; the preface has not been read.
        limits: what it may cost.
        answer: answers one stream; may raise WireError and WireTimeoutError.
    """

    def __init__(
        self,
        wire: Wire,
        limits: HttpLimits,
        answer: Callable[[TrioStream, Headers], Awaitable[None]],
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._answer = answer
        self._outbox = Outbox(
            wire, limits.write_timeout_seconds, on_change=self._set_deadline, on_break=self._broken
        )
        self._protocol = Protocol(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._connection = TrioConnection(
            self._protocol,
            self._outbox,
            Held(_HELD_BODIES * max(limits.max_body_bytes, limits.max_grpc_message_bytes)),
            write_timeout_seconds=limits.write_timeout_seconds,
            on_data_sent=self._forgive_frame,
        )
        self._events = EventsProcessor(self, self._connection)
        self._answering = 0
        self._nuisance = 0
        self._idle_until = math.inf
        self._leaving = False
        self._done = False
        self._reading = trio.CancelScope()
        self._receiving = False
        self._last_stream = 0
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger("relayminer.grpc")
        self._greet()

    async def run(self) -> None:
        """Serve until either side hangs up."""
        self._rest()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                with self._reading:
                    await self._read_forever()
                # Those who wait for a client that is gone wait in vain; relays are finished.
                self.close()
                # A nursery takes no more tasks a moment before it lets us go on.
                self._nursery = None
            await self._outbox.flush()
            if not self._wire.expired:
                # Closed with something unread, the socket would take our last words with it.
                self._wire.finish_writing()
                await linger(self._wire, _LINGER_BYTES, _LINGER_SECONDS)
        finally:
            # Breaks h2's cycles of references, so that nobody has to look for them.
            self._connection.close()

    def drain(self) -> None:
        """Take no new streams, finish those in hand, then hang up."""
        if self._leaving:
            return
        self._leave(ErrorCodes.NO_ERROR)
        last_moment = trio.current_time() + _HURRY_SECONDS
        for stream in self._events.streams.values():
            if isinstance(stream, TrioStream):
                stream.hurry(last_moment)
        if self._nursery is not None:
            self._nursery.start_soon(self._outbox.flush)

    @property
    def streams(self) -> int:
        """Streams that are being answered."""
        return self._answering

    def _greet(self) -> None:
        settings = self._protocol.local_settings
        settings.update(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._protocol.DEFAULT_MAX_HEADER_LIST_SIZE,
            }
        )
        settings.acknowledge()
        self._protocol.initiate_connection()
        self._protocol.increment_flow_control_window(_CONNECTION_WINDOW_BYTES)
        self._connection.flush()

    def _leave(self, code: ErrorCodes) -> None:
        """Say GOAWAY; h2 would fall silent after its own, and the answers in hand with it."""
        self._leaving = True
        self._last_stream = self._protocol.highest_inbound_stream_id
        frame = GoAwayFrame(last_stream_id=self._last_stream, error_code=code)
        self._outbox.write(frame.serialize())
        if not self._answering:
            self._hang_up()

    # Reading.

    async def _read_forever(self) -> None:
        try:
            await self._read()
        except trio.Cancelled:
            # Who writes to a client that does not read must not hold up the end.
            if not self._done:
                self._wire.expire()
            raise

    async def _read(self) -> None:
        await self._outbox.flush_exposed()
        while not self._done:
            room = self._outbox.room
            self._receiving = True
            try:
                if not room.is_set():
                    await room.wait()
                data = await self._wire.receive()
            except WireTimeoutError:
                # Nobody was asked anything for too long.
                self._leave(ErrorCodes.NO_ERROR)
                return
            except WireError:
                self._outbox.close()
                return
            finally:
                self._receiving = False
            if self._done:
                return
            if not data:
                # As HTTP/2 sees it the client is gone, and nobody takes what we write.
                self._outbox.close()
                self._wire.expire()
                return
            try:
                events = self._connection.feed(data)
            except ProtocolError:
                # h2 has written the GOAWAY that says why.
                self._connection.flush()
                return
            for event in events:
                self._process(event)
            self._connection.flush()
            await self._outbox.flush_exposed()

    def _process(self, event: Event) -> None:
        kind = type(event)
        if kind in _NUISANCES:
            if not self._is_earned(event):
                self._bother()
        elif isinstance(event, DataReceived) and _is_tiny(event):
            self._bother()
        if self._done:
            return
        if isinstance(event, ConnectionTerminated):
            self._leaving, self._last_stream = True, self._protocol.highest_inbound_stream_id
            if event.error_code or not self._answering:
                self._hang_up()
        elif kind in self._events.processors:
            self._events.process(event)

    def _is_earned(self, event: Event) -> bool:
        """Whether it is the reset of a stream for which work is being done: a call timed out."""
        if not isinstance(event, StreamReset):
            return False
        stream = self._events.streams.get(event.stream_id or 0)
        return isinstance(stream, TrioStream) and stream.at_work

    def _bother(self) -> None:
        """Count something that cost us and asked for nothing."""
        self._nuisance += 1
        if self._nuisance > _NUISANCE_LIMIT and not self._done:
            self._leave(ErrorCodes.ENHANCE_YOUR_CALM)
            self._hang_up()

    def _hang_up(self) -> None:
        """Nothing more is read; what was written is sent."""
        self._done = True
        self._outbox.close()
        if self._receiving:
            self._reading.cancel()

    def _broken(self) -> None:
        """The client does not take what we write."""
        self._hang_up()
        self.close()

    # grpclib's handler: told of streams as they come and go.

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        """A request has begun."""
        if not isinstance(stream, TrioStream):
            raise TypeError("a stream that is not of our connection")
        too_late = self._done or (self._leaving and (stream.id or 0) > self._last_stream)
        if self._nursery is None or too_late or self._answering >= self._limits.max_streams:
            # What came in one read may have been reset already.
            self._reset(stream, ErrorCodes.REFUSED_STREAM)
            release_stream()
            self._bother()
            return
        self._answering += 1
        self._idle_until = math.inf
        self._set_deadline()
        self._nursery.start_soon(self._serve, stream, headers, release_stream)

    def cancel(self, stream: Stream) -> None:
        """The client has reset the stream."""
        if isinstance(stream, TrioStream):
            stream.leave()

    def close(self) -> None:
        """The client is gone."""
        for stream in self._events.streams.values():
            self.cancel(stream)

    async def _serve(
        self, stream: TrioStream, headers: Headers, release: Callable[[], None]
    ) -> None:
        try:
            if not stream.left.is_set():
                await self._answer(stream, headers)
        except (WireError, WireTimeoutError):
            self._reset(stream, ErrorCodes.CANCEL)
        except Exception:  # noqa: BLE001 - one stream's accident ends no other
            self._log.exception("stream_failed")
            self._reset(stream, ErrorCodes.INTERNAL_ERROR)
        else:
            # Answered before the client had said all: it need not go on.
            self._reset(stream, ErrorCodes.NO_ERROR)
        finally:
            self._end(stream, release)
        await self._outbox.flush_exposed()

    def _reset(self, stream: TrioStream, code: ErrorCodes) -> None:
        if stream.closable:
            stream.reset_nowait(code)

    def _end(self, stream: TrioStream, release: Callable[[], None]) -> None:
        stream.let_go()
        release()
        self._answering -= 1
        if not stream.left.is_set():
            # A stream that its client has reset was no work worth having.
            self._nuisance = max(-_CREDIT, self._nuisance - _FORGIVEN_PER_ANSWER)
        if not self._outbox.closing:
            self._connection.flush()
        if not self._answering:
            if self._leaving:
                self._hang_up()
            else:
                self._rest()

    def _forgive_frame(self) -> None:
        self._nuisance = max(-_CREDIT, self._nuisance - _FORGIVEN_PER_FRAME)

    def _rest(self) -> None:
        """Nothing is asked: from now on it may be silent for so long, whatever it pings."""
        self._idle_until = trio.current_time() + self._limits.idle_timeout_seconds
        self._set_deadline()

    def _set_deadline(self) -> None:
        self._wire.expires_at = min(self._idle_until, self._outbox.expires_at)


def _is_tiny(event: DataReceived) -> bool:
    """Less than a frame is worth, and not the end of a request."""
    return len(event.data or b"") < _SMALL_DATA_BYTES and event.stream_ended is None
