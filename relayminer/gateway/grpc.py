"""gRPC to a relayer: many calls at once over one HTTP/2 connection.

`pocket.service.RelayService/SendRelay` in its bidirectional form, one message each way. The frames
come from `h2`; the relayer's side is another library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio

from relayminer.gateway.errors import GatewayError
from relayminer.gateway.lines import MAX_ANSWER_BYTES, connect, parse_url
from relayminer.net.errors import NetError

if TYPE_CHECKING:
    from relayminer.gateway.lines import Destination
    from relayminer.net.wire import Wire

METHOD: Final = "/pocket.service.RelayService/SendRelay"
_WINDOW_BYTES: Final = 8_388_608
_PREFIX_BYTES: Final = 5


class _Call:
    """What has come of one answer."""

    __slots__ = ("body", "done", "headers", "problem")

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.done = trio.Event()
        self.problem = ""

    def end(self, problem: str = "") -> None:
        """Nothing more comes."""
        self.problem = self.problem or problem
        self.done.set()


class GrpcChannel:
    """A connection that calls share; somebody runs it.

    Args:
        wire: connected.
        scheme: of its URL.
        authority: host and port.
    """

    def __init__(self, wire: Wire, scheme: str, authority: str) -> None:
        self._wire = wire
        self._scheme = scheme
        self._authority = authority
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._calls: dict[int, _Call] = {}
        self._turn = trio.StrictFIFOLock()
        self._room = trio.Event()
        self._over = ""

    @classmethod
    async def open(cls, to: Destination) -> Self:
        """Connect and greet; http and https URLs, or the bare `host:port` of gRPC.

        Raises:
            GatewayError: there is nobody.
        """
        url = to.url if "://" in to.url else f"http://{to.url}"
        origin, _ = parse_url(url, ("http", "https"))
        wire = await connect(origin, to.timeout_seconds)
        channel = cls(wire, origin.scheme, origin.authority)
        h2_connection = channel._h2
        h2_connection.initiate_connection()
        h2_connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES})
        h2_connection.increment_flow_control_window(_WINDOW_BYTES)
        try:
            await channel._flush()
        except NetError as error:
            wire.close()
            raise GatewayError(str(error)) from error
        return channel

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the connection ends; every open call learns of it."""
        task_status.started()
        try:
            while data := await self._wire.receive():
                for event in self._h2.receive_data(data):
                    self._handle(event)
                await self._flush()
            self._end("the relayer hung up")
        except (NetError, h2.exceptions.ProtocolError) as error:
            self._end(str(error))
        finally:
            self._end("the channel was closed")
            self._wire.close()

    @property
    def is_open(self) -> bool:
        """Whether calls may follow."""
        return not self._over

    async def call(self, message: bytes, metadata: tuple[tuple[str, str], ...]) -> bytes:
        """Send one message, and the one message of the answer.

        Raises:
            GatewayError: with the gRPC status and its text, or why there was no answer.
        """
        if self._over:
            raise GatewayError(self._over)
        call = _Call()
        stream = self._h2.get_next_available_stream_id()
        self._calls[stream] = call
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", METHOD),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        ]
        try:
            self._h2.send_headers(stream, headers)
            await self._send(stream, bytes(1) + len(message).to_bytes(4) + message, call)
            await call.done.wait()
        except (NetError, h2.exceptions.ProtocolError) as error:
            raise GatewayError(str(error)) from error
        finally:
            self._calls.pop(stream, None)
            if not call.done.is_set() and not self._over:
                self._reset(stream)
        return _message(call)

    def _reset(self, stream: int) -> None:
        try:
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return

    async def _send(self, stream: int, data: bytes, call: _Call) -> None:
        rest = memoryview(data)
        while rest and not call.done.is_set():
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._room = trio.Event()
                await self._flush()
                await self._room.wait()
                continue
            piece, rest = rest[:room], rest[room:]
            self._h2.send_data(stream, bytes(piece), end_stream=not rest)
        await self._flush()

    async def _flush(self) -> None:
        async with self._turn:
            data = self._h2.data_to_send()
            if data:
                await self._wire.send(data)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._room.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._end(f"the relayer ended the connection: {event.error_code}")
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            call = self._calls.get(event.stream_id)
            if call is not None and len(call.body) <= MAX_ANSWER_BYTES:
                call.body += event.data
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            call = self._calls.get(event.stream_id)
            if call is not None:
                call.headers.update({str(name): str(value) for name, value in event.headers})
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            call = self._calls.get(event.stream_id)
            if call is not None:
                is_reset = isinstance(event, h2.events.StreamReset)
                call.end("the relayer reset the call" if is_reset else "")
            self._room.set()

    def _end(self, problem: str) -> None:
        self._over = self._over or problem
        for call in list(self._calls.values()):
            call.end(problem)
        self._room.set()


def _message(call: _Call) -> bytes:
    status = call.headers.get("grpc-status")
    if status not in {None, "0"}:
        text = unquote(call.headers.get("grpc-message", ""))
        raise GatewayError(f"gRPC status {status}: {text}")
    if call.problem:
        raise GatewayError(call.problem)
    http_status = call.headers.get(":status")
    if http_status != "200" or status is None:
        raise GatewayError(f"no gRPC answer: HTTP status {http_status}")
    prefix, message = bytes(call.body[:_PREFIX_BYTES]), bytes(call.body[_PREFIX_BYTES:])
    if len(prefix) < _PREFIX_BYTES or int.from_bytes(prefix[1:]) != len(message):
        raise GatewayError("the answer is not one gRPC message")
    if prefix[0]:
        raise GatewayError("the answer is compressed")
    return message


class GrpcLine:
    """A turn on a shared channel.

    Args:
        channel: running.
        metadata: of each call.
        timeout_seconds: for one answer.
    """

    def __init__(
        self, channel: GrpcChannel, metadata: tuple[tuple[str, str], ...], timeout_seconds: float
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._timeout_seconds = timeout_seconds

    @property
    def is_open(self) -> bool:
        """As `Line.is_open`."""
        return self._channel.is_open

    async def ask(self, request: bytes) -> bytes:
        """As `Line.ask`."""
        with trio.move_on_after(self._timeout_seconds):
            return await self._channel.call(request, self._metadata)
        raise GatewayError(f"no answer within {self._timeout_seconds:g} s")

    def close(self) -> None:
        """Nothing: the channel is others' too."""
