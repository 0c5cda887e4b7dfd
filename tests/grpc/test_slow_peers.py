"""Peers that keep us waiting: every wait ends, and costs nobody else anything."""

from __future__ import annotations

import resource
import struct
from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from relayminer_plugins.grpc.outbox import Outbox
from relayminer_plugins.grpc.streams import Held, Protocol, TrioConnection
from relayminer_plugins.grpc.transport import GrpcTransport
from relayminer_plugins.http.transport import HttpTransport

from relayminer.net.http1 import response_bytes
from tests.grpc.client import PREFACE, connect, raw_frame
from tests.grpc.hostile import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    REQUEST,
    SETTINGS,
    WINDOW_UPDATE,
    head,
    still_serves,
)
from tests.grpc.kit import checked, serving
from tests.relayer.kit import Backend, bench, request_body, settings, signed_request
from tests.streaming.backend import StreamBackend, Upstream
from tests.streaming.client import until

if TYPE_CHECKING:
    from tests.relayer.kit import Bench

pytestmark = pytest.mark.usefixtures("no_traceback")

GROWTH_KIB = 60_000


def _impatient(b: Bench, seconds: float = 0.5) -> None:
    b.relayer.engine.limits = attrs.evolve(b.relayer.engine.limits, write_timeout_seconds=seconds)


async def test_a_window_of_zero(redis_url: str) -> None:
    """A stream that takes nothing is reset in time; its connection may do better."""
    async with serving(redis_url) as b:
        _impatient(b)
        client = await connect(b.address, window=0)
        answer = await client.answer(await client.post(request_body(signed_request(b.chain))))
        assert answer.status == "200"
        assert answer.reset == ErrorCodes.CANCEL
        assert (await client.ask("HEAD", "/health")).status == "200"
        await client.aclose()
        assert len(await b.logged()) == 1


async def test_a_window_below_zero(redis_url: str) -> None:
    """New settings may take back what was promised: nothing is sent, and the end still is."""
    goes_on = trio.Event()

    async def script(upstream: Upstream) -> None:
        await upstream.head()
        await upstream.send(b"x" * 5_000 + b"\n")
        await goes_on.wait()
        await upstream.send(b"y\n")
        await upstream.end()

    async with serving(redis_url, backend=StreamBackend(script)) as b:
        client = await connect(b.address, window=20_000)
        acknowledge = client.protocol.acknowledge_received_data
        client.protocol.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        number = await client.post(request_body(signed_request(b.chain)))
        while len(client.answers[number].body) < 5_000:
            await client.read()
        client.protocol.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        await client.flush()
        assert (await client.ask("HEAD", "/health")).status == "200"
        goes_on.set()
        client.protocol.acknowledge_received_data = acknowledge  # type: ignore[method-assign]
        client.protocol.increment_flow_control_window(20_000, number)
        await client.flush()
        answer = await client.answer(number)
        assert answer.reset is None
        assert b"y\n" in bytes(answer.body)
        await client.aclose()


async def test_an_end_needs_no_window() -> None:
    """The last frame of an answer is empty: it goes out through a window below zero."""
    client, server = H2Connection(H2Configuration()), Protocol(H2Configuration(client_side=False))
    client.initiate_connection()
    client.send_headers(1, REQUEST, end_stream=True)
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    outbox = Outbox(None, 1.0, on_change=lambda: None, on_break=lambda: None)  # type: ignore[arg-type]
    connection = TrioConnection(
        server, outbox, Held(1), write_timeout_seconds=1.0, on_data_sent=lambda: None
    )
    stream = connection.create_stream(stream_id=1)
    server.send_headers(1, [(b":status", b"200")])
    server.send_data(1, b"x" * 100)
    client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    server.receive_data(client.data_to_send())
    assert server.local_flow_control_window(1) == -100
    with trio.fail_after(5):
        await stream.send_piece(b"", end_stream=True)
    assert server.streams[1].closed


async def test_a_peer_that_reads_nothing(redis_url: str) -> None:
    """It gets no further answers, is not listened to, costs no memory, and is cut off."""
    transport = GrpcTransport()
    backend = Backend(lambda _: response_bytes(200, b"x" * 100_000))
    async with bench(redis_url, transports=[transport, HttpTransport()], backend=backend) as b:
        _impatient(b, 1.0)
        stream = await trio.open_tcp_stream(*b.address)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        window = struct.pack(">HI", SettingCodes.INITIAL_WINDOW_SIZE, 2**31 - 1)
        more = struct.pack(">I", 2**31 - 1 - 65_535)
        await stream.send_all(
            PREFACE + raw_frame(SETTINGS, 0, 0, window) + raw_frame(WINDOW_UPDATE, 0, 0, more)
        )
        body, encoder = request_body(signed_request(b.chain)), Encoder()
        for number in range(1, 480, 2):
            await stream.send_all(
                raw_frame(HEADERS, END_HEADERS, number, encoder.encode(REQUEST))
                + raw_frame(DATA, END_STREAM, number, body)
            )
        [connection] = transport._connections
        await until(lambda: not connection._outbox.room.is_set(), 30)
        assert len(connection._outbox._waiting) < 1_000_000
        await until(lambda: not transport._connections, 30)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB
        await stream.aclose()
        assert len(await b.logged()) == len(backend.requests)
        await still_serves(b)


async def test_headers_that_never_end(redis_url: str) -> None:
    """The connection asks for nothing as long, whatever it trickles and pings."""
    async with serving(redis_url, configure=partial(settings, idle_timeout_seconds=1.0)) as b:
        client = await connect(b.address)
        assert (await client.ask("GET", "/health")).status == "200"
        await client.write(raw_frame(HEADERS, 0, 3, head()))
        await client.until_closed()
        assert client.goaway == (ErrorCodes.NO_ERROR, 1)
        await client.aclose()


async def test_pings_do_not_keep_an_idle_connection(redis_url: str) -> None:
    """Only requests do."""
    async with serving(redis_url, configure=partial(settings, idle_timeout_seconds=1.0)) as b:
        client = await connect(b.address)

        with trio.fail_after(10):
            while not client.closed:
                await client.write(raw_frame(PING, 0, 0, bytes(8)))
                with trio.move_on_after(0.1):
                    await client.until_closed()
        assert client.goaway == (ErrorCodes.NO_ERROR, 0)
        await client.aclose()


async def test_a_call_that_says_nothing_more(redis_url: str) -> None:
    """Between two messages the idle time holds, before the first one the body's."""
    configure = partial(settings, idle_timeout_seconds=0.5, body_timeout_seconds=0.3)
    async with serving(redis_url, configure=configure) as b:
        client = await connect(b.address)
        fields = [("content-type", "application/grpc")]
        silent = await client.begin("/pocket.service.RelayService/SendRelay", fields)
        code, words = (await client.answer(silent)).grpc
        assert (code, words) == (3, "failed to receive request: not received in time")
        talking = await client.begin("/pocket.service.RelayService/SendRelay", fields)
        body = request_body(signed_request(b.chain))
        await client.send(talking, struct.pack(">BI", 0, len(body)) + body)
        answer = await client.answer(talking)
        assert checked(b, bytes(answer.body)[5:]).status == 200
        assert answer.grpc[0] == 3
        await client.aclose()


async def test_the_deadline_of_a_call(redis_url: str) -> None:
    """`grpc-timeout` bounds how long we wait for its messages."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        fields = [("content-type", "application/grpc"), ("grpc-timeout", "300m")]
        number = await client.begin("/pocket.service.RelayService/SendRelay", fields)
        assert (await client.answer(number)).grpc[0] == 4
        fields[1] = ("grpc-timeout", "soon")
        number = await client.begin("/pocket.service.RelayService/SendRelay", fields)
        assert (await client.answer(number)).grpc[1].endswith("malformed grpc-timeout")
        await client.aclose()


async def test_a_client_that_says_goodbye_still_gets_its_answers(redis_url: str) -> None:
    """GOAWAY means no new streams, not that the old ones are unwanted."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        number = await client.call(request_body(signed_request(b.chain)))
        await client.write(raw_frame(GOAWAY, 0, 0, bytes(8)))
        assert (await client.answer(number)).grpc == (0, "")
        await client.until_closed()
        await client.aclose()
        assert len(await b.logged()) == 1


async def test_a_client_that_hangs_up_its_half(redis_url: str) -> None:
    """It is gone, as HTTP/2 sees it; its relay is accounted for all the same."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        await client.call(request_body(signed_request(b.chain)))
        await client.stream.send_eof()
        await client.until_closed()
        await client.aclose()
        await until(lambda: b.relayer.engine.in_flight == 0, 10)
        assert len(await b.logged()) == 1
