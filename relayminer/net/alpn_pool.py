"""Connections to a server that says, when it is first reached, which version of HTTP it speaks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from relayminer.net.dial import dial
from relayminer.net.errors import NetError, WireError, WireTimeoutError
from relayminer.net.http2_pool import Http2Pool, NotHttp2Error
from relayminer.net.http2_stream import http2_request
from relayminer.net.server import NO_TYPES
from relayminer.net.tls import HTTP2
from relayminer.net.tls_wire import TlsWire

if TYPE_CHECKING:
    from relayminer.net.client import HttpPool
    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.net.response_stream import ResponseStream
    from relayminer.net.server import PoolWatch
    from relayminer.net.tls import ClientTls
    from relayminer.net.url import Origin


@frozen
class _Asked:
    method: bytes
    target: bytes
    headers: Headers
    body: bytes


class AlpnPool:
    """HTTP/2 where the server has it, HTTP/1.1 where not; a `Server`.

    Args:
        http1: used with a server that does not agree on HTTP/2.
        http2: used with one that does.
        tls: offers both.
        dial_timeout_seconds: for TCP and TLS together.
        watch: told of the first dial; the others are those of `http1` or `http2`.
    """

    def __init__(
        self,
        http1: HttpPool,
        http2: Http2Pool,
        tls: ClientTls,
        dial_timeout_seconds: float,
        watch: PoolWatch | None = None,
    ) -> None:
        self._http1 = http1
        self._http2 = http2
        self._tls = tls
        self._watch = watch
        self._dial_timeout_seconds = dial_timeout_seconds
        self._spoken: HttpPool | Http2Pool | None = None
        self._asking = trio.Lock()
        self._failures = 0

    @property
    def origin(self) -> Origin:
        """Where the connections go."""
        return self._http1.origin

    @property
    def max_connections(self) -> int:
        """Open at once."""
        return self._http1.max_connections

    @property
    def open_connections(self) -> int:
        """Of either kind."""
        return self._http1.open_connections + self._http2.open_connections

    @property
    def in_flight(self) -> int:
        """Exchanges in progress."""
        return self._http1.in_flight + self._http2.in_flight

    def prepare(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> _Asked:
        """A request for whichever it will be; checked by the rules of both."""
        http2_request(method, target, b"", b"", headers, b"")
        return _Asked(method, target, headers, body)

    async def open(
        self,
        method: bytes,
        request: _Asked,
        *,
        deadline: float,
        header_timeout_seconds: float = math.inf,
        max_response_bytes: int,
        stream_types: frozenset[bytes] = NO_TYPES,
    ) -> Response | ResponseStream:
        """As `Server.open`."""
        while True:
            spoken = self._spoken or await self._ask_in_time(deadline)
            prepared = spoken.prepare(request.method, request.target, request.headers, request.body)
            try:
                return await spoken.open(
                    method,
                    prepared,  # type: ignore[arg-type]  # each takes its own
                    deadline=deadline,
                    header_timeout_seconds=header_timeout_seconds,
                    max_response_bytes=max_response_bytes,
                    stream_types=stream_types,
                )
            except NotHttp2Error:
                # It did once; nothing was asked yet.
                self._spoken = None

    async def _ask_in_time(self, deadline: float) -> HttpPool | Http2Pool:
        try:
            with trio.fail_at(deadline):
                return await self._ask(deadline)
        except trio.TooSlowError:
            raise WireTimeoutError(f"no free connection to {self.origin.authority}") from None

    async def _ask(self, deadline: float) -> HttpPool | Http2Pool:
        failures = self._failures
        async with self._asking:
            if self._spoken is None and failures != self._failures:
                # Whoever waited for the first connection would wait as long for the next one.
                raise WireError(f"no connection to {self.origin.authority}")
            if self._spoken is not None:
                return self._spoken
            try:
                self._spoken = await self._first(deadline)
            except NetError:
                self._failures += 1
                raise
            return self._spoken

    async def _first(self, deadline: float) -> HttpPool | Http2Pool:
        """Connect, and have whichever agreed keep the connection."""
        began = trio.current_time()
        give_up_at = min(deadline, began + self._dial_timeout_seconds)
        seconds = max(give_up_at - began, 0.0)
        wire = await dial(self.origin, timeout_seconds=seconds, tls=self._tls)
        if self._watch is not None:
            self._watch.dialled(trio.current_time() - began)
        if isinstance(wire, TlsWire) and wire.protocol == HTTP2:
            await self._http2.adopt(wire, give_up_at)
            return self._http2
        self._http1.adopt(wire)
        return self._http1

    def sibling(self, max_connections: int) -> AlpnPool:
        """Connections of their own to the same server."""
        return AlpnPool(
            self._http1.sibling(max_connections),
            self._http2.sibling(max_connections),
            self._tls,
            self._dial_timeout_seconds,
        )

    def prune(self) -> None:
        """Look after both kinds."""
        self._http1.prune()
        self._http2.prune()

    def close(self) -> None:
        """Close both kinds."""
        self._http1.close()
        self._http2.close()
