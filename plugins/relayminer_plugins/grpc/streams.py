"""grpclib's HTTP/2 layer with Trio's way of waiting.

grpclib waits on asyncio's events. Its connection and streams ask nothing more of them than `set`,
`clear`, `is_set` and `wait`, so that is what they get here, and no asyncio loop runs beside Trio's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import trio
from grpclib.protocol import Connection, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.plugin import Headers


class Flag:
    """What grpclib needs of an `asyncio.Event`."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    def clear(self) -> None:
        """Let the next one wait."""
        if self._event.is_set():
            self._event = trio.Event()

    def is_set(self) -> bool:
        """Whether nobody needs to wait."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it is set; at once when it is."""
        if not self._event.is_set():
            await self._event.wait()


class Inbox:
    """What has come of a request's body, in order.

    A piece is acknowledged when somebody takes it: until then it counts against the windows of its
    stream and of its connection, which bounds what a client can make us hold.
    """

    __slots__ = ("_acknowledge", "_news", "_pieces", "ended")

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._news = Flag()
        self.ended = False

    def add(self, data: bytes, ack_size: int) -> None:
        """A DATA frame. grpclib calls it."""
        self._pieces.append((data, ack_size))
        self._news.set()

    def eof(self) -> None:
        """The client has said all. grpclib calls it."""
        self.ended = True
        self._news.set()

    def unacked_size(self) -> int:
        """Bytes that nobody took, now forgotten. grpclib calls it when the stream ends."""
        size = sum(size for _, size in self._pieces)
        self._pieces.clear()
        return size

    async def take(self) -> bytes | None:
        """The next piece, None at the end of the body."""
        while not self._pieces:
            if self.ended:
                return None
            self._news.clear()
            await self._news.wait()
        data, size = self._pieces.popleft()
        if size:
            self._acknowledge(size)
        return data


class TrioStream(Stream):
    """A stream whose waits are Trio's.

    Attributes:
        inbox: what has come of the request's body.
        scope: of whoever answers it.
        began: whether response headers were sent.
        left: set when the client has reset the stream.
    """

    inbox: Inbox

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.window_updated = Flag()  # type: ignore[assignment]  # as good as asyncio's here
        self.scope = trio.CancelScope()
        self.began = False
        self.left = Flag()

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        """As grpclib, with an `Inbox`."""
        super().init_stream(stream_id, connection)
        self.inbox = Inbox(lambda size: connection.ack(stream_id, size))
        self.buffer = self.inbox  # type: ignore[assignment]  # what grpclib calls of it is there

    async def send_fields(self, fields: Headers, *, end_stream: bool = False) -> None:
        """Headers or trailers, as bytes: grpclib passes them to h2, which takes both."""
        await self.send_headers(fields, end_stream=end_stream)  # type: ignore[arg-type]


class TrioConnection(Connection):
    """A connection whose waits are Trio's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_ready = Flag()  # type: ignore[assignment]  # as good as asyncio's here
        self.write_ready.set()

    def create_stream(self, *, stream_id: int | None = None, wrapper: Any = None) -> TrioStream:
        """As grpclib, with our streams."""
        return TrioStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )
