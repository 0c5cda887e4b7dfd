"""The pooled client against a server that misbehaves."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from relayminer.net.client import HttpPool, fetch, request_bytes
from relayminer.net.errors import (
    BadRequestError,
    BadResponseError,
    ResponseTooLargeError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http1 import HttpLimits, Request, RequestReader
from relayminer.net.url import Origin
from relayminer.net.watchdog import Watchdog
from relayminer.net.wire import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[Wire, Request], Awaitable[bool]]


class Server:
    """Counts connections; `serve` answers and says whether to go on."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.connections = 0
        self.requests: list[Request] = []


@asynccontextmanager
async def served(serve: Serve, **options: float) -> AsyncIterator[tuple[Server, HttpPool]]:
    """A server and a pool for it."""
    server = Server(serve)
    listener = socket.socket()
    listener.settimeout(0)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    async def converse(accepted: socket.socket) -> None:
        wire = Wire(accepted)
        reader = RequestReader(wire, HttpLimits())
        try:
            while (request := await reader.next()) is not None:
                server.requests.append(request)
                if not await server.serve(wire, request):
                    return
        except WireError:
            return
        finally:
            wire.close()

    async def accept() -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            accepted, _ = listener.accept()
            server.connections += 1
            nursery.start_soon(converse, accepted)

    watchdog = Watchdog(0.02)
    pool = HttpPool(
        Origin("http", "127.0.0.1", listener.getsockname()[1]),
        watchdog,
        max_connections=int(options.get("max_connections", 10)),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        nursery.start_soon(watchdog.run)
        yield server, pool
        pool.close()
        nursery.cancel_scope.cancel()
    listener.close()


def answering(data: bytes, *, go_on: bool = True) -> Serve:
    """Always the same answer."""

    async def serve(wire: Wire, request: Request) -> bool:
        del request
        await wire.send(data)
        return go_on

    return serve


async def test_connections_are_kept_and_used_again() -> None:
    """Exchanges one after another need one connection."""
    async with served(answering(OK)) as (server, pool):
        for _ in range(3):
            response = await fetch(pool, b"POST", b"/", body=b"x", timeout_seconds=1)
            assert (response.status, response.body) == (200, b"ok")
        assert server.connections == 1


async def test_the_number_of_connections_is_bounded() -> None:
    """Those that find no connection free wait for their turn."""
    async with served(answering(OK), max_connections=2) as (server, pool):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(
                    lambda: fetch(pool, b"GET", b"/", timeout_seconds=5), name="fetch"
                )
        assert len(server.requests) == 20
        assert server.connections == 2
        assert pool.in_flight == 0


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_forms_of_answers(answer: bytes, body: bytes) -> None:
    """Chunks, an interim answer, no body."""
    async with served(answering(answer)) as (_, pool):
        for _ in range(2):
            assert (await fetch(pool, b"GET", b"/", timeout_seconds=1)).body == body


async def test_an_answer_may_end_with_the_connection() -> None:
    """Without a length the end of the connection is the end of the body."""
    async with served(answering(b"HTTP/1.1 200 OK\r\n\r\nabc", go_on=False)) as (_, pool):
        assert (await fetch(pool, b"GET", b"/", timeout_seconds=1)).body == b"abc"
        assert pool.open_connections == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", WireError),
        (b"", WireError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadResponseError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", ResponseTooLargeError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_100_000, ResponseTooLargeError),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_100, ResponseTooLargeError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_100_000, ResponseTooLargeError),
    ],
)
async def test_bad_answers_are_errors(answer: bytes, error: type[Exception]) -> None:
    """Cut, silent, not HTTP, too large: the connection is thrown away."""
    async with served(answering(answer, go_on=False)) as (_, pool):
        with pytest.raises(error):
            await fetch(pool, b"POST", b"/", timeout_seconds=5, max_response_bytes=1_000_000)
        assert pool.open_connections == 0


async def test_a_server_that_hangs_is_a_timeout() -> None:
    """The deadline holds in the head and in the body."""
    for answer in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"):
        async with served(answering(answer)) as (_, pool):
            with pytest.raises(WireTimeoutError):
                await fetch(pool, b"POST", b"/", timeout_seconds=0.1)
            assert pool.open_connections == 0


@pytest.mark.parametrize(("method", "repeated"), [(b"GET", True), (b"POST", False)])
async def test_a_stale_connection_is_replaced_only_where_that_is_safe(
    method: bytes, *, repeated: bool
) -> None:
    """What the server may have executed is not sent again unless its method allows it."""
    count = 0

    async def serve(wire: Wire, request: Request) -> bool:
        nonlocal count
        del request
        count += 1
        if count == 2:
            return False
        await wire.send(OK)
        return True

    async with served(serve) as (server, pool):
        await fetch(pool, method, b"/", timeout_seconds=1)
        if repeated:
            await fetch(pool, method, b"/", timeout_seconds=1)
            assert server.connections == 2
        else:
            with pytest.raises(WireError):
                await fetch(pool, method, b"/", timeout_seconds=1)
        assert len(server.requests) == (3 if repeated else 2)


async def test_cancelling_gives_the_connection_back() -> None:
    """A caller that goes away leaves no connection and no count behind."""
    async with served(answering(b"HTTP/1.1 200 OK\r\n")) as (server, pool):
        with trio.move_on_after(0.1):
            await fetch(pool, b"GET", b"/", timeout_seconds=5)
        assert server.requests
        assert (pool.open_connections, pool.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (b"GET /x HTTP/1.1\r\nX:", []),
        (b"", []),
        (b"GET", [(b"X\r\nY", b"z")]),
        (b"GET", [(b"X", b"y\r\nZ: z")]),
        (b"GET", [(b"", b"y")]),
    ],
)
def test_requests_cannot_be_smuggled(method: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Line breaks in method, name or value are refused."""
    with pytest.raises(BadRequestError):
        request_bytes(method, b"/", b"h", headers, b"")
