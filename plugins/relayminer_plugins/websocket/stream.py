"""A wire as the byte stream that trio-websocket wants, with a deadline for each direction."""

from __future__ import annotations

import math

import trio

from relayminer.plugin import AnyWire, NetError


class WireStream(trio.abc.Stream):
    """Reads and writes a wire.

    A wire has one deadline; the nearer of the reader's and the writer's is set.

    Args:
        wire: somebody looks after its deadline.
        read_seconds: from one sign of life to the next.
        write_seconds: for each write.
    """

    __slots__ = ("_read_at", "_read_seconds", "_write_at", "_write_seconds", "wire")

    def __init__(self, wire: AnyWire, *, read_seconds: float, write_seconds: float) -> None:
        self.wire = wire
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._read_at = math.inf
        self._write_at = math.inf

    def touch(self) -> None:
        """A sign of life: the reader's time starts anew."""
        self._read_at = trio.current_time() + self._read_seconds
        self._set()

    def rest(self) -> None:
        """Nobody reads now, so silence is not held against the peer."""
        self._read_at = math.inf
        self._set()

    def _set(self) -> None:
        self.wire.expires_at = min(self._read_at, self._write_at)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; empty at the end."""
        try:
            return await self.wire.receive(max_bytes or 16_384)
        except NetError as error:
            raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything; goes through the scheduler only when the socket is full."""
        self._write_at = trio.current_time() + self._write_seconds
        self._set()
        try:
            await self.wire.send(bytes(data))
        except NetError as error:
            raise trio.BrokenResourceError from error
        finally:
            self._write_at = math.inf
            self._set()

    async def wait_send_all_might_not_block(self) -> None:
        """Nothing to wait for: `send_all` does."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Give the socket back."""
        self.wire.close()
        await trio.lowlevel.checkpoint()
