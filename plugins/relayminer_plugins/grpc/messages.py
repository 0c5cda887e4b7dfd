"""Length-prefixed messages of gRPC, plain or gzip, within a bound."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING, Final

from grpclib.const import Status

from relayminer_plugins.grpc.status import CallStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PREFIX: Final = struct.Struct(">BI")
GZIP: Final = b"gzip"
ENCODINGS: Final = b"identity,gzip"
_PLAIN: Final = 0
_COMPRESSED: Final = 1
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_FASTEST: Final = 1


class CallError(Exception):
    """The call ends here.

    Attributes:
        status: what the client is told.
        is_counted: whether a relay was refused by it.
    """

    def __init__(self, status: CallStatus, *, is_counted: bool = True) -> None:
        super().__init__(status.message)
        self.status = status
        self.is_counted = is_counted


def not_received(why: str) -> CallError:
    """Step 1 of relayer.md 4.2."""
    return CallError(CallStatus(Status.INVALID_ARGUMENT, f"failed to receive request: {why}"))


class MessageReader:
    """Messages out of the pieces of a body.

    Args:
        take: gives the next piece, None at the end.
        max_bytes: of one message, before and after decompression.
        encoding: `grpc-encoding` of the request.
    """

    def __init__(
        self, take: Callable[[], Awaitable[bytes | None]], max_bytes: int, encoding: bytes
    ) -> None:
        self._take = take
        self._max_bytes = max_bytes
        self._encoding = encoding
        self._buffer = bytearray()

    @property
    def between(self) -> bool:
        """Whether nothing of a next message has been read."""
        return not self._buffer

    async def next(self) -> bytes | None:
        """The next message, None at the end of the body.

        Raises:
            CallError: too large, cut off, or not what its flags say.
        """
        if not await self._fill(PREFIX.size):
            if self._buffer:
                raise not_received("the stream ends inside a message")
            return None
        flag, size = PREFIX.unpack_from(self._buffer)
        if size > self._max_bytes:
            raise _too_large(size, self._max_bytes)
        if flag not in {_PLAIN, _COMPRESSED}:
            raise not_received(f"unknown flags {flag}")
        end = PREFIX.size + size
        if not await self._fill(end):
            raise not_received("the stream ends inside a message")
        message = bytes(memoryview(self._buffer)[PREFIX.size : end])
        del self._buffer[:end]
        return self._inflated(message) if flag else message

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            piece = await self._take()
            if piece is None:
                return False
            self._buffer += piece
        return True

    def _inflated(self, message: bytes) -> bytes:
        if self._encoding != GZIP:
            raise not_received("grpc: compressed flag set with identity or empty encoding")
        try:
            inflater = zlib.decompressobj(wbits=_GZIP_WBITS)
            plain = inflater.decompress(message, self._max_bytes + 1)
        except zlib.error as error:
            raise not_received(f"bad gzip: {error}") from None
        if len(plain) > self._max_bytes:
            raise _too_large(len(plain), self._max_bytes)
        if not inflater.eof:
            raise not_received("bad gzip: it is cut off")
        return plain


def _too_large(size: int, limit: int) -> CallError:
    return not_received(f"grpc: received message larger than max ({size} vs. {limit})")


def framed(message: bytes, *, compress: bool = False) -> bytes:
    """A message behind its prefix."""
    if compress:
        message = gzip.compress(message, _FASTEST, mtime=0)
    return PREFIX.pack(_COMPRESSED if compress else _PLAIN, len(message)) + message
