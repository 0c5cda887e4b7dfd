"""The server's side of HTTP/1.1: requests in, one at a time, within limits; answers out.

llhttp (through httptools) parses; this module decides how much it is fed. A chunk may carry several
pipelined requests: they are queued, and nothing more is read before they are answered.
"""

from __future__ import annotations

import math
from collections import deque
from http import HTTPStatus
from typing import NoReturn

import httptools
import trio
from attrs import frozen

from relayminer.net.errors import RequestRefusedError, WireError, WireTimeoutError
from relayminer.net.wire import RECEIVE_BYTES, AnyWire

Headers = list[tuple[bytes, bytes]]

_CHUNK_OVERHEAD_BYTES = 16
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@frozen
class HttpLimits:
    """What one connection may cost. Sizes in bytes, times in seconds."""

    max_header_bytes: int = 1_048_576
    max_headers: int = 1_000
    max_body_bytes: int = 10_485_760
    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 120.0
    write_timeout_seconds: float = 30.0
    max_streams: int = 250
    """Requests at once on one HTTP/2 connection."""
    max_grpc_message_bytes: int = 4_194_304


class Request:
    """One request, complete.

    Attributes:
        method: as sent.
        target: path and query, as sent.
        headers: names in lower case, in order, repeated names kept.
        body: the whole body.
        keep_alive: whether the client wants the connection to live on.
        version: of HTTP, as `1.1`.
    """

    __slots__ = ("body", "headers", "keep_alive", "method", "target", "version")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes,
        *,
        keep_alive: bool,
        version: str = "1.1",
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version = version

    def header(self, name: bytes) -> bytes:
        """The first value of `name` (lower case), or empty."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""


class RequestReader:
    """Reads requests from a wire. Its callbacks are llhttp's."""

    def __init__(self, wire: AnyWire, limits: HttpLimits) -> None:
        self._wire = wire
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._ready: deque[Request] = deque()
        self._refusal: RequestRefusedError | None = None
        self._last = False
        self._wants_continue = False
        self._body_timed = False
        self.on_message_begin()
        self._begun = False

    async def next(self) -> Request | None:
        """The next request, or None when the client has gone between two of them.

        Raises:
            RequestRefusedError: 400, 408, 413 or 431, with the message for the client.
            WireError: the connection broke.
        """
        if self._ready:
            return self._ready.popleft()
        if self._last:
            return None
        wire = self._wire
        wire.expires_at = trio.current_time() + self._limits.idle_timeout_seconds
        try:
            while not self._ready:
                data = await wire.receive(RECEIVE_BYTES)
                if not data:
                    if self._begun:
                        raise WireError("the client went away in the middle of a request")
                    return None
                self._feed(data)
                if not self._ready:
                    await self._continue()
        except WireTimeoutError:
            if not self._begun:
                return None
            raise RequestRefusedError(408, "request not received in time") from None
        finally:
            wire.expires_at = math.inf
        return self._ready.popleft()

    def _feed(self, data: bytes) -> None:
        started = self._begun
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nobody here speaks what the client offers: the request is answered as it stands.
            self._close_after_last()
        except httptools.HttpParserCallbackError:
            self._raise_refusal()
        except httptools.HttpParserError as error:
            if not self._ready:
                raise RequestRefusedError(400, f"malformed HTTP request: {error}") from None
            self._close_after_last()
        if self._ready:
            return
        self._fed += len(data)
        if self._fed - self._body_bytes - self._chunks * _CHUNK_OVERHEAD_BYTES > (
            self._limits.max_header_bytes
        ):
            raise RequestRefusedError(431, "request headers too large")
        if not started:
            self._wire.expires_at = trio.current_time() + self._limits.header_timeout_seconds

    def _raise_refusal(self) -> None:
        if self._ready:
            # The requests before the bad one are answered first.
            self._close_after_last()
            return
        if self._refusal is not None:
            raise self._refusal
        raise RequestRefusedError(400, "malformed HTTP request")

    def _close_after_last(self) -> None:
        self._last = True
        if self._ready:
            self._ready[-1].keep_alive = False

    async def _continue(self) -> None:
        if self._head_complete and not self._body_timed:
            self._body_timed = True
            self._wire.expires_at = trio.current_time() + self._limits.body_timeout_seconds
        if self._wants_continue:
            self._wants_continue = False
            await self._wire.send(_CONTINUE)

    # llhttp's callbacks. An exception in one of them stops the parser at once.

    def on_message_begin(self) -> None:
        """A new request starts."""
        self._begun = True
        self._fed = 0
        self._url = b""
        self._headers: Headers = []
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._chunks = 0
        self._head_complete = False
        self._body_timed = False
        self._wants_continue = False

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One header, or one trailer."""
        if value is None:
            value = b""
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value)
        limits = self._limits
        if len(self._headers) > limits.max_headers or self._header_bytes > limits.max_header_bytes:
            self._refuse(431, "request headers too large")

    def on_headers_complete(self) -> None:
        """The head is there: what it announces is judged before the body is read."""
        self._head_complete = True
        for name, value in self._headers:
            if name == b"content-length":
                if int(value) > self._limits.max_body_bytes:
                    self._refuse(413, "request body too large")
            elif name == b"expect" and value.lower() == b"100-continue":
                self._wants_continue = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.max_body_bytes:
            self._refuse(413, "request body too large")

    def on_chunk_complete(self) -> None:
        """A chunk has ended: its framing is not held against the head's limit."""
        self._chunks += 1

    def on_message_complete(self) -> None:
        """The request is complete."""
        body = self._body
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        self._ready.append(
            Request(
                parser.get_method(),
                self._url,
                self._headers,
                body[0] if len(body) == 1 else b"".join(body),
                keep_alive=keep_alive,
                version=parser.get_http_version(),
            )
        )
        if not keep_alive:
            self._last = True
        self._begun = False
        self._body = []

    def _refuse(self, status: int, message: str) -> NoReturn:
        self._refusal = RequestRefusedError(status, message)
        raise self._refusal


def response_bytes(
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    headers: Headers | None = None,
    keep_alive: bool = True,
    head_only: bool = False,
) -> bytes:
    """A whole HTTP/1.1 answer, ready to be written in one go.

    The answer to a HEAD (`head_only`) tells the body's length and leaves the body out: a client
    would take its bytes for the next answer.
    """
    parts = [
        b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
        % (status, _REASONS.get(status, b"Unknown"), content_type, len(body))
    ]
    if headers:
        parts.extend(b"%b: %b\r\n" % header for header in headers)
    if not keep_alive:
        parts.append(b"Connection: close\r\n")
    parts.append(b"\r\n")
    if not head_only:
        parts.append(body)
    return b"".join(parts)


def stream_head(status: int, headers: Headers, *, chunked: bool) -> bytes:
    """The head of an answer whose length is not known; it ends the connection.

    Args:
        status: of the answer.
        headers: none of which is about framing or the connection.
        chunked: whether the body is framed; else the connection's end is its end.
    """
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b"Unknown"))]
    parts.extend(b"%b: %b\r\n" % header for header in headers)
    if chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    parts.append(b"Connection: close\r\n\r\n")
    return b"".join(parts)


async def linger(wire: AnyWire, max_bytes: int, seconds: float) -> None:
    """Read and forget what a refused client still sends, so that it can read our answer.

    A socket closed with unread data resets the connection and takes the answer with it.
    """
    wire.expires_at = trio.current_time() + seconds
    seen = 0
    try:
        while seen < max_bytes:
            data = await wire.receive(RECEIVE_BYTES)
            if not data:
                return
            seen += len(data)
    except (WireError, WireTimeoutError):
        return
