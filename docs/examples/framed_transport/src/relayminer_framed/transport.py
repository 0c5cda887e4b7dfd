"""The transport. It uses `relayminer.plugin` and nothing else of RelayMiner.

A connection starts with `GREETING`. Then the client sends frames: 4 bytes of length (big-endian),
1 byte of RPC type (0 takes the service's default), and the `RelayRequest`; the length counts what
follows it. Each is answered, in order, with 4 bytes of length, 2 bytes of status, and the body: a
`RelayResponse` for status 200, a JSON error for any other.
"""

from __future__ import annotations

import math
import struct

import trio

from relayminer.plugin import Claim, Engine, RelayAnswer, RelayCall, Wire, linger

GREETING = b"\x00framed relays 1\n"

_LENGTH = struct.Struct(">I")
_ANSWER = struct.Struct(">IH")
_TYPE_BYTES = 1
_STATUS_BYTES = 2
_READ_BYTES = 65_536
_LINGER_BYTES = 67_108_864
_LINGER_SECONDS = 2.0


class _EndError(Exception):
    """The client has nothing more to say."""


class FramedTransport:
    """Serves one frame after another."""

    name = "framed"
    # HTTP (100) takes what nobody wants: ask us before.
    priority = 50

    def claims(self, head: bytes) -> Claim:
        """Connections that start with the greeting."""
        if head.startswith(GREETING):
            return Claim.YES
        return Claim.MORE if GREETING.startswith(head) else Claim.NO

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Answer frames until the client or the relayer hangs up."""
        reader = _Reader(wire)
        try:
            await reader.take(len(GREETING))
            while not engine.draining:
                answer = await self._next(reader, wire, engine)
                await self._write(wire, engine, answer)
                if reader.broken:
                    # The client may be in the middle of a long frame: let it read the answer.
                    wire.finish_writing()
                    await linger(wire, _LINGER_BYTES, _LINGER_SECONDS)
                    return
        except _EndError:
            return

    async def _next(self, reader: _Reader, wire: Wire, engine: Engine) -> RelayAnswer:
        limits = engine.limits
        wire.expires_at = trio.current_time() + limits.idle_timeout_seconds
        (length,) = _LENGTH.unpack(await reader.take(_LENGTH.size))
        # The length decides, before a byte of the rest is kept.
        if length < _TYPE_BYTES:
            reader.broken = True
            return engine.refuse(400, "a frame without an RPC type", reason="malformed_request")
        if length - _TYPE_BYTES > limits.max_body_bytes:
            reader.broken = True
            return engine.refuse(413, "request body too large", reason="body_too_large")
        wire.expires_at = trio.current_time() + limits.body_timeout_seconds
        frame = await reader.take(length)
        wire.expires_at = math.inf
        headers = [(b"rpc-type", b"%d" % frame[0])] if frame[0] else []
        return await engine.exchange(RelayCall(frame[_TYPE_BYTES:], headers, self.name))

    async def _write(self, wire: Wire, engine: Engine, answer: RelayAnswer) -> None:
        wire.expires_at = trio.current_time() + engine.limits.write_timeout_seconds
        head = _ANSWER.pack(_STATUS_BYTES + len(answer.body), answer.status)
        await wire.send(head + answer.body)


class _Reader:
    """Takes so many bytes at a time from a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self.broken = False
        """Whether it is unknown where the next frame starts."""

    async def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            _EndError: the client closed before they were there.
            WireError: the connection broke, or took too long; the caller may let it pass.
        """
        while len(self._buffer) < count:
            data = await self._wire.receive(_READ_BYTES)
            if not data:
                raise _EndError
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
