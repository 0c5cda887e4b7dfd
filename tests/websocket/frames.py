"""WebSocket frames written and read by hand: nothing here shares code with what it tests."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections import deque

import trio
from attrs import define, field, frozen

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@frozen
class Frame:
    """One frame as it came."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame."""
        return int(struct.unpack(">H", self.payload[:2])[0]) if self.payload else 1005

    @property
    def reason(self) -> str:
        """Of a close frame."""
        return self.payload[2:].decode()


def frame(opcode: int, payload: bytes, *, masked: bool, first: int = FIN) -> bytes:
    """The bytes of a frame; `first` holds FIN and the reserved bits."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", first | opcode, bit | size)
    elif size < 65_536:
        head = struct.pack(">BBH", first | opcode, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first | opcode, bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    hidden = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big") if size else b""
    return head + mask + hidden


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame says."""
    return struct.pack(">H", code) + reason.encode()


def accept_token(key: bytes) -> bytes:
    """What a server answers to a handshake key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the protocol's


class ClosedError(Exception):
    """The other side ended the TCP connection."""


@define(eq=False)
class FrameSocket:
    """An open WebSocket; `masks` on the client's side."""

    stream: trio.SocketStream
    masks: bool
    received: bytearray = field(factory=bytearray)
    answers_pings: bool = True
    answers_close: bool = True
    pings: int = 0
    waiting: deque[Frame] = field(factory=deque)

    async def send(self, payload: bytes, *, text: bool = False) -> None:
        """A whole message."""
        await self.send_frame(TEXT if text else BINARY, payload)

    async def send_frame(self, opcode: int, payload: bytes = b"", first: int = FIN) -> None:
        """One frame."""
        await self.stream.send_all(frame(opcode, payload, masked=self.masks, first=first))

    async def close(self, code: int, reason: str = "") -> None:
        """A close frame."""
        await self.send_frame(CLOSE, close_payload(code, reason))

    async def receive(self) -> Frame:
        """The next data or close frame; pings and closes are answered unless told otherwise."""
        while True:
            got = await self.receive_any()
            if got.opcode == PING:
                self.pings += 1
                if self.answers_pings:
                    await self.send_frame(PONG, got.payload)
            elif got.opcode == CLOSE:
                if self.answers_close:
                    try:
                        await self.send_frame(CLOSE, got.payload[:2])
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        return got
                return got
            elif got.opcode != PONG:
                return got

    async def receive_any(self) -> Frame:
        """The next frame of any kind."""
        head = await self._exactly(2)
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", await self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", await self._exactly(8))[0]
        mask = await self._exactly(4) if head[1] & 0x80 else b""
        payload = await self._exactly(size)
        if mask and size:
            key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        return Frame(head[0] & 0x0F, payload)

    async def ended(self) -> None:
        """Wait until the other side has closed the TCP connection."""
        while True:
            try:
                if not await self.stream.receive_some(65_536):
                    return
            except trio.BrokenResourceError:
                return

    async def aclose(self) -> None:
        """Hang up."""
        await self.stream.aclose()

    async def _exactly(self, size: int) -> bytes:
        while len(self.received) < size:
            try:
                data = await self.stream.receive_some(262_144)
            except trio.BrokenResourceError as error:
                raise ClosedError(str(error)) from error
            if not data:
                raise ClosedError("the connection has ended")
            self.received += data
        got = bytes(self.received[:size])
        del self.received[:size]
        return got


async def read_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """An HTTP head, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(65_536)
        if not more:
            raise ClosedError("no head")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest
