"""A small HTTP/1.1 server on Trio streams: one handler, keep-alive, pipelining one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httptools
import trio

from relayminer.devnet.errors import HttpError
from relayminer.devnet.http_message import (
    READ_BYTES,
    Assembly,
    HttpRequest,
    HttpResponse,
    StreamedResponse,
    render_head,
    render_response,
)

Answer: TypeAlias = HttpResponse | StreamedResponse
Handler: TypeAlias = Callable[[HttpRequest], Awaitable[Answer]]
Upgrade: TypeAlias = Callable[[HttpRequest, trio.abc.Stream, bytes], Awaitable[None]]
"""Gets the request that asked for another protocol, the connection, and what came behind it."""

IDLE_TIMEOUT_SECONDS = 120.0


class Connection:
    """One accepted connection."""

    def __init__(
        self, stream: trio.abc.Stream, handler: Handler, upgrade: Upgrade | None = None
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._upgrade = upgrade
        self._waiting: list[tuple[HttpRequest, bool]] = []
        self._new_message()

    def _new_message(self) -> None:
        self._assembly = Assembly()
        # The parser calls back into this object, so a message that completes inside one feed is
        # taken before the next one of the same read begins.
        self._parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._assembly.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._assembly.on_header(name, value)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._assembly.on_body(data)

    def on_message_complete(self) -> None:
        """A request is whole: remember it and start over."""
        keep_alive = self._parser.should_keep_alive()
        self._waiting.append((self._assembly.request(self._parser), keep_alive))
        self._assembly.reset()

    async def serve(self) -> None:
        """Answer requests until the peer leaves, idles, or asks to close."""
        while True:
            with trio.move_on_after(IDLE_TIMEOUT_SECONDS) as patience:
                data = await self._stream.receive_some(READ_BYTES)
            if patience.cancelled_caught or not data:
                return
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as switch:
                await self._switch(bytes(data[switch.args[0] :]))
                return
            except (httptools.HttpParserError, HttpError):
                await self._send(HttpResponse(400, (), b"malformed request"), keep_alive=False)
                return
            waiting, self._waiting = self._waiting, []
            for request, keep_alive in waiting:
                await self._send(await self._handler(request), keep_alive=keep_alive)
                if not keep_alive:
                    return

    async def _switch(self, rest: bytes) -> None:
        """Hand the connection over; what nobody speaks is refused."""
        request = self._waiting[-1][0] if self._waiting else None
        if self._upgrade is None or request is None:
            await self._send(HttpResponse(400, (), b"no upgrade here"), keep_alive=False)
        else:
            await self._upgrade(request, self._stream, rest)

    async def _send(self, response: Answer, *, keep_alive: bool) -> None:
        if isinstance(response, HttpResponse):
            await self._stream.send_all(render_response(response, keep_alive=keep_alive))
            return
        await self._stream.send_all(render_head(response.status, response.headers))
        async for piece in response.pieces:
            if piece:
                await self._stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
        await self._stream.send_all(b"0\r\n\r\n")


async def serve_connection(
    stream: trio.abc.Stream, handler: Handler, upgrade: Upgrade | None = None
) -> None:
    """Serve one connection; a peer that breaks it ends it quietly."""
    async with stream:
        try:
            await Connection(stream, handler, upgrade).serve()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def serve_http(
    handler: Handler,
    listeners: list[trio.SocketListener],
    *,
    upgrade: Upgrade | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `handler` on `listeners` until cancelled."""
    async with trio.open_nursery() as nursery:

        async def serve_one(stream: trio.SocketStream) -> None:
            await serve_connection(stream, handler, upgrade)

        task_status.started()
        await trio.serve_listeners(serve_one, listeners, handler_nursery=nursery)
