"""An answer that is written piece by piece over HTTP/1."""

from __future__ import annotations

import math

import trio

from relayminer.plugin import Headers, HttpLimits, Wire, WireError, WireTimeoutError, stream_head

_LAST_CHUNK = b"0\r\n\r\n"


class HttpSink:
    """Chunked, so that a client can tell the end from a break; HTTP/1.0 has only the end.

    Args:
        wire: to the client.
        limits: how long a client may take for each piece.
        chunked: whether the client knows chunks.
    """

    __slots__ = ("_chunked", "_limits", "_wire", "begun")

    def __init__(self, wire: Wire, limits: HttpLimits, *, chunked: bool) -> None:
        self._wire = wire
        self._limits = limits
        self._chunked = chunked
        self.begun = False

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        self.begun = True
        await self._write(stream_head(status, headers, chunked=self._chunked))

    async def send(self, piece: bytes) -> None:
        """One chunk."""
        if self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        await self._write(piece)

    async def gone(self) -> None:
        """Return when the client has hung up.

        A client that has sent its next request already cannot be watched; the next write tells.
        """
        try:
            if not await self._wire.peek(1):
                return
        except WireTimeoutError:
            # The relayer stops, and reads no more requests: this answer is still to be finished.
            await trio.sleep_forever()
        except WireError:
            return
        await trio.sleep_forever()

    async def end(self, *, complete: bool) -> None:
        """The end of the answer, if it is complete; the connection is closed after it."""
        if complete and self._chunked:
            await self._write(_LAST_CHUNK)

    async def _write(self, data: bytes) -> None:
        self._wire.expires_at = trio.current_time() + self._limits.write_timeout_seconds
        await self._wire.send(data)
        # The next piece may be long in coming: that is not the client's fault.
        self._wire.expires_at = math.inf
