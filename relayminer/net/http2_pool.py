"""HTTP/2 connections to one server: many exchanges on each, a further one when all are full."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from relayminer.net.dial import TLS_SCHEMES, dial
from relayminer.net.errors import (
    DialTimeoutError,
    NetError,
    NotProcessedError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http2 import Http2Connection
from relayminer.net.http2_stream import Http2Request, http2_request
from relayminer.net.http_syntax import IDEMPOTENT
from relayminer.net.server import NO_TYPES
from relayminer.net.tls import HTTP2, ClientTls, client_context
from relayminer.net.tls_wire import TlsWire

if TYPE_CHECKING:
    from relayminer.net.held import HeldBytes
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.net.response_stream import ResponseStream
    from relayminer.net.server import PoolWatch
    from relayminer.net.url import Origin
    from relayminer.net.wire import Wire

_MAX_ATTEMPTS: Final = 3


class NotHttp2Error(WireError):
    """The server agreed on another protocol."""


class _Turn:
    """One who waits.

    Attributes:
        problem: why there is nothing to wait for, None when it is his turn.
    """

    __slots__ = ("event", "problem")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.problem: NetError | None = None


class Http2Pool:
    """HTTP/2 to one server; a `Server`.

    Args:
        origin: where; with http the server must know that we speak HTTP/2.
        max_connections: open at once; exchanges that find no room wait their turn.
        dial_timeout_seconds: for TCP and TLS together.
        idle_seconds: a connection that nobody used for so long is closed.
        held: what the bodies of answers are counted against; None counts nothing.
        tls: for https, offering `h2` by ALPN; the system's trust roots when None.
        watch: told of dials and waits; None: nobody is.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        max_connections: int = 100,
        dial_timeout_seconds: float = 5.0,
        idle_seconds: float = 90.0,
        tls: ClientTls | None = None,
        held: HeldBytes | None = None,
        watch: PoolWatch | None = None,
    ) -> None:
        self._origin = origin
        self._is_secure = origin.scheme in TLS_SCHEMES
        if tls is None and self._is_secure:
            tls = ClientTls(client_context(protocols=[HTTP2]))
        self._tls = tls
        self._held = held
        self._watch = watch
        self._scheme = b"https" if self._is_secure else b"http"
        self._authority = origin.authority.encode()
        self._dial_timeout_seconds = dial_timeout_seconds
        self._idle_seconds = idle_seconds
        self._connections: list[Http2Connection] = []
        self._is_dialling = False
        self._waiting: deque[_Turn] = deque()
        self.max_connections = max_connections
        self.in_flight = 0

    @property
    def origin(self) -> Origin:
        """Where the connections go."""
        return self._origin

    @property
    def open_connections(self) -> int:
        """Connections that are open or being dialled."""
        return len(self._connections) + self._is_dialling

    def prepare(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> Http2Request:
        """A request."""
        return http2_request(method, target, self._scheme, self._authority, headers, body)

    async def open(
        self,
        method: bytes,
        request: Http2Request,
        *,
        deadline: float,
        header_timeout_seconds: float = math.inf,
        max_response_bytes: int,
        stream_types: frozenset[bytes] = NO_TYPES,
    ) -> Response | ResponseStream:
        """As `Server.open`.

        What the server says it has not looked at is asked again, on another connection if need be;
        so is what a connection that had gone silent took with it, if it may be repeated.
        """
        self.in_flight += 1
        attempt = 1
        try:
            while True:
                connection, is_fresh = await self._take(deadline)
                began = trio.current_time()
                try:
                    response = await connection.exchange(
                        request,
                        deadline=deadline,
                        header_timeout_seconds=header_timeout_seconds,
                        max_response_bytes=max_response_bytes,
                        stream_types=stream_types,
                    )
                except WireError as error:
                    unseen = isinstance(error, NotProcessedError) or (
                        method in IDEMPOTENT and not is_fresh and not connection.has_heard_of(began)
                    )
                    if not unseen or attempt == _MAX_ATTEMPTS:
                        raise
                    attempt += 1
                else:
                    return response
        finally:
            self.in_flight -= 1

    async def _take(self, deadline: float) -> tuple[Http2Connection, bool]:
        """A connection with room, and whether it is a new one."""
        began = trio.current_time()
        while True:
            self._forget_closed()
            for connection in self._connections:
                if not connection.streams:
                    connection.tend()
                room = connection.room
                if room:
                    if room > 1:
                        self._wake_one()
                    if self._watch is not None:
                        self._watch.had(trio.current_time() - began, reused=True)
                    return connection, False
            if not self._is_dialling and len(self._connections) < self.max_connections:
                connection = await self._dial(deadline)
                if self._watch is not None:
                    self._watch.had(trio.current_time() - began, reused=False)
                return connection, True
            await self._wait_for_turn(deadline)

    async def _wait_for_turn(self, deadline: float) -> None:
        turn = _Turn()
        self._waiting.append(turn)
        try:
            with trio.fail_at(deadline):
                await turn.event.wait()
        except BaseException as error:
            if turn.event.is_set():
                self._wake_one()
            else:
                self._waiting.remove(turn)
            if isinstance(error, trio.TooSlowError):
                raise WireTimeoutError(f"no free connection to {self._origin.authority}") from None
            raise
        if turn.problem is not None:
            raise type(turn.problem)(*turn.problem.args)

    async def _dial(self, deadline: float) -> Http2Connection:
        self._is_dialling = True
        began = trio.current_time()
        give_up_at = min(deadline, began + self._dial_timeout_seconds)
        try:
            wire = await dial(
                self._origin, timeout_seconds=max(give_up_at - began, 0.0), tls=self._tls
            )
            if self._watch is not None:
                self._watch.dialled(trio.current_time() - began)
            if isinstance(wire, TlsWire) and wire.protocol != HTTP2:
                wire.close()
                raise NotHttp2Error(f"{self._origin.authority} does not agree on HTTP/2")
            return await self.adopt(wire, give_up_at)
        except NetError as problem:
            if not self._connections:
                # Whoever waited for this connection would wait as long for the next one.
                self._give_up(problem)
            raise
        finally:
            self._is_dialling = False
            # Those who waited for this connection share it, or dial for themselves.
            while self._waiting:
                self._wake_one()

    async def adopt(self, wire: Wire, deadline: float) -> Http2Connection:
        """Have this connection, on which nothing was said yet."""
        connection = Http2Connection(wire, self._wake_one, self._held)
        try:
            with trio.fail_at(deadline):
                await connection.greet()
        except BaseException as error:
            connection.close()
            if isinstance(error, trio.TooSlowError):
                raise DialTimeoutError(
                    f"{self._origin.authority} did not greet us in time"
                ) from None
            raise
        self._connections.append(connection)
        if not self._idle_seconds:
            # Closed while this one was dialled: it waits for nobody after its exchange.
            connection.is_leaving = True
        return connection

    def _wake_one(self) -> None:
        if self._waiting:
            self._waiting.popleft().event.set()

    def _give_up(self, problem: NetError) -> None:
        for turn in self._waiting:
            turn.problem = problem

    def _forget_closed(self) -> None:
        if any(one.is_closed for one in self._connections):
            self._connections = [one for one in self._connections if not one.is_closed]

    def sibling(self, max_connections: int) -> Http2Pool:
        """Connections of their own to the same server."""
        return Http2Pool(
            self._origin,
            max_connections=max_connections,
            dial_timeout_seconds=self._dial_timeout_seconds,
            tls=self._tls,
        )

    def prune(self) -> None:
        """Answer pings, notice who has left, close what was idle for too long."""
        oldest = trio.current_time() - self._idle_seconds
        for connection in list(self._connections):
            connection.tend()
            if not connection.streams and connection.idle_since < oldest:
                connection.close()
        self._forget_closed()

    def close(self) -> None:
        """Close idle connections; those in use close with their last exchange."""
        self._idle_seconds = 0.0
        for connection in list(self._connections):
            connection.leave()
        self._forget_closed()
