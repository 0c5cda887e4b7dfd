"""A client that speaks HTTP/2 with windows, settings and manners of the test's choosing."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio
from attrs import Factory, define, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyperframe.frame import Frame, GoAwayFrame

METHOD = "/pocket.service.RelayService/SendRelay"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_WINDOW = 2**31 - 1
PATIENCE_SECONDS = 20.0
Fields = list[tuple[str, str]]


def framed(message: bytes, flag: int = 0) -> bytes:
    """A gRPC message behind its prefix."""
    return struct.pack(">BI", flag, len(message)) + message


def messages(body: bytes) -> list[bytes]:
    """The messages of a gRPC body."""
    found = []
    while body:
        _, size = struct.unpack(">BI", body[:5])
        found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found


def raw_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame, right or wrong."""
    head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
    return head + payload


@define(eq=False)
class Answer:
    """What has come of one stream."""

    headers: dict[str, str] = Factory(dict)
    body: bytearray = field(factory=bytearray)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> str:
        """HTTP status."""
        return self.headers.get(":status", "")

    @property
    def grpc(self) -> tuple[int, str]:
        """Status and words of gRPC."""
        words = unquote_to_bytes(self.headers.get("grpc-message", "")).decode()
        return int(self.headers.get("grpc-status", "-1")), words


class _Protocol(h2.connection.H2Connection):
    """h2, but a GOAWAY does not end the streams that began before it (RFC 9113, 6.8)."""

    def _receive_goaway_frame(
        self, frame: GoAwayFrame
    ) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class Http2Client:
    """One connection, read only when the test says so.

    Attributes:
        protocol: h2's side of it, for a test that wants to say something else.
        answers: by stream number.
        goaway: error code and last stream of the relayer's GOAWAY, once it came.
        closed: the relayer has hung up.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = _Protocol(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.answers: dict[int, Answer] = {}
        self.goaway: tuple[int, int] | None = None
        self.closed = False

    async def open(self, *, window: int | None = None, connection: int = LARGEST_WINDOW) -> None:
        """Preface and settings; `window` of each stream, and of the connection, in bytes."""
        if window is not None:
            self.protocol.local_settings.update(
                {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
            self.protocol.local_settings.acknowledge()
        self.protocol.initiate_connection()
        if connection > self.protocol.inbound_flow_control_window:
            more = connection - self.protocol.inbound_flow_control_window
            self.protocol.increment_flow_control_window(more)
        await self.flush()

    async def begin(self, path: str = "/", extra: Iterable[tuple[str, str]] = ()) -> int:
        """The headers of a POST; its stream."""
        number = self.protocol.get_next_available_stream_id()
        head: Fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "relayer"),
            (":path", path),
        ]
        self.protocol.send_headers(number, [*head, *extra])
        self.answers[number] = Answer()
        await self.flush()
        return number

    async def call(self, *bodies: bytes, extra: Iterable[tuple[str, str]] = ()) -> int:
        """A gRPC call with these messages; its stream."""
        fields = [("content-type", "application/grpc"), ("te", "trailers"), *extra]
        number = await self.begin(METHOD, fields)
        await self.send(number, b"".join(framed(body) for body in bodies), end=True)
        return number

    async def post(self, body: bytes, path: str = "/", extra: Fields | None = None) -> int:
        """A request of HTTP; its stream."""
        number = await self.begin(path, [("content-length", str(len(body))), *(extra or [])])
        await self.send(number, body, end=True)
        return number

    async def ask(self, method: str, path: str) -> Answer:
        """The answer to a request without a body."""
        number = self.protocol.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", "r"), (":path", path)]
        self.protocol.send_headers(number, head, end_stream=True)
        self.answers[number] = Answer()
        await self.flush()
        return await self.answer(number)

    async def send(self, number: int, body: bytes, *, end: bool = False) -> None:
        """Some of a body, as the relayer's windows take it; stops when it has answered."""
        rest = memoryview(body)
        answer = self.answers[number]
        while rest and not answer.ended:
            window = self.protocol.local_flow_control_window(number)
            size = min(window, self.protocol.max_outbound_frame_size, len(rest))
            if size <= 0:
                await self.read()
                continue
            self.protocol.send_data(number, bytes(rest[:size]))
            rest = rest[size:]
            await self.flush()
        if end and not answer.ended:
            self.protocol.end_stream(number)
            await self.flush()

    async def answer(self, number: int) -> Answer:
        """The answer of a stream, once it has ended."""
        answer = self.answers[number]
        while not answer.ended and not self.closed:
            await self.read()
        return answer

    async def until_closed(self) -> None:
        """Read until the relayer hangs up."""
        while not self.closed:
            await self.read()

    async def flush(self) -> None:
        """Write what h2 has to say."""
        try:
            await self.stream.send_all(self.protocol.data_to_send())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # What the relayer said before is still to be read.
            return

    async def write(self, data: bytes) -> None:
        """Write anything; a relayer that hung up meanwhile is found by `read`."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def read(self) -> None:
        """What comes next; windows are opened again as it is taken."""
        data = b""
        with trio.fail_after(PATIENCE_SECONDS):
            try:
                data = bytes(await self.stream.receive_some(65_536))
            except trio.BrokenResourceError:
                self.closed = True
        if not data:
            self.closed = True
            return
        for event in self.protocol.receive_data(data):
            self._handle(event)
        await self.flush()

    async def aclose(self) -> None:
        """Go away without a farewell."""
        await trio.aclose_forcefully(self.stream)

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (int(event.error_code or 0), event.last_stream_id or 0)
            return
        answer = self.answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            answer.headers |= {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data or b""
            self.protocol.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.ended = True
            answer.reset = int(event.error_code or 0)


async def connect(
    address: tuple[str, int], *, window: int | None = None, connection: int = LARGEST_WINDOW
) -> Http2Client:
    """A connection that has said hello."""
    client = Http2Client(await trio.open_tcp_stream(*address))
    await client.open(window=window, connection=connection)
    return client
