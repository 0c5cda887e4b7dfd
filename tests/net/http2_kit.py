"""What the tests of HTTP/2 ask with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from relayminer.net.http2_pool import Http2Pool
from relayminer.net.response_stream import ResponseStream
from relayminer.net.server import fetch
from relayminer.net.url import Origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.net.response import Response
    from tests.net.http2_server import Asked, Http2Server

SSE = frozenset({b"text/event-stream"})
BIG = bytes(range(256)) * 12_000


def pool_of(server: Http2Server, **more: Any) -> Http2Pool:
    """Connections to it."""
    return Http2Pool(Origin("http", "127.0.0.1", server.port), **more)


async def ask(pool: Http2Pool, body: bytes = b"", seconds: float = 10.0, **more: Any) -> Response:
    """One POST."""
    return await fetch(pool, b"POST", b"/", body=body, timeout_seconds=seconds, **more)


async def stream(pool: Http2Pool, seconds: float = 10.0) -> ResponseStream:
    """An answer piece by piece."""
    answer = await pool.open(
        b"GET",
        pool.prepare(b"GET", b"/", [], b""),
        deadline=trio.current_time() + seconds,
        max_response_bytes=10_000_000,
        stream_types=SSE,
    )
    assert isinstance(answer, ResponseStream)
    return answer


async def echo(asked: Asked) -> None:
    """The body back, with trailers."""
    await asked.head((b"content-type", b"text/plain"))
    await asked.send(bytes(asked.body))
    await asked.trailers((b"x-trailer", b"behind"))


async def all_at_once(count: int, work: Callable[[int], Awaitable[object]]) -> None:
    """So many of them."""
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(work, number)
