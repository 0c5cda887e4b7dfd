"""Peers that break HTTP/2's rules, or keep them to our harm: bounded, told, and harming nobody."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from relayminer_plugins.grpc.transport import GrpcTransport
from relayminer_plugins.http.transport import HttpTransport

from tests.grpc.client import PREFACE, Answer, connect, raw_frame
from tests.grpc.hostile import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    PUSH,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    head,
    still_serves,
)
from tests.grpc.kit import serving
from tests.relayer.kit import Backend, bench, json_rpc, request_body, settings, signed_request
from tests.streaming.client import until

if TYPE_CHECKING:
    from tests.grpc.client import Http2Client
    from tests.relayer.kit import Bench

pytestmark = pytest.mark.usefixtures("no_traceback")

FLOOD = 3_000


async def hung_up_on(b: Bench, data: bytes) -> tuple[int, int] | None:
    """Send this after hello; the GOAWAY that came of it."""
    client = await connect(b.address)
    await client.write(data)
    await client.until_closed()
    await client.aclose()
    await still_serves(b)
    return client.goaway


# Broken rules.


async def test_a_bad_preface_is_an_http_request(redis_url: str) -> None:
    """What only begins like HTTP/2 is answered by HTTP/1.1, with 400."""
    async with serving(redis_url) as b:
        stream = await trio.open_tcp_stream(*b.address)
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n")
        with trio.fail_after(10):
            assert (await stream.receive_some(1_000)).startswith(b"HTTP/1.1 400")
        await stream.aclose()
        await still_serves(b)


async def test_half_a_preface_is_waited_for_a_while_only(redis_url: str) -> None:
    """Then it is nobody's, and the connection ends."""
    configure = partial(settings, header_timeout_seconds=0.3, idle_timeout_seconds=0.5)
    async with serving(redis_url, configure=configure) as b:
        stream = await trio.open_tcp_stream(*b.address)
        await stream.send_all(PREFACE[:10])
        with trio.fail_after(10):
            while await stream.receive_some(1_000):
                pass
        await stream.aclose()
        await still_serves(b)


BROKEN: dict[str, bytes] = {
    "garbage": b"\xde\xad\xbe\xef" * 100,
    "a frame that is too large": raw_frame(DATA, 0, 1, b"x" * 16_385),
    "a frame that would be too large": raw_frame(DATA, 0, 1, b"x" * 20_000)[:9],
    "data on a stream that never began": raw_frame(DATA, 0, 1, b"x"),
    "a stream of our own": raw_frame(HEADERS, END_HEADERS, 2, head()),
    "a push": raw_frame(PUSH, END_HEADERS, 1, b"\x00\x00\x00\x02" + head()),
    "a naked continuation": raw_frame(CONTINUATION, END_HEADERS, 1, head()),
    "headers within headers": raw_frame(HEADERS, 0, 1, head())
    + raw_frame(HEADERS, END_HEADERS, 3, head()),
    "a block that cannot be read": raw_frame(HEADERS, END_HEADERS, 1, b"\xff" * 20),
    "an upper-case name": raw_frame(HEADERS, END_HEADERS, 1, head([("Bad", "x")])),
    "a line break in a value": raw_frame(
        HEADERS, END_HEADERS, 1, head([("pocket-x", "a\r\nb: c")])
    ),
    "no method": raw_frame(HEADERS, END_HEADERS, 1, Encoder().encode([(":path", "/")])),
    "two paths": raw_frame(HEADERS, END_HEADERS, 1, head([(":path", "/x")])),
    "a connection header": raw_frame(HEADERS, END_HEADERS, 1, head([("connection", "close")])),
    "a huge header": raw_frame(HEADERS, 0, 1, head([("x", "\x7f" * 10_000)])[:16_000])
    + b"".join(
        raw_frame(
            CONTINUATION, END_HEADERS if last else 0, 1, Encoder().encode([("x", "a" * 15_000)])
        )
        for last in (False, False, False, False, False, True)
    ),
    "a header that is repeated without end": raw_frame(
        HEADERS, END_HEADERS, 1, Encoder().encode([*REQUEST, ("x", "a" * 4_000)]) + b"\xbe" * 4_000
    ),
    "a continuation flood": raw_frame(HEADERS, 0, 1, head())
    + b"".join(raw_frame(CONTINUATION, 0, 1, b"") for _ in range(200)),
    "an empty window update": raw_frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "a window beyond all": raw_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)),
    "settings with half a value": raw_frame(SETTINGS, 0, 0, b"\x00" * 5),
    "settings on a stream": raw_frame(SETTINGS, 0, 1, b""),
    "a window setting beyond all": raw_frame(
        SETTINGS, 0, 0, struct.pack(">HI", SettingCodes.INITIAL_WINDOW_SIZE, 2**32 - 1)
    ),
    "a short ping": raw_frame(PING, 0, 0, b"x"),
    "a reset of nothing": raw_frame(RST_STREAM, 0, 9, bytes(4)),
    "data that is all padding, and more": raw_frame(HEADERS, END_HEADERS, 1, head())
    + raw_frame(DATA, 8, 1, b"\xff\x00"),
    "less data than announced": raw_frame(HEADERS, END_HEADERS, 1, head([("content-length", "10")]))
    + raw_frame(DATA, END_STREAM, 1, b"x"),
    "a length that is none": raw_frame(HEADERS, END_HEADERS, 1, head([("content-length", "1x")])),
    "the same stream twice": raw_frame(HEADERS, END_HEADERS | END_STREAM, 3, head())
    + raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, head()),
}


async def test_a_broken_rule_ends_the_connection(redis_url: str) -> None:
    """With a GOAWAY that names an error; the next connection knows nothing of it."""
    async with serving(redis_url) as b:
        for what, data in BROKEN.items():
            goaway = await hung_up_on(b, data)
            assert goaway is not None, what
            assert goaway[0] != ErrorCodes.NO_ERROR, what
        assert len(await b.logged()) == len(BROKEN)


async def test_a_client_without_manners(redis_url: str) -> None:
    """It asks before it has sent its settings, and leaves: that harms nobody."""
    async with serving(redis_url) as b:
        stream = await trio.open_tcp_stream(*b.address)
        await stream.send_all(PREFACE + raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, head()))
        await stream.aclose()
        await still_serves(b)


async def test_data_on_a_stream_that_was_answered(redis_url: str) -> None:
    """The client may not have seen the answer yet: that stream is over, the connection is not."""
    async with serving(redis_url, configure=partial(settings, max_body_bytes=10)) as b:
        client = await connect(b.address)
        number = await client.begin("/")
        await client.send(number, b"x" * 11)
        assert (await client.answer(number)).status == "413"
        for _ in range(5):
            await client.write(raw_frame(DATA, 0, number, b"y" * 100))
        assert (await client.ask("GET", "/health")).status == "200"
        await client.aclose()


# Floods of what is allowed.


def _rapid_reset() -> bytes:
    encoder, data = Encoder(), bytearray()
    for number in range(1, 2 * FLOOD, 2):
        data += raw_frame(HEADERS, END_HEADERS, number, encoder.encode(REQUEST))
        data += raw_frame(RST_STREAM, 0, number, struct.pack(">I", ErrorCodes.CANCEL))
    return bytes(data)


def _tiny_data() -> bytes:
    return raw_frame(HEADERS, END_HEADERS, 1, head()) + raw_frame(DATA, 0, 1, b"x") * FLOOD


FLOODS = {
    "rapid reset": _rapid_reset(),
    "ping": raw_frame(PING, 0, 0, bytes(8)) * FLOOD,
    "ping answers": raw_frame(PING, ACK, 0, bytes(8)) * FLOOD,
    "settings": raw_frame(SETTINGS, 0, 0, b"") * FLOOD,
    "window updates": raw_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * FLOOD,
    "priority": raw_frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1)) * FLOOD,
    "frames of the future": raw_frame(0xBE, 0, 0, b"") * FLOOD,
    "empty data": raw_frame(HEADERS, END_HEADERS, 1, head()) + raw_frame(DATA, 0, 1, b"") * FLOOD,
    "tiny data": _tiny_data(),
}


async def test_a_flood_is_told_to_calm_down(redis_url: str) -> None:
    """A peer that asks for nothing, again and again, is hung up on."""
    async with serving(redis_url) as b:
        for what, data in FLOODS.items():
            # Its windows stay as they are: a window update of 1 is still legal.
            client = await connect(b.address, connection=65_535)
            await client.write(data)
            await client.until_closed()
            await client.aclose()
            assert client.goaway is not None, what
            assert client.goaway[0] == ErrorCodes.ENHANCE_YOUR_CALM, what
            assert b.backend.requests == [], what
        await still_serves(b)


async def test_a_client_that_works_may_ping(redis_url: str) -> None:
    """Pings and window updates beside relays are manners: nobody is hung up on for them."""
    async with serving(redis_url) as b:
        client = await connect(b.address, connection=65_535)
        body = request_body(signed_request(b.chain))
        for _ in range(120):
            number = await client.call(body)
            for _ in range(10):
                await client.write(raw_frame(PING, 0, 0, bytes(8)))
            assert (await client.answer(number)).grpc == (0, "")
        await client.aclose()
        assert client.goaway is None


async def test_calls_that_time_out_are_no_flood(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway gives up on a slow backend, call after call; its connection stays."""
    monkeypatch.setattr("relayminer_plugins.grpc.connection._NUISANCE_LIMIT", 100)
    release = trio.Event()
    backend = Backend(json_rpc, release)
    async with serving(redis_url, backend=backend) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        asked = 0
        for _ in range(3):
            numbers = [await client.call(body) for _ in range(50)]
            asked += 50
            await until(lambda: len(backend.requests) >= asked, 20)  # noqa: B023 - read at once
            for number in numbers:
                client.protocol.reset_stream(number)
            await client.flush()
            release.set()
            # Those that were reset are finished all the same.
            await until(lambda: b.relayer.engine.in_flight == 0, 20)
            release = backend.release = trio.Event()
        release.set()
        assert (await client.answer(await client.call(body))).grpc == (0, "")
        await client.aclose()
        assert client.goaway is None


async def test_more_streams_than_allowed_are_refused(redis_url: str) -> None:
    """One by one, and the others are served: a client may not have seen our settings yet."""
    configure = partial(settings, max_streams_per_connection=5)
    async with serving(redis_url, configure=configure) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        data, encoder = bytearray(), Encoder()
        for number in range(1, 19, 2):
            client.answers[number] = Answer()
            client.protocol.send_headers(number, REQUEST)
            data += raw_frame(HEADERS, END_HEADERS, number, encoder.encode(REQUEST))
            data += raw_frame(DATA, END_STREAM, number, body)
            client.protocol.end_stream(number)
        client.protocol.data_to_send()
        await client.write(bytes(data))
        answers = [await client.answer(number) for number in range(1, 19, 2)]
        served = [one for one in answers if one.status == "200"]
        refused = [one for one in answers if one.reset == ErrorCodes.REFUSED_STREAM]
        assert len(served) == 5
        assert len(refused) == 4
        await client.aclose()


async def test_many_hostile_connections_leave_nothing(redis_url: str, *, soak: bool) -> None:
    """They come, break a rule, and go; no connection, stream or task stays."""
    transport = GrpcTransport()
    async with bench(redis_url, transports=[transport, HttpTransport()]) as b:
        for number in range(500 if soak else 30):
            client: Http2Client = await connect(b.address)
            await client.write(list(BROKEN.values())[number % len(BROKEN)])
            await client.aclose()
        await until(lambda: not transport._connections and not b.relayer._door.connections, 15)
        await still_serves(b)
