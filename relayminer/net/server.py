"""What every client of one server offers, whichever version of HTTP it speaks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from relayminer.net.http1 import Headers
    from relayminer.net.response import Response
    from relayminer.net.response_stream import ResponseStream
    from relayminer.net.url import Origin

NO_TYPES: frozenset[bytes] = frozenset()


class PoolWatch(Protocol):
    """Told of what exchanges wait for; called for each of them."""

    def dialled(self, seconds: float) -> None:
        """A connection was made, in so many seconds."""
        ...

    def had(self, seconds: float, *, reused: bool) -> None:
        """An exchange has its connection, after so many seconds."""
        ...


class Server(Protocol):
    """Connections to one server."""

    @property
    def max_connections(self) -> int:
        """Open at once."""
        ...

    @property
    def open_connections(self) -> int:
        """In use or being dialled, idle ones included."""
        ...

    @property
    def in_flight(self) -> int:
        """Exchanges in progress."""
        ...

    @property
    def origin(self) -> Origin:
        """Where the connections go."""
        ...

    def prepare(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> Any:
        """A request, ready for `open`.

        Raises:
            BadRequestError: it cannot be written as HTTP.
        """
        ...

    def open(
        self,
        method: bytes,
        request: Any,
        *,
        deadline: float,
        header_timeout_seconds: float,
        max_response_bytes: int,
        stream_types: frozenset[bytes],
    ) -> Awaitable[Response | ResponseStream]:
        """Send what was prepared, return the answer; those of `stream_types` with their head alone.

        Whoever gets a stream closes it.

        Args:
            method: of the request.
            request: of `prepare`.
            deadline: Trio time at which the whole exchange is given up.
            header_timeout_seconds: from the request's last byte to the end of the answer's head.
            max_response_bytes: a longer body is an error.
            stream_types: media types, in lower case.

        Raises:
            WireTimeoutError: too late.
            WireError: no connection, or it broke.
            ResponseTooLargeError, BadResponseError: the answer is not acceptable.
        """
        ...

    def sibling(self, max_connections: int) -> Server:
        """Connections of their own to the same server, in the same way."""
        ...

    def prune(self) -> None:
        """Look after connections that nobody uses. Called now and then."""
        ...

    def close(self) -> None:
        """Close all idle connections; those in use close when their exchange ends."""
        ...


async def fetch(
    server: Server,
    method: bytes,
    target: bytes,
    *,
    headers: Headers | None = None,
    body: bytes = b"",
    timeout_seconds: float,
    max_response_bytes: int = 10_485_760,
) -> Response:
    """One exchange, for callers that have nothing prepared.

    Raises:
        NetError: as `Server.open` and `Server.prepare`.
    """
    return await server.open(
        method,
        server.prepare(method, target, headers or [], body),
        deadline=trio.current_time() + timeout_seconds,
        header_timeout_seconds=math.inf,
        max_response_bytes=max_response_bytes,
        stream_types=NO_TYPES,
    )  # type: ignore[return-value]  # without media types there is no stream
