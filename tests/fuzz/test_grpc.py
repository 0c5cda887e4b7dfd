"""The HTTP/2 side of a client: gRPC messages, gRPC-Web bodies, and HTTP/2 frames, damaged."""

from __future__ import annotations

import base64
import gzip
import struct
from typing import TYPE_CHECKING

import pytest
import trio
from hpack import Encoder
from relayminer_plugins.grpc.messages import CallError, MessageReader
from relayminer_plugins.grpc.transport import GrpcTransport
from structlog.testing import capture_logs

from relayminer.net.http1 import HttpLimits, Request
from relayminer.plugin import RelayAnswer
from tests.fuzz import corpora
from tests.fuzz.campaign import async_campaign, inputs
from tests.fuzz.mutate import Mutator
from tests.fuzz.test_parsers import Pieces

if TYPE_CHECKING:
    from relayminer.plugin import AnswerSink, RelayCall, RequestTaker

pytestmark = pytest.mark.timeout(3_600)  # the full counts take their time

MAX_MESSAGE_BYTES = 4_000
LIMITS = HttpLimits(max_body_bytes=8_000, max_grpc_message_bytes=MAX_MESSAGE_BYTES, max_streams=20)
METHOD = "/pocket.service.RelayService/SendRelay"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *range(5),
    6,
    7,
    8,
    9,
)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


def framed(message: bytes, flag: int = 0) -> bytes:
    """A gRPC message behind its prefix."""
    return struct.pack(">BI", flag, len(message)) + message


def message_bodies() -> list[bytes]:
    """Bodies of calls, plain and compressed, of one message and of several."""
    relay = corpora.relays()[0]
    small = framed(gzip.compress(relay, mtime=0), flag=1)
    bomb = framed(gzip.compress(bytes(1_000_000), mtime=0), flag=1)
    return [
        framed(relay),
        framed(b"") * 3,
        framed(relay) + small,
        small,
        bomb,
        framed(b"x" * 5_000),
    ]


MESSAGE_WORDS = (
    *(b"\x00\x00\x00\x00\x00", b"\x01\x00\x00\x00\x00", b"\x80\x00\x00\x00\x05", b"\x02"),
    *(b"\x00\xff\xff\xff\xff", b"\x1f\x8b\x08", struct.pack(">BI", 0, MAX_MESSAGE_BYTES + 1)),
)


async def read_messages(data: bytes) -> None:
    """All messages of a body, which comes in pieces."""
    wire = Pieces(data, 1 + len(data) // 3)

    async def take() -> bytes | None:
        return await wire.receive() or None

    reader = MessageReader(take, MAX_MESSAGE_BYTES, b"gzip")
    while (message := await reader.next()) is not None:
        assert len(message) <= MAX_MESSAGE_BYTES
    assert reader.between


async def test_messages(*, soak: bool) -> None:
    """Within the limit, or refused."""
    mutator = Mutator("grpc messages", message_bodies(), MESSAGE_WORDS)
    assert await async_campaign(mutator, read_messages, count=inputs(soak), allowed=(CallError,))


class NoEngine:
    """Refuses every relay, and notices one that is larger than it may be."""

    limits = LIMITS
    draining = False

    async def exchange(self, call: RelayCall) -> RelayAnswer:
        """What a forged relay is told."""
        assert len(call.body) <= MAX_MESSAGE_BYTES
        return await self.stream(call, None)

    async def stream(self, call: RelayCall, sink: AnswerSink | None) -> RelayAnswer:
        """The same."""
        del sink
        assert len(call.body) <= LIMITS.max_body_bytes
        return RelayAnswer(200 if len(call.body) % 2 else 403, b'{"error":"forged"}')

    def taker(self, request: Request) -> RequestTaker | None:
        """Whatever is gRPC-Web."""
        return TRANSPORT if TRANSPORT.takes(request) else None

    def status(self, path: str) -> RelayAnswer | None:
        """No pages."""
        del path
        return None

    def undelivered(self, call: RelayCall) -> None:
        """Nobody counts."""

    def refuse(self, status: int, message: str, *, reason: str, grpc: bool = False) -> RelayAnswer:
        """An answer without a relay."""
        del grpc
        return RelayAnswer(status, message.encode(), reason=reason)


TRANSPORT = GrpcTransport()
ENGINE = NoEngine()


async def answer_web(data: bytes) -> None:
    """A gRPC-Web request with this body; its answer ends in trailers."""
    is_text = len(data) % 2 == 1
    kind = b"application/grpc-web-text" if is_text else b"application/grpc-web"
    headers = [(b"content-type", kind), (b"grpc-encoding", b"gzip"), (b"origin", b"x")]
    request = Request(b"POST", METHOD.encode(), headers, data, keep_alive=True)
    assert TRANSPORT.takes(request)
    answer = await TRANSPORT.answer(request, ENGINE)  # type: ignore[arg-type]  # all it asks is there
    assert answer.status == 200
    body = base64.b64decode(answer.body, validate=True) if is_text else answer.body
    assert b"grpc-status: " in body


async def test_web_bodies(*, soak: bool) -> None:
    """Always an answer with a status."""
    bodies = message_bodies()
    text = [base64.b64encode(body) for body in bodies]
    pieces = [base64.b64encode(body[:7]) + base64.b64encode(body[7:]) for body in bodies]
    mutator = Mutator(
        "grpc web", [*bodies, *text, *pieces], (*MESSAGE_WORDS, b"=", b"==", b"AA==", b"\r\n")
    )
    assert await async_campaign(mutator, answer_web, count=inputs(soak), allowed=())


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
    return head + payload


def block(path: str, *more: tuple[str, str], method: str = "POST") -> bytes:
    """A header block that needs no earlier one."""
    head = [(":method", method), (":scheme", "http"), (":authority", "r"), (":path", path)]
    return Encoder().encode([*head, *more])


def conversations() -> list[bytes]:
    """What clients send, after the preface."""
    relay = corpora.relays()[0]
    call = block(METHOD, ("content-type", "application/grpc"), ("grpc-timeout", "1S"))
    web = block(METHOD, ("content-type", "application/grpc-web"))
    length = block("/", ("content-length", str(len(relay))), ("rpc-type", "3"))
    window = struct.pack(">HI", 4, 1_000)
    settings = frame(SETTINGS, 0, 0, window + struct.pack(">HI", 5, 20_000))
    unary = frame(HEADERS, END_HEADERS, 1, call) + frame(DATA, END_STREAM, 1, framed(relay))
    return [
        settings + unary,
        settings
        + frame(HEADERS, END_HEADERS, 1, call)
        + frame(DATA, 0, 1, framed(relay)[:100])
        + frame(PING, 0, 0, bytes(8))
        + frame(DATA, 0, 1, framed(relay)[100:] + framed(relay))
        + frame(DATA, END_STREAM, 1, b""),
        settings
        + frame(HEADERS, END_HEADERS, 1, length)
        + frame(HEADERS, END_HEADERS, 3, call)
        + frame(DATA, END_STREAM, 1, relay)
        + frame(DATA, END_STREAM | PADDED, 3, b"\x05" + framed(relay) + bytes(5)),
        settings
        + frame(HEADERS, 0, 1, web[:10])
        + frame(CONTINUATION, 0, 1, web[10:20])
        + frame(CONTINUATION, END_HEADERS, 1, web[20:])
        + frame(DATA, END_STREAM, 1, framed(relay)),
        settings
        + frame(SETTINGS, ACK, 0, b"")
        + frame(HEADERS, END_HEADERS | END_STREAM, 1, block("/health", method="GET"))
        + frame(HEADERS, END_HEADERS, 3, call)
        + frame(RST_STREAM, 0, 3, struct.pack(">I", 8))
        + frame(PRIORITY, 0, 5, struct.pack(">IB", 3, 16))
        + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 10_000))
        + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 10_000))
        + frame(0x20, 0, 0, b"unknown"),
        settings + unary + frame(GOAWAY, 0, 0, bytes(8)),
        settings
        + b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, number, block("/"))
            for number in range(1, 60, 2)
        ),
    ]


FRAME_WORDS = (
    *(
        frame(kind, flags, stream, b"")
        for kind in range(10)
        for flags in (0, 5)
        for stream in (0, 1)
    ),
    frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)),
    frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)),
    frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 2**32 - 1)),
    frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 2**24 - 1)),
    frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**31 - 1)),
    frame(PING, 0, 0, bytes(8)),
    frame(RST_STREAM, 0, 1, bytes(4)),
    frame(HEADERS, END_HEADERS | END_STREAM, 7, block("/")),
    *(b"\x82", b"\x3f\xe1\xff\x03", b"\xff\xff\xff\xff\x0f", b"\xbe", b"\xc0", b"\x40\x00\x00"),
)


class ScriptedWire(Pieces):
    """A wire whose client takes everything and says what it was told to, then leaves."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data, size)
        self.said = bytearray()

    async def receive(self, limit: int = 0) -> bytes:
        """The next piece; the streams get their turn in between."""
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        return await super().receive(limit)

    async def send(self, data: bytes) -> None:
        """Kept."""
        self.said += data

    def finish_writing(self) -> None:
        """Nobody minds."""


async def converse(data: bytes) -> None:
    """A whole connection; what we say is made of whole frames."""
    wire = ScriptedWire(PREFACE + data, 1 + len(data) // 3 if len(data) % 2 else 65_536)
    with trio.fail_after(20):
        await TRANSPORT.serve(wire, ENGINE)  # type: ignore[arg-type]  # all it asks is there
    said = memoryview(wire.said)
    while said:
        size = 9 + int.from_bytes(said[:3], "big")
        assert len(said) >= size
        said = said[size:]


async def test_frames(*, soak: bool) -> None:
    """Answers, resets or a goodbye; never an accident of ours."""
    mutator = Mutator("http2 frames", conversations(), FRAME_WORDS)
    with capture_logs() as logs:
        assert await async_campaign(mutator, converse, count=inputs(soak), allowed=())
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert not TRANSPORT._connections
