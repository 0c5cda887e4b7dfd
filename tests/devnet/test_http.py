"""The devnet's small HTTP/1.1 server and client against each other and against raw bytes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import memory_stream_pair

from relayminer.devnet.errors import HttpError
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.http_message import HttpRequest, HttpResponse
from relayminer.devnet.http_server import serve_connection
from tests.devnet.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable


async def echo(request: HttpRequest) -> HttpResponse:
    """Answers with what it heard."""
    kind = request.header("content-type", "none")
    text = f"{request.method} {request.path} {request.query} {kind} ".encode()
    return HttpResponse(201, (("X-Length", str(len(request.body))),), text + request.body)


async def test_a_round_trip() -> None:
    """Method, path, query, headers and body arrive; status, headers and body come back."""
    async with serving(echo) as url, HttpClient() as client:
        answer = await client.request(
            "PUT", f"{url}/a/b?c=d", headers=(("Content-Type", "text/x"),), body=b"\x00\xff"
        )
        assert answer.status == 201
        assert answer.header("x-length") == "2"
        assert answer.body == b"PUT /a/b c=d text/x \x00\xff"


async def test_connections_are_kept() -> None:
    """Several requests one after the other use one connection."""
    async with serving(echo) as url, HttpClient() as client:
        for _ in range(3):
            await client.request("GET", url)
        assert [len(idle) for idle in client._idle.values()] == [1]


async def test_large_bodies_and_many_at_once() -> None:
    """A megabyte travels both ways, twenty at once over five connections."""
    body = bytes(range(256)) * 4096
    async with serving(echo) as url, HttpClient(max_connections=5) as client:

        async def send() -> None:
            answer = await client.request("POST", url, body=body)
            assert answer.body.endswith(body)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(send)
        assert [len(idle) for idle in client._idle.values()] == [5]


async def test_a_server_that_is_gone() -> None:
    """When nobody listens any more the request fails as a connection does."""
    async with HttpClient() as client:
        async with serving(echo) as url:
            await client.request("GET", url)
        with pytest.raises(OSError, match="all attempts to connect"):
            await client.request("GET", url)


async def test_too_slow() -> None:
    """A request has a deadline, and the connection that missed it is not used again."""

    async def never(_request: HttpRequest) -> HttpResponse:
        await trio.sleep_forever()

    async with serving(never) as url, HttpClient() as client:
        with pytest.raises(trio.TooSlowError):
            await client.request("GET", url, timeout_seconds=0.05)
        assert client._idle == {}


async def test_urls_that_are_not_http() -> None:
    """Only http:// URLs with a host are spoken to."""
    async with HttpClient() as client:
        for url in ("https://127.0.0.1", "http://", "ftp://x"):
            with pytest.raises(HttpError):
                await client.request("GET", url)


async def exchange(raw: bytes) -> bytes:
    """What the server says to raw bytes before it closes or waits."""
    ours, theirs = memory_stream_pair()
    answer = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, theirs, echo)
        await ours.send_all(raw)
        await ours.send_eof()
        async for data in ours:
            answer += data
    return bytes(answer)


async def test_pipelined_requests() -> None:
    """Requests in one read are answered in their order."""
    answer = await exchange(
        b"POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
        b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    first, second, third = (answer.find(text) for text in (b"/1  none ab", b"/2  none cd", b"/3"))
    assert 0 < first < second < third
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "raw", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_malformed_requests(raw: bytes) -> None:
    """What is not HTTP is answered 400 and hung up on."""
    answer = await exchange(raw)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer


serve_raw = partial(trio.serve_tcp, port=0, host="127.0.0.1")


def responses(*chunks: bytes) -> Callable[[trio.SocketStream], object]:
    """A server that says `chunks` to whoever comes, and hangs up."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            for chunk in chunks:
                await stream.send_all(chunk)

    return serve


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ab"), b"ab"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"0\r\n\r\n"), b"a"),
        ((b"HTTP/1.1 200 OK\r\n\r\nuntil ", b"the end"), b"until the end"),
    ],
)
async def test_ways_to_end_a_body(
    nursery: trio.Nursery, chunks: tuple[bytes, ...], body: bytes
) -> None:
    """A length, chunks, or the end of the connection end a body."""
    listeners = await nursery.start(serve_raw, responses(*chunks))
    port = listeners[0].socket.getsockname()[1]
    async with HttpClient() as client:
        answer = await client.request("GET", f"http://127.0.0.1:{port}/")
        assert answer.body == body


async def test_a_closed_idle_connection_is_replaced(nursery: trio.Nursery) -> None:
    """A kept connection that the server closed meanwhile costs nothing but another one."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    listeners = await nursery.start(serve_raw, responses(answer))
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
    async with HttpClient() as client:
        for _ in range(3):
            assert (await client.request("GET", url)).status == 200


@pytest.mark.parametrize(
    ("chunks", "problem"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",), trio.BrokenResourceError),
        ((), trio.BrokenResourceError),
        ((b"not http\r\n\r\n",), HttpError),
    ],
)
async def test_answers_that_are_none(
    nursery: trio.Nursery, chunks: tuple[bytes, ...], problem: type[Exception]
) -> None:
    """A short, missing or malformed answer is an error, never half an answer."""
    listeners = await nursery.start(serve_raw, responses(*chunks))
    port = listeners[0].socket.getsockname()[1]
    async with HttpClient() as client:
        with pytest.raises(problem):
            await client.request("GET", f"http://127.0.0.1:{port}/")
