"""A client that asks for streams, and looks at what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from relayminer.net.client import request_bytes
from tests.relayer.client import Client, connect
from tests.relayer.kit import (
    SERVICE,
    Bench,
    request_body,
    signed_request,
)
from tests.streaming.backend import SSE, Upstream, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.relayer.pool import Endpoint
    from tests.streaming.backend import Script, Stream

EVENTS = b"event: a\r\ndata: 1\r\n\r\ndata: 2\n\ndata: no newline at the end \xff"


def plays(*pieces: bytes, content_type: bytes = SSE) -> Script:
    """A script that streams `pieces` at once."""

    async def script(upstream: Upstream) -> None:
        await upstream.head(content_type)
        for piece in pieces:
            await upstream.send(piece)
        await upstream.end()

    return script


async def ask(b: Bench, version: bytes = b"1.1") -> Client:
    """A client that has sent a good relay."""
    client = await connect(b.address)
    request = request_bytes(b"POST", b"/", b"relayer", [], request_body(signed_request(b.chain)))
    await client.wire.send(request.replace(b"HTTP/1.1", b"HTTP/" + version, 1))
    client.parser.reset(max_body_bytes=100_000_000, head_only=False)
    return client


async def streamed(b: Bench) -> Stream:
    """The whole answer to a good relay."""
    client = await ask(b)
    stream = await read_stream(client)
    client.wire.close()
    return stream


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    """Wait until `condition()` is true."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.lowlevel.checkpoint()


def left_upokt(b: Bench) -> int:
    """What the only budget has left, in relays of the lease."""
    [context] = b.relayer._book.contexts()
    [budget] = context.budgets.values()
    return budget.left_upokt // context.cost_upokt


def endpoints(b: Bench) -> list[Endpoint]:
    """Of the only backend."""
    pool = b.relayer.backends.routes[SERVICE].by_type["jsonrpc"].pool
    assert pool is not None
    return list(pool.endpoints)
