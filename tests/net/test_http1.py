"""The request reader over real sockets: limits, timeouts, pipelining."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.net.errors import RequestRefusedError, WireError
from relayminer.net.http1 import HttpLimits, RequestReader, response_bytes
from relayminer.net.watchdog import Watchdog
from relayminer.net.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

LIMITS = HttpLimits(max_header_bytes=4_096, max_headers=50, max_body_bytes=10_000)


class Pair:
    """A reader and the client's end of its socket."""

    def __init__(self, limits: HttpLimits = LIMITS) -> None:
        client, server = socket.socketpair()
        self.client = Wire(client)
        self.wire = Wire(server)
        self.reader = RequestReader(self.wire, limits)
        self.watchdog = Watchdog()
        self.watchdog.watch(self.wire)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A connected pair, closed afterwards."""
    one = Pair()
    yield one
    one.client.close()
    one.wire.close()


async def refused(pair: Pair) -> int:
    """The status with which the next request is refused."""
    with pytest.raises(RequestRefusedError) as caught:
        await pair.reader.next()
    return caught.value.status


async def test_reads_head_and_body(pair: Pair) -> None:
    """A request comes out with its method, target, lower-case header names and body."""
    await pair.client.send(
        b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nabc"
    )
    request = await pair.reader.next()
    assert request is not None
    assert (request.method, request.target, request.body) == (b"POST", b"/a?b=1", b"abc")
    assert request.header(b"x-y") == b"z"
    assert request.keep_alive


async def test_reads_byte_by_byte(pair: Pair) -> None:
    """Where the bytes are cut does not matter."""
    raw = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"

    async def write() -> None:
        for index in range(len(raw)):
            await pair.client.send(raw[index : index + 1])
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        request = await pair.reader.next()
    assert request is not None
    assert request.body == b"abcd"


async def test_pipelined_requests_come_in_order(pair: Pair) -> None:
    """Several requests in one chunk are handed out one by one, in order."""
    await pair.client.send(
        b"".join(
            b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % (n, n)
            for n in range(5)
        )
    )
    for n in range(5):
        request = await pair.reader.next()
        assert request is not None
        assert (request.target, request.body) == (b"/%d" % n, b"%d" % n)


async def test_a_bad_request_behind_a_good_one_waits_its_turn(pair: Pair) -> None:
    """What came before garbage is answered, then the connection ends."""
    await pair.client.send(b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n\x00\x01garbage\r\n\r\n")
    request = await pair.reader.next()
    assert request is not None
    assert not request.keep_alive
    assert await pair.reader.next() is None


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x00\x01\x02garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 10001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 52428800\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2711\r\n" + b"x" * 10_001, 413),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60, 431),
        (b"GET /" + b"a" * 100_000, 431),
    ],
)
async def test_refuses_at_the_deciding_byte(pair: Pair, raw: bytes, status: int) -> None:
    """A request is refused as soon as it can be known to be unacceptable."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.client.send, raw)
        assert await refused(pair) == status


async def test_endless_trailers_are_refused(pair: Pair) -> None:
    """Bytes that are neither body nor chunk framing count against the head's limit."""
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"

    async def write() -> None:
        await pair.client.send(head)
        await pair.client.send(b"T: " + b"a" * 200_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        assert await refused(pair) == 431


async def test_a_client_that_stops_in_the_middle_gets_408(
    pair: Pair, mock_clock: MockClock
) -> None:
    """The time for a head runs from its first byte, whatever trickles in."""
    await pair.client.send(b"GET / HT")
    async with trio.open_nursery() as nursery:

        async def expire() -> None:
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(LIMITS.header_timeout_seconds + 1)
            pair.watchdog.sweep(trio.current_time())

        nursery.start_soon(expire)
        assert await refused(pair) == 408
    await pair.wire.send(response_bytes(408, b"{}", keep_alive=False))
    assert (await pair.client.receive()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_an_idle_connection_ends_silently(pair: Pair, mock_clock: MockClock) -> None:
    """Between two requests the time runs out without an answer."""
    async with trio.open_nursery() as nursery:

        async def expire() -> None:
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(LIMITS.idle_timeout_seconds + 1)
            pair.watchdog.sweep(trio.current_time())

        nursery.start_soon(expire)
        assert await pair.reader.next() is None


async def test_a_broken_request_is_an_error(pair: Pair) -> None:
    """A client that closes in the middle of a request is told apart from one that is done."""
    await pair.client.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    pair.client.close()
    with pytest.raises(WireError):
        await pair.reader.next()


async def test_expect_continue_is_answered(pair: Pair) -> None:
    """A client that waits for leave to send its body gets it."""
    await pair.client.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            assert await pair.client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await pair.client.send(b"ok")

        nursery.start_soon(client)
        request = await pair.reader.next()
    assert request is not None
    assert request.body == b"ok"


async def test_an_upgrade_offer_is_answered_once(pair: Pair) -> None:
    """A request that offers another protocol is served, and is the connection's last."""
    await pair.client.send(
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    request = await pair.reader.next()
    assert request is not None
    assert not request.keep_alive
