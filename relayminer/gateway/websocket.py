"""A conversation with a relayer over WebSocket, as a gateway has it.

Written for this client alone, on bare sockets: the two ends of a test must not agree on a mistake.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import struct
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from relayminer.gateway.errors import GatewayError
from relayminer.gateway.lines import MAX_ANSWER_BYTES, connect, parse_url, refused
from relayminer.net.errors import NetError
from relayminer.net.response import ResponseParser

if TYPE_CHECKING:
    from relayminer.gateway.lines import Destination
    from relayminer.net.watchdog import Watchdog
    from relayminer.net.wire import Wire

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIN: Final = 0x80
_MASKED: Final = 0x80
_SIZE: Final = 0x7F
_OPCODE: Final = 0x0F
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_SHORT: Final = 126
_LONG: Final = 127
_MAX_HEAD_BYTES: Final = 65_536
_SWITCHING: Final = b"HTTP/1.1 101 "


@frozen
class _Frame:
    opcode: int
    is_last: bool
    payload: bytes


def client_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """A whole frame, masked (RFC 6455 5.3)."""
    size = len(payload)
    if size < _SHORT:
        head = bytes((_FIN | opcode, _MASKED | size))
    elif size < 1 << 16:
        head = struct.pack(">BBH", _FIN | opcode, _MASKED | _SHORT, size)
    else:
        head = struct.pack(">BBQ", _FIN | opcode, _MASKED | _LONG, size)
    if not size:
        return head + mask
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    hidden = (int.from_bytes(payload) ^ key).to_bytes(size)
    return b"%b%b%b" % (head, mask, hidden)


class WebSocketLine:
    """An open conversation: requests in binary frames, answers in the order of requests.

    Args:
        wire: after the handshake.
        received: what came behind it.
        timeout_seconds: for one answer.
        watchdog: wakes us when that is over.
    """

    def __init__(
        self, wire: Wire, received: bytes, timeout_seconds: float, watchdog: Watchdog
    ) -> None:
        self._wire = wire
        self._received = bytearray(received)
        self._timeout_seconds = timeout_seconds
        self._watchdog = watchdog
        self.is_open = True

    @classmethod
    async def open(cls, to: Destination, watchdog: Watchdog) -> WebSocketLine:
        """Connect and shake hands.

        Raises:
            GatewayError: there is nobody, or the relayer refuses.
        """
        origin, target = parse_url(to.url, ("ws", "wss"))
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {origin.authority}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}",
            *(f"{name}: {value}" for name, value in to.headers),
        ]
        wire = await connect(origin, to.timeout_seconds)
        watchdog.watch(wire)
        try:
            wire.expires_at = trio.current_time() + to.timeout_seconds
            await wire.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
            rest = await _shaken(wire, key)
        except BaseException as error:
            watchdog.forget(wire)
            wire.close()
            if isinstance(error, NetError):
                raise GatewayError(f"no WebSocket handshake: {error}") from error
            raise
        return cls(wire, rest, to.timeout_seconds, watchdog)

    async def ask(self, request: bytes) -> bytes:
        """As `Line.ask`: the next message is the answer."""
        self.is_open = False
        await self.send(request)
        answer = await self.receive()
        self.is_open = True
        self._wire.expires_at = math.inf
        return answer

    async def send(self, request: bytes) -> None:
        """Write a message.

        Raises:
            GatewayError: the conversation is over.
        """
        self._wire.expires_at = trio.current_time() + self._timeout_seconds
        try:
            await self._wire.send(client_frame(_BINARY, request, os.urandom(4)))
        except NetError as error:
            raise GatewayError(str(error)) from error

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            GatewayError: the conversation is over; with code and reason if they were said.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                frame = await self._frame()
                if frame.opcode == _PING:
                    await self._wire.send(client_frame(_PONG, frame.payload, os.urandom(4)))
                elif frame.opcode == _CLOSE:
                    await self._say_goodbye(frame.payload)
                elif frame.opcode in {_TEXT, _BINARY, _CONTINUATION}:
                    pieces.append(frame.payload)
                    size += len(frame.payload)
                    if size > MAX_ANSWER_BYTES:
                        raise GatewayError("the answer has more bytes than accepted")
                    if frame.is_last:
                        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except NetError as error:
            raise GatewayError(str(error)) from error

    async def _say_goodbye(self, payload: bytes) -> None:
        await self._wire.send(client_frame(_CLOSE, payload[:2], os.urandom(4)))
        code = int.from_bytes(payload[:2]) if payload else 1005
        reason = payload[2:].decode("utf-8", "replace")
        raise GatewayError(f"closed by the relayer: {code} {reason}".rstrip())

    def close(self) -> None:
        """As `Line.close`."""
        self._watchdog.forget(self._wire)
        self._wire.close()

    async def _frame(self) -> _Frame:
        head = await self._exactly(2)
        size = head[1] & _SIZE
        if head[1] & _MASKED:
            raise GatewayError("the relayer masks its frames")
        if size == _SHORT:
            size = int.from_bytes(await self._exactly(2))
        elif size == _LONG:
            size = int.from_bytes(await self._exactly(8))
        if size > MAX_ANSWER_BYTES:
            raise GatewayError("the answer has more bytes than accepted")
        return _Frame(head[0] & _OPCODE, bool(head[0] & _FIN), await self._exactly(size))

    async def _exactly(self, size: int) -> bytes:
        received = self._received
        while len(received) < size:
            data = await self._wire.receive()
            if not data:
                raise NetError("the relayer hung up")
            received += data
        got = bytes(received[:size])
        del received[:size]
        return got


async def _shaken(wire: Wire, key: bytes) -> bytes:
    """What came behind a good answer to the handshake."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await wire.receive()
        if not more or len(data) > _MAX_HEAD_BYTES:
            raise NetError("the relayer gave no answer")
        data += more
    if not data.startswith(_SWITCHING):
        raise GatewayError(await _refusal(wire, data))
    head, _, rest = data.partition(b"\r\n\r\n")
    expected = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the protocol's
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-accept" and value.strip() == expected:
            return rest
    raise NetError("the relayer did not take our key")


async def _refusal(wire: Wire, data: bytes) -> str:
    parser = ResponseParser()
    parser.reset(max_body_bytes=_MAX_HEAD_BYTES, head_only=False)
    parser.feed(data)
    while not parser.complete:
        more = await wire.receive()
        if not more:
            parser.end()
            break
        parser.feed(more)
    return refused(parser.status, parser.response().body)
