"""A pooled keep-alive HTTP/1.1 client of one server: backends, and the chain's RPC."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import trio

from relayminer.net.dial import TLS_SCHEMES, dial
from relayminer.net.errors import (
    BadRequestError,
    NetError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http_syntax import BAD_VALUE, IDEMPOTENT, MAY_BE_EMPTY, TOKEN
from relayminer.net.response import Response, ResponseParser
from relayminer.net.response_stream import ResponseStream, WireBody, media_type
from relayminer.net.server import NO_TYPES, fetch
from relayminer.net.tls import ClientTls, client_context
from relayminer.net.wire import RECEIVE_BYTES, AnyWire

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from relayminer.net.held import HeldBytes
    from relayminer.net.http1 import Headers
    from relayminer.net.server import PoolWatch
    from relayminer.net.url import Origin
    from relayminer.net.watchdog import Watchdog
    from relayminer.net.wire import Wire

_PROBE_AFTER_SECONDS = 0.5


def request_bytes(
    method: bytes, target: bytes, authority: bytes, headers: Headers, body: bytes
) -> bytes:
    """A whole request, ready to be written in one go.

    Raises:
        BadRequestError: method, target or a header would break the framing.
    """
    if not TOKEN.fullmatch(method):
        raise BadRequestError("the method is not a token")
    parts = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, authority)]
    for name, value in headers:
        if not TOKEN.fullmatch(name) or BAD_VALUE.search(value):
            raise BadRequestError("a header name or value is not allowed in HTTP")
        parts.append(b"%b: %b\r\n" % (name, value))
    if body or method not in MAY_BE_EMPTY:
        parts.append(b"Content-Length: %d\r\n\r\n" % len(body))
        parts.append(body)
    else:
        parts.append(b"\r\n")
    return b"".join(parts)


class _Connection:
    __slots__ = ("idle_since", "parser", "wire")

    def __init__(self, wire: AnyWire, held: HeldBytes | None) -> None:
        self.wire = wire
        self.parser = ResponseParser(held)
        self.idle_since = 0.0


class HttpPool:
    """Connections to one server.

    Args:
        origin: where.
        watchdog: looks after the deadlines; it must be running.
        max_connections: open at once; further exchanges wait their turn.
        dial_timeout_seconds: for TCP and TLS together.
        max_idle_connections: kept open while nobody uses them.
        idle_seconds: an idle connection older than this is closed, not used.
        tls: for https; the system's trust roots when None.
        held: what the bodies of answers are counted against; None counts nothing.
        watch: told of dials and waits; None: nobody is.
    """

    def __init__(
        self,
        origin: Origin,
        watchdog: Watchdog,
        *,
        max_connections: int = 100,
        max_idle_connections: int = 1_000,
        dial_timeout_seconds: float = 5.0,
        idle_seconds: float = 90.0,
        tls: ClientTls | None = None,
        held: HeldBytes | None = None,
        watch: PoolWatch | None = None,
    ) -> None:
        self._origin = origin
        self._watchdog = watchdog
        self.max_connections = max_connections
        self._dial_timeout_seconds = dial_timeout_seconds
        self._max_idle_connections = max_idle_connections
        self._idle_seconds = idle_seconds
        if tls is None and origin.scheme in TLS_SCHEMES:
            # Reading the system's certificates takes longer than the whole handshake.
            tls = ClientTls(client_context())
        self._tls = tls
        self._held = held
        self._watch = watch
        self._authority = origin.authority.encode()
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[trio.Event] = deque()
        self.open_connections = 0
        """Connections in use or being dialled, idle ones included."""
        self.in_flight = 0
        """Exchanges in progress."""

    def prepare(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> bytes:
        """All bytes of a request."""
        return request_bytes(method, target, self._authority, headers, body)

    def sibling(self, max_connections: int) -> HttpPool:
        """Connections of their own to the same server."""
        return HttpPool(
            self._origin,
            self._watchdog,
            max_connections=max_connections,
            dial_timeout_seconds=self._dial_timeout_seconds,
            tls=self._tls,
        )

    def adopt(self, wire: Wire) -> None:
        """Have this connection, too."""
        self.open_connections += 1
        self._watchdog.watch(wire)
        self._keep(_Connection(wire, self._held))

    def open(
        self,
        method: bytes,
        request: bytes,
        *,
        deadline: float,
        header_timeout_seconds: float = math.inf,
        max_response_bytes: int,
        stream_types: frozenset[bytes] = NO_TYPES,
    ) -> Awaitable[Response | ResponseStream]:
        """Send `request`, return its answer, as `Server.open`.

        A kept connection that the server had closed before it answered a byte is replaced once,
        for methods that may be repeated.
        """
        return self._exchange(
            method, request, deadline, header_timeout_seconds, max_response_bytes, stream_types
        )

    async def _exchange(
        self,
        method: bytes,
        request: bytes,
        deadline: float,
        header_timeout_seconds: float,
        max_response_bytes: int,
        stream_types: frozenset[bytes],
    ) -> Response | ResponseStream:
        self.in_flight += 1
        try:
            while True:
                connection, fresh = await self._take(deadline)
                try:
                    return await self._converse(
                        connection,
                        method,
                        request,
                        deadline,
                        header_timeout_seconds,
                        max_response_bytes,
                        stream_types,
                    )
                except WireError:
                    stale = not fresh and not connection.parser.touched
                    if not (stale and method in IDEMPOTENT):
                        raise
        finally:
            self.in_flight -= 1

    async def _converse(
        self,
        connection: _Connection,
        method: bytes,
        request: bytes,
        deadline: float,
        header_timeout_seconds: float,
        max_response_bytes: int,
        stream_types: frozenset[bytes],
    ) -> Response | ResponseStream:
        wire, parser = connection.wire, connection.parser
        parser.reset(max_body_bytes=max_response_bytes, head_only=method == b"HEAD")
        kept = handed_over = False
        try:
            wire.expires_at = deadline
            await wire.send(request)
            if header_timeout_seconds < math.inf:
                wire.expires_at = min(deadline, trio.current_time() + header_timeout_seconds)
            while not parser.complete:
                data = await wire.receive(RECEIVE_BYTES)
                if data:
                    parser.feed(data)
                elif not parser.end():
                    raise WireError("the server closed before its answer was complete")
                if parser.head_complete:
                    wire.expires_at = deadline
                    if stream_types and media_type(parser.content_type) in stream_types:
                        handed_over = True
                        return self._stream(connection)
            kept = parser.reusable and not wire.expired
            return parser.response()
        finally:
            if not handed_over:
                self._release(connection, reusable=kept)

    def _stream(self, connection: _Connection) -> ResponseStream:
        self.in_flight += 1
        connection.parser.pass_on()

        def closed(*, reusable: bool) -> None:
            self.in_flight -= 1
            self._release(connection, reusable=reusable)

        return ResponseStream(
            connection.parser.status,
            list(connection.parser.headers),
            WireBody(connection.wire, connection.parser, closed),
        )

    def _release(self, connection: _Connection, *, reusable: bool) -> None:
        connection.wire.expires_at = math.inf
        if reusable:
            self._keep(connection)
        else:
            self._discard(connection)

    async def _take(self, deadline: float) -> tuple[_Connection, bool]:
        """A connection, and whether it is a new one."""
        began = now = trio.current_time()
        while True:
            while self._idle:
                connection = self._idle.pop()
                idle_seconds = now - connection.idle_since
                if idle_seconds < _PROBE_AFTER_SECONDS or (
                    idle_seconds < self._idle_seconds and not connection.wire.is_stale()
                ):
                    if self._watch is not None:
                        self._watch.had(now - began, reused=True)
                    return connection, False
                self._discard(connection)
            if self.open_connections < self.max_connections:
                connection = await self._dial(deadline)
                if self._watch is not None:
                    self._watch.had(trio.current_time() - began, reused=False)
                return connection, True
            await self._wait_for_turn(deadline)
            now = trio.current_time()

    async def _wait_for_turn(self, deadline: float) -> None:
        turn = trio.Event()
        self._waiting.append(turn)
        try:
            with trio.fail_at(deadline):
                await turn.wait()
        except BaseException as error:
            if turn.is_set():
                self._wake_one()
            else:
                self._waiting.remove(turn)
            if isinstance(error, trio.TooSlowError):
                raise WireTimeoutError(f"no free connection to {self._origin.authority}") from None
            raise

    async def _dial(self, deadline: float) -> _Connection:
        self.open_connections += 1
        began = trio.current_time()
        timeout_seconds = min(self._dial_timeout_seconds, deadline - began)
        try:
            wire = await dial(
                self._origin, timeout_seconds=max(timeout_seconds, 0.0), tls=self._tls
            )
        except BaseException:
            self.open_connections -= 1
            self._wake_one()
            raise
        if self._watch is not None:
            self._watch.dialled(trio.current_time() - began)
        self._watchdog.watch(wire)
        return _Connection(wire, self._held)

    def _keep(self, connection: _Connection) -> None:
        full = len(self._idle) >= self._max_idle_connections
        # Closed while this connection was in use: it waits for nobody.
        if not self._idle_seconds or (full and not self._waiting):
            self._discard(connection)
            return
        connection.idle_since = trio.current_time()
        self._idle.append(connection)
        self._wake_one()

    def _discard(self, connection: _Connection) -> None:
        self._watchdog.forget(connection.wire)
        connection.wire.close()
        self.open_connections -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()

    def prune(self) -> None:
        """Close idle connections that are too old to be used."""
        oldest = trio.current_time() - self._idle_seconds
        while self._idle and self._idle[0].idle_since < oldest:
            self._discard(self._idle.popleft())

    def close(self) -> None:
        """Close all idle connections; those in use close when their exchange ends."""
        self._idle_seconds = 0.0
        while self._idle:
            self._discard(self._idle.pop())

    @property
    def origin(self) -> Origin:
        """Where the connections go."""
        return self._origin


__all__ = ["HttpPool", "NetError", "Response", "fetch", "request_bytes"]
