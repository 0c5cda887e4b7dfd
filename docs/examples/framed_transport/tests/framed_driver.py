"""The client of the framed transport, for the conformance suite."""

from __future__ import annotations

import struct

import trio
from relayminer_framed.transport import GREETING

from relayminer.testing.backend import HttpNode
from relayminer.testing.driver import Bodies, DrivenBackend, HungUpError, Reply
from relayminer.testing.http_driver import json_rpc_payload

_OK = 200


class FramedConnection:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def send(self, body: bytes) -> None:
        """One frame of the service's default RPC type."""
        try:
            await self._stream.send_all(struct.pack(">IB", 1 + len(body), 0) + body)
        except trio.BrokenResourceError:
            # The relayer hung up; `receive` finds what it said before.
            return

    async def receive(self) -> Reply:
        """The next answer."""
        length, status = struct.unpack(">IH", await self._take(6))
        body = await self._take(length - 2)
        if status == _OK:
            return Reply(response=body)
        return Reply(refusal=f"{status} {body.decode()}", ended=status == 413)

    async def aclose(self) -> None:
        """Close the socket."""
        await trio.aclose_forcefully(self._stream)

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                data = await self._stream.receive_some()
            except trio.BrokenResourceError as error:
                raise HungUpError(str(error)) from error
            if not data:
                raise HungUpError("the relayer closed the connection")
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


class FramedDriver:
    """Framed relays for a JSON-RPC backend."""

    name = "framed"
    backend_type = "jsonrpc"

    def oversize_bytes(self, max_body_bytes: int) -> int:
        """Just too large."""
        return max_body_bytes

    def payload(self, number: int) -> bytes:
        """A JSON-RPC call."""
        return json_rpc_payload(number)

    def backend(self, bodies: Bodies) -> DrivenBackend:
        """An HTTP server."""
        return HttpNode(bodies)

    async def connect(self, address: tuple[str, int], service: str) -> FramedConnection:
        """A connection that has greeted; the service is in each request."""
        del service
        stream = await trio.open_tcp_stream(*address)
        await stream.send_all(GREETING)
        return FramedConnection(stream)
