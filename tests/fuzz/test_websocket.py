"""The WebSocket side of a client: handshakes and frames, damaged."""

from __future__ import annotations

import struct

import pytest
import trio
from relayminer_plugins.websocket.peer import Peer, RefusedHandshakeError
from relayminer_plugins.websocket.stream import WireStream
from trio_websocket import ConnectionClosed
from wsproto import ConnectionType

from relayminer.net.errors import WireError
from relayminer.plugin.bridges import BridgeLimits
from tests.fuzz import corpora
from tests.fuzz.campaign import async_campaign, inputs
from tests.fuzz.mutate import Mutator
from tests.fuzz.test_parsers import Pieces

pytestmark = pytest.mark.timeout(1_800)  # the full counts take their time

HANDSHAKE = (
    b"GET /anvil HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Target-Service-Id: anvil\r\nRpc-Type: 2\r\n\r\n"
)
LIMITS = BridgeLimits(max_message_bytes=4_000)
MASK = b"\x01\x02\x03\x04"
FIN, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 1, 2, 8, 9, 10
WORDS = (
    b"\x82\xfe\xff\xff" + MASK,
    b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + MASK,
    b"\x82\xff\x00\x00\x00\x00\xff\xff\xff\xff" + MASK,
    b"\x81\x05hello",
    b"\xf2\x80" + MASK,
    b"\x80\x80" + MASK,
    b"\x88\x81" + MASK + b"\x00",
    b"\x89\xfe\x01\x00" + MASK,
    b"\x02\x80" + MASK,
)


def frame(first: int, payload: bytes) -> bytes:
    """A client's frame with this first byte."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + struct.pack(">H", size)
    else:
        length = b"\xff" + struct.pack(">Q", size)
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes([first]) + length + MASK + masked


def frames() -> list[bytes]:
    """What clients send after the handshake."""
    relay = corpora.relays()[0]
    return [
        frame(FIN | BINARY, relay),
        frame(FIN | TEXT, b"text \xff\xfe"),
        frame(BINARY, relay[:100]) + frame(0, relay[100:200]) + frame(FIN, relay[200:]),
        frame(FIN | PING, b"ping") + frame(FIN | PONG, b"") + frame(FIN | TEXT, b"x"),
        frame(FIN | CLOSE, struct.pack(">H", 1000) + b"bye"),
        frame(FIN | CLOSE, b""),
        frame(FIN | BINARY, b"y" * 5_000),
        frame(FIN | BINARY, b"") + frame(FIN | CLOSE, struct.pack(">H", 4001)),
    ]


async def converse(data: bytes) -> None:
    """A whole connection: its handshake, and all that it says afterwards."""
    size = 1 + len(data) // 3 if len(data) % 2 else 65_536
    stream = WireStream(Pieces(data, size), read_seconds=30.0, write_seconds=10.0)
    peer = Peer(stream, LIMITS, kind=ConnectionType.SERVER)
    too_big: list[bool] = []

    async def on_message(message: bytes, text: bool) -> None:
        del text
        assert len(message) <= LIMITS.max_message_bytes
        assert not too_big
        await trio.lowlevel.checkpoint()

    def on_close(code: int, reason: str | None) -> None:
        assert reason is None or 0 <= code <= 0xFFFF

    peer.on_message = on_message
    peer.on_close = on_close
    peer.on_too_big = lambda: too_big.append(True)
    await peer.accept(await peer.read_request())
    await peer.read()


ALLOWED = (WireError, RefusedHandshakeError, ConnectionClosed)


async def test_handshakes(*, soak: bool) -> None:
    """Refused with a status, or a handshake."""
    mutator = Mutator("websocket handshakes", [HANDSHAKE], corpora.HTTP_WORDS)
    assert await async_campaign(mutator, converse, count=inputs(soak), allowed=ALLOWED)


async def test_frames(*, soak: bool) -> None:
    """Messages within the limit, a goodbye, or the end."""
    mutator = Mutator("websocket frames", frames(), WORDS)

    async def after_handshake(data: bytes) -> None:
        await converse(HANDSHAKE + data)

    assert await async_campaign(mutator, after_handshake, count=inputs(soak), allowed=ALLOWED)
