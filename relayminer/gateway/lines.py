"""Connections to relayers, one interface for every transport: a signed request in, an answer out.

A line has one request in flight. Its wire has a deadline that the caller's `Watchdog` keeps.
"""

from __future__ import annotations

import math
import zlib
from functools import cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import trio
from attrs import frozen

from relayminer.gateway.errors import GatewayError
from relayminer.net.dial import TLS_SCHEMES, dial
from relayminer.net.errors import BadUrlError, NetError
from relayminer.net.response import ResponseParser
from relayminer.net.tls import ClientTls, client_context
from relayminer.net.url import DEFAULT_PORTS, Origin

if TYPE_CHECKING:
    from relayminer.net.watchdog import Watchdog
    from relayminer.net.wire import Wire

MAX_ANSWER_BYTES = 209_715_200
_HTTP_OK = 200
_EXCERPT_BYTES = 200

Headers = tuple[tuple[str, str], ...]


@frozen(kw_only=True)
class Destination:
    """Where requests of one supplier go, and how.

    Attributes:
        url: http, https, ws or wss.
        headers: of every request, or of the handshake.
        timeout_seconds: for one answer, and for connecting.
    """

    url: str
    headers: Headers = ()
    timeout_seconds: float = 30.0


class Line(Protocol):
    """A connection."""

    @property
    def is_open(self) -> bool:
        """Whether another request may follow."""
        ...

    async def ask(self, request: bytes) -> bytes:
        """The bytes of a `RelayResponse` for those of a `RelayRequest`.

        Raises:
            GatewayError: it was refused, or the connection is of no use any more.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...


def parse_url(url: str, schemes: tuple[str, ...]) -> tuple[Origin, str]:
    """Server and request target of a relayer's URL.

    Raises:
        GatewayError: another scheme, no host, a user name.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise GatewayError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in schemes or not host or parts.username is not None:
        raise GatewayError(f"not a URL of {', '.join(schemes)} with a host and without a user")
    origin = Origin(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme])
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


async def connect(origin: Origin, timeout_seconds: float) -> Wire:
    """A wire to a relayer.

    Raises:
        GatewayError: there is nobody.
    """
    try:
        tls = _system_tls() if origin.scheme in TLS_SCHEMES else None
        return await dial(origin, timeout_seconds=timeout_seconds, tls=tls)
    except (NetError, BadUrlError) as error:
        raise GatewayError(f"relayer not reached: {error}") from error


@cache
def _system_tls() -> ClientTls:
    """Whom the system believes; takes longer to read than all else that a connection costs."""
    return ClientTls(client_context())


class HttpLine:
    """Keep-alive HTTP/1.1.

    Args:
        wire: connected.
        head: of each request, up to the length of its body.
        timeout_seconds: for one answer.
        watchdog: wakes us when that is over.
    """

    __slots__ = ("_head", "_parser", "_timeout_seconds", "_watchdog", "_wire", "is_open")

    def __init__(self, wire: Wire, head: bytes, timeout_seconds: float, watchdog: Watchdog) -> None:
        self._wire = wire
        self._head = head
        self._parser = ResponseParser()
        self._timeout_seconds = timeout_seconds
        self._watchdog = watchdog
        self.is_open = True
        watchdog.watch(wire)

    @classmethod
    async def open(cls, to: Destination, watchdog: Watchdog) -> HttpLine:
        """Connect.

        Raises:
            GatewayError: there is nobody.
        """
        origin, target = parse_url(to.url, ("http", "https"))
        lines = [f"POST {target} HTTP/1.1", f"Host: {origin.authority}"]
        lines += [f"{name}: {value}" for name, value in to.headers]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\nContent-Length: "
        wire = await connect(origin, to.timeout_seconds)
        return cls(wire, head, to.timeout_seconds, watchdog)

    async def send(self, request: bytes) -> None:
        """Write a request.

        Raises:
            NetError: the connection broke.
        """
        self._wire.expires_at = trio.current_time() + self._timeout_seconds
        self._parser.reset(max_body_bytes=MAX_ANSWER_BYTES, head_only=False)
        await self._wire.send(b"%b%d\r\n\r\n%b" % (self._head, len(request), request))

    async def receive(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            NetError: the connection broke, or this is not HTTP.
        """
        parser = self._parser
        while True:
            piece = parser.take_body()
            if piece or parser.complete:
                return piece
            await self._read()

    async def _read(self) -> None:
        data = await self._wire.receive()
        if data:
            self._parser.feed(data)
        elif not self._parser.end():
            raise NetError("the relayer hung up before it had answered")

    async def ask(self, request: bytes) -> bytes:
        """As `Line.ask`."""
        parser = self._parser
        self.is_open = False
        try:
            await self.send(request)
            while not parser.complete:
                await self._read()
        except NetError as error:
            raise GatewayError(str(error)) from error
        self.is_open = parser.reusable
        self._wire.expires_at = math.inf
        body = self._plain(parser.response().body)
        if parser.status != _HTTP_OK:
            raise GatewayError(refused(parser.status, body))
        return body

    def check_status(self) -> None:
        """Raise for an answer that is not 200, once its head has come.

        Raises:
            GatewayError: it is not.
        """
        if self._parser.head_complete and self._parser.status != _HTTP_OK:
            raise GatewayError(refused(self._parser.status, self._parser.take_body()))

    def close(self) -> None:
        """As `Line.close`."""
        self._watchdog.forget(self._wire)
        self._wire.close()

    def _plain(self, body: bytes) -> bytes:
        for name, value in self._parser.headers:
            if name.lower() == b"content-encoding" and value.lower() == b"gzip":
                inflating = zlib.decompressobj(wbits=31)
                try:
                    return inflating.decompress(body, MAX_ANSWER_BYTES)
                except zlib.error as error:
                    raise GatewayError(f"the answer is not gzip: {error}") from error
        return body


def refused(status: int, body: bytes) -> str:
    """What an HTTP answer says that carries no relay."""
    return f"HTTP {status}: {body[:_EXCERPT_BYTES].decode('utf-8', 'replace')}"
