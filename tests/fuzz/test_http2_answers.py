"""What a sick HTTP/2 backend says: an error of the client, or an answer."""

from __future__ import annotations

import math

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame, PushPromiseFrame, RstStreamFrame

from relayminer.net.errors import NetError
from relayminer.net.http2 import Http2Connection
from relayminer.net.http2_pool import Http2Pool
from relayminer.net.url import Origin
from tests.fuzz.campaign import async_campaign, inputs
from tests.fuzz.mutate import Mutator

pytestmark = pytest.mark.timeout(1_800)  # the full counts take their time

POOL = Http2Pool(Origin("http", "node", 80))
REQUEST = POOL.prepare(b"POST", b"/", [(b"content-type", b"application/grpc")], b"x" * 100)
WORDS = (
    b"\x00\x00\x00\x04\x01\x00\x00\x00\x00",
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
    b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
    b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88",
    b"\x00\x00\x00\x09\x00\x00\x00\x00\x01",
    b"\x00\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff",
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00",
    GoAwayFrame(last_stream_id=0).serialize(),
    RstStreamFrame(1, error_code=7).serialize(),
    PushPromiseFrame(1, promised_stream_id=2, data=b"\x88").serialize(),
)


class Wire:
    """Hands out its first frame, then the rest in pieces, then ends."""

    def __init__(self, data: bytes) -> None:
        self._rest = data
        # Nobody answers before he was asked.
        self._sizes = [9 + int.from_bytes(data[:3])]
        self._size = 1 + len(data) // 3 if len(data) % 2 else 65_536
        self.expires_at = math.inf

    async def receive(self, limit: int = 0) -> bytes:
        """The next piece."""
        del limit
        size = self._sizes.pop() if self._sizes else self._size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def receive_now(self) -> bytes | None:
        """The same."""
        return None

    async def drain(self, pending: bytearray) -> None:
        """Nobody reads it."""
        pending.clear()

    def drain_some(self, pending: bytearray) -> None:
        """Nobody reads it."""
        pending.clear()

    def close(self) -> None:
        """Nothing is open."""


def answers() -> list[bytes]:
    """Good ones: plain, with trailers, with trailers only, with a reset, followed by a GOAWAY."""
    made = []
    for kind in range(4):
        server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        client.initiate_connection()
        client.send_headers(1, REQUEST.fields, end_stream=True)
        server.initiate_connection()
        server.receive_data(client.data_to_send())
        head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        trailers = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
        if kind == 2:
            server.send_headers(1, head + trailers, end_stream=True)
        else:
            server.send_headers(1, head)
            server.send_data(1, b"\x00\x00\x00\x00\x05hello" * 20, end_stream=kind == 0)
            if kind == 1:
                server.send_headers(1, trailers, end_stream=True)
            elif kind == 3:
                server.reset_stream(1, 2)
        made.append(server.data_to_send() + WORDS[9] * (kind % 2))
    return made


async def read_answer(data: bytes) -> None:
    """One exchange on a connection of its own."""
    connection = Http2Connection(Wire(data), lambda: None)  # type: ignore[arg-type]  # what it needs of one
    try:
        await connection.greet()
        response = await connection.exchange(
            REQUEST,
            deadline=trio.current_time() + 60,
            header_timeout_seconds=math.inf,
            max_response_bytes=10_000,
            stream_types=frozenset(),
        )
        assert len(getattr(response, "body", b"")) <= 10_000
    finally:
        connection.close()
    assert connection.is_closed
    assert connection.streams == 0


async def test_http2_answers(*, soak: bool) -> None:
    """Frames of strangers: refused with an error of ours, or understood."""
    mutator = Mutator("http2 answers", answers(), WORDS)
    count = inputs(soak)
    assert await async_campaign(mutator, read_answer, count=count, allowed=(NetError,))
