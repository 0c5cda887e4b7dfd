"""A pooled HTTP/1.1 client on Trio streams, for the gateway client and the control surface."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

import httptools
import trio

from relayminer.devnet.errors import HttpError
from relayminer.devnet.http_message import (
    READ_BYTES,
    Assembly,
    Headers,
    HttpRequest,
    HttpResponse,
    first_header,
    render_request,
)


class _Connection:
    """One connection to one server, used by one exchange at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.reusable = True
        self.heard = False

    async def exchange(self, data: bytes) -> HttpResponse:
        """Send the bytes of one request and read its whole response."""
        self.reusable = False  # until the response is whole, so a cancelled exchange is not reused
        self.heard = False
        assembly = Assembly()
        parser = httptools.HttpResponseParser(assembly)
        await self._stream.send_all(data)
        while not assembly.complete:
            received = await self._stream.receive_some(READ_BYTES)
            if not received:
                # A response without a length ends where the connection does.
                if assembly.headers_done and not _has_length(assembly):
                    return assembly.response(parser)
                raise trio.BrokenResourceError("the server closed before it had answered")
            self.heard = True
            try:
                parser.feed_data(received)
            except httptools.HttpParserError as error:
                raise HttpError(f"the answer is not HTTP/1.1: {error}") from error
        # Not the parser's should_keep_alive(): past the end of the message it says no.
        self.reusable = _has_length(assembly) and not _says_close(assembly, parser)
        return assembly.response(parser)

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


def _has_length(assembly: Assembly) -> bool:
    return any(name in {"content-length", "transfer-encoding"} for name, _ in assembly.headers)


def _says_close(assembly: Assembly, parser: httptools.HttpResponseParser) -> bool:
    said = first_header(tuple(assembly.headers), "connection").lower()
    return "close" in said or parser.get_http_version() != "1.1"


class HttpClient:
    """Requests over kept connections; close it with `aclose` or use it as a context manager.

    Args:
        max_connections: exchanges at once, over all servers; more wait for their turn.
    """

    def __init__(self, max_connections: int = 100) -> None:
        self._limit = trio.Semaphore(max_connections)
        self._idle: dict[tuple[str, int], list[_Connection]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the idle connections, also when cancelled: closing waits for nobody."""
        idle, self._idle = self._idle, {}
        with trio.CancelScope(shield=True):
            for connections in idle.values():
                for connection in connections:
                    await connection.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> HttpResponse:
        """The response to one request.

        Raises:
            HttpError: the URL or the answer is malformed.
            OSError, trio.BrokenResourceError: the server is not there or went away.
            trio.TooSlowError: no whole response in time.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise HttpError(f"{url!r} is not an http:// URL with a host")
        server = (parts.hostname, parts.port or 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        data = render_request(HttpRequest(method, target, headers, body), parts.netloc)
        with trio.fail_after(timeout_seconds):
            async with self._limit:
                return await self._exchange(server, data)

    async def _exchange(self, server: tuple[str, int], data: bytes) -> HttpResponse:
        while idle := self._idle.get(server):
            connection = idle.pop()
            try:
                return await self._use(server, connection, data)
            except trio.BrokenResourceError:
                if connection.heard:
                    raise
                # The server had closed the kept connection: the request was not read.
        stream = await trio.open_tcp_stream(*server)
        return await self._use(server, _Connection(stream), data)

    async def _use(
        self, server: tuple[str, int], connection: _Connection, data: bytes
    ) -> HttpResponse:
        try:
            response = await connection.exchange(data)
        except BaseException:
            await connection.close()
            raise
        if connection.reusable:
            self._idle.setdefault(server, []).append(connection)
        else:
            await connection.close()
        return response
