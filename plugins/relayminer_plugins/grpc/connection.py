"""One HTTP/2 connection: frames in from a wire, streams handed out, frames out again.

Every way in which a peer can make us work or remember is bounded: streams at once (also those that
it has reset and that still run), header blocks (by h2), unread bodies (by the windows), frames that
carry nothing (`_NUISANCE_LIMIT`), answers that it does not read, silence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, EventsProcessor, Stream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from relayminer.plugin import WireError, WireTimeoutError
from relayminer_plugins.grpc.streams import Flag, TrioConnection, TrioStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from h2.events import Event

    from relayminer.plugin import Headers, HttpLimits, Wire

_CONNECTION_WINDOW_BYTES: Final = 8_388_608
_STREAM_WINDOW_BYTES: Final = 1_048_576
_MAX_HEADER_LIST_BYTES: Final = 65_536
_PAUSE_ABOVE_BYTES: Final = 262_144
_HANG_UP_ABOVE_BYTES: Final = 4_194_304
_NUISANCE_LIMIT: Final = 1_000
_FORGIVEN_PER_ANSWER: Final = 20
_NUISANCES = (PingReceived, PriorityUpdated, RemoteSettingsChanged, StreamReset)


class _Protocol(H2Connection):
    """h2 with a shorter memory: of closed streams it keeps 65,536 otherwise."""

    MAX_CLOSED_STREAMS = 1_024


class Outbox:
    """What grpclib takes for an asyncio transport: it collects, a task of ours writes."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.news = Flag()
        self.closing = False

    def write(self, data: bytes) -> None:
        """Keep `data` for the writer."""
        if not self.closing:
            self.pending += data
            self.news.set()

    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self.closing

    def close(self) -> None:
        """Take nothing more; what was taken is written."""
        self.closing = True
        self.news.set()

    def get_extra_info(self, name: str) -> Any:  # noqa: ARG002 - asyncio's interface
        """Nothing is known of the peer here."""
        return None


class Http2Connection(AbstractHandler):
    """Serves one connection.

    Args:
        wire: to the client; the preface has not been read.
        limits: what it may cost.
        answer: answers one stream.
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
        self._outbox = Outbox()
        self._protocol = _Protocol(
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
            config=Configuration(_keepalive_time=None),
        )
        self._events = EventsProcessor(self, self._connection)
        self._answering = 0
        self._nuisance = 0
        self._leaving = False
        self._last_stream = 0
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger("relayminer.grpc")

    async def run(self) -> None:
        """Serve until either side hangs up."""
        self._greet()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._write_forever)
            self._rest()
            await self._read_forever()
            # Those who wait for a client that is gone wait in vain.
            self.close()
            self._outbox.close()

    def drain(self) -> None:
        """Take no new streams, finish those in hand, then hang up."""
        if self._leaving:
            return
        self._leaving = True
        self._last_stream = self._protocol.highest_inbound_stream_id
        # h2 would fall silent after its own GOAWAY, and the answers in hand with it.
        self._outbox.write(GoAwayFrame(last_stream_id=self._last_stream).serialize())
        if not self._answering:
            self._hang_up()

    def _greet(self) -> None:
        self._protocol.local_settings.update(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST_BYTES,
            }
        )
        self._protocol.local_settings.acknowledge()
        self._protocol.initiate_connection()
        self._protocol.increment_flow_control_window(_CONNECTION_WINDOW_BYTES)
        self._connection.flush()

    # Reading.

    async def _read_forever(self) -> None:
        while not self._outbox.closing:
            try:
                data = await self._wire.receive()
            except WireTimeoutError:
                self.drain()
                return
            except WireError:
                self._outbox.pending.clear()
                return
            if not data:
                return
            try:
                events = self._connection.feed(data)
            except ProtocolError:
                # h2 has written the GOAWAY that says why.
                self._connection.flush()
                return
            for event in events:
                self._process(event)
            if not self._outbox.closing:
                self._connection.flush()

    def _process(self, event: Event) -> None:
        if isinstance(event, _NUISANCES) or (isinstance(event, DataReceived) and not event.data):
            self._nuisance += 1
            if self._nuisance > _NUISANCE_LIMIT:
                self._refuse_peer()
                return
        if type(event) in self._events.processors:
            self._events.process(event)

    def _refuse_peer(self) -> None:
        """GOAWAY, and nothing more."""
        self._outbox.write(
            GoAwayFrame(
                last_stream_id=self._protocol.highest_inbound_stream_id,
                error_code=ErrorCodes.ENHANCE_YOUR_CALM,
            ).serialize()
        )
        self._hang_up()

    def _hang_up(self) -> None:
        self._outbox.close()
        self._wire.stop_reading()

    # grpclib's handler: told of streams as they come and go.

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        """A request has begun."""
        number = stream.id or 0
        too_late = self._leaving and number > self._last_stream
        if not isinstance(stream, TrioStream):
            raise TypeError("a stream that is not of our connection")
        if self._nursery is None or too_late or self._answering >= self._limits.max_streams:
            stream.reset_nowait(ErrorCodes.REFUSED_STREAM)
            release_stream()
            return
        self._answering += 1
        self._wire.expires_at = math.inf
        self._nursery.start_soon(self._serve, stream, headers, release_stream)

    def cancel(self, stream: Stream) -> None:
        """The client has reset the stream: whoever works for it may stop."""
        if isinstance(stream, TrioStream):
            stream.left.set()
            stream.scope.cancel()

    def close(self) -> None:
        """The client is gone, or says that it leaves."""
        for stream in list(self._events.streams.values()):
            self.cancel(stream)

    async def _serve(
        self, stream: TrioStream, headers: Headers, release: Callable[[], None]
    ) -> None:
        try:
            with stream.scope:
                await self._answer(stream, headers)
            if stream.scope.cancelled_caught and stream.closable:
                stream.reset_nowait(ErrorCodes.CANCEL)
            elif not self._outbox.closing and stream.closable:
                # Answered before the client had said all: it need not go on.
                stream.reset_nowait(ErrorCodes.NO_ERROR)
        except ProtocolError:
            # The client has reset the stream or hung up while its answer was written.
            return
        except Exception:  # noqa: BLE001 - one stream's accident ends no other
            self._log.exception("stream_failed")
            if stream.closable:
                stream.reset_nowait(ErrorCodes.INTERNAL_ERROR)
        finally:
            self._end(release)

    def _end(self, release: Callable[[], None]) -> None:
        release()
        self._answering -= 1
        self._nuisance = max(0, self._nuisance - _FORGIVEN_PER_ANSWER)
        self._connection_flush()
        if not self._answering:
            if self._leaving:
                self._hang_up()
            else:
                self._rest()

    def _connection_flush(self) -> None:
        if not self._outbox.closing:
            self._connection.flush()

    def _rest(self) -> None:
        """Nothing is asked: the connection may be silent for so long."""
        if not self._answering:
            self._wire.expires_at = trio.current_time() + self._limits.idle_timeout_seconds

    # Writing.

    async def _write_forever(self) -> None:
        outbox, wire = self._outbox, self._wire
        while True:
            while not outbox.pending:
                if outbox.closing:
                    wire.stop_reading()
                    return
                outbox.news.clear()
                await outbox.news.wait()
            data = bytes(outbox.pending)
            outbox.pending.clear()
            resting, wire.expires_at = (
                wire.expires_at,
                trio.current_time() + self._limits.write_timeout_seconds,
            )
            if len(data) > _PAUSE_ABOVE_BYTES:
                self._connection.pause_writing()
            try:
                await wire.send(data)
            except (WireError, WireTimeoutError):
                outbox.close()
                wire.stop_reading()
                return
            wire.expires_at = math.inf if self._answering else resting
            self._rest()
            self._connection.resume_writing()
