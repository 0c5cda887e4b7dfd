"""An answer whose body is read while the server is still writing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from relayminer.net.errors import WireError
from relayminer.net.wire import RECEIVE_BYTES, AnyWire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.net.http1 import Headers
    from relayminer.net.response import ResponseParser


class BodySource(Protocol):
    """Where the body comes from."""

    async def receive(self) -> bytes:
        """The next piece as the server sent it; empty at the end. May be cancelled."""
        ...

    def close(self) -> None:
        """Nobody wants more of it."""
        ...


class ResponseStream:
    """The head of an answer, and its body piece by piece.

    Attributes:
        status: HTTP status code.
        headers: names as sent, in order, repeated names kept; without trailers.
    """

    __slots__ = ("_also", "_open", "_source", "headers", "status")

    def __init__(self, status: int, headers: Headers, source: BodySource) -> None:
        self._source = source
        self._also: list[Callable[[], None]] = []
        self._open = True
        self.status = status
        self.headers = headers

    async def receive(self) -> bytes:
        """The next piece of the body as the server sent it; empty at the end.

        May be cancelled: nothing is lost.

        Raises:
            WireTimeoutError: the exchange's deadline has passed.
            WireError: the connection broke, or closed before the body was complete.
            BadResponseError: this is not HTTP.
        """
        return await self._source.receive()

    def close(self) -> None:
        """Give the connection back; the server learns of it when the body was not at its end."""
        if self._open:
            self._open = False
            self._source.close()
            for callback in self._also:
                callback()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called then, too."""
        self._also.append(callback)


class Closed(Protocol):
    """Gets the connection back."""

    def __call__(self, *, reusable: bool) -> None:
        """The stream is done with the connection."""
        ...


class WireBody:
    """A body on an HTTP/1.1 connection that carries nothing else meanwhile."""

    __slots__ = ("_closed", "_parser", "_wire")

    def __init__(self, wire: AnyWire, parser: ResponseParser, closed: Closed) -> None:
        self._wire = wire
        self._parser = parser
        self._closed = closed

    async def receive(self) -> bytes:
        """The next piece."""
        parser = self._parser
        while True:
            piece = parser.take_body()
            if piece or parser.complete:
                return piece
            data = await self._wire.receive(RECEIVE_BYTES)
            if data:
                parser.feed(data)
            elif not parser.end():
                raise WireError("the server closed before its answer was complete")

    def close(self) -> None:
        """Give the connection back."""
        self._closed(reusable=self._parser.reusable and not self._wire.expired)


class CalledBody:
    """A body that somebody else keeps."""

    __slots__ = ("_close", "_receive")

    def __init__(self, receive: Callable[[], Awaitable[bytes]], close: Callable[[], None]) -> None:
        self._receive = receive
        self._close = close

    async def receive(self) -> bytes:
        """The next piece."""
        return await self._receive()

    def close(self) -> None:
        """Nobody wants more of it."""
        self._close()


def media_type(content_type: bytes) -> bytes:
    """`Text/Event-Stream; charset=utf-8` as `text/event-stream`."""
    return content_type.partition(b";")[0].strip().lower()
