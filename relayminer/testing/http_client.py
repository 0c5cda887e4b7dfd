"""A client that speaks plain HTTP/1.1 to a relayer."""

from __future__ import annotations

import json
import socket
from typing import Any

import trio
from attrs import frozen

from relayminer.net.client import request_bytes
from relayminer.net.response import Response, ResponseParser
from relayminer.net.wire import Wire

_MAX_ANSWER_BYTES = 100_000_000


@frozen
class Client:
    """One connection."""

    wire: Wire
    parser: ResponseParser

    async def send(
        self, body: bytes, headers: list[tuple[bytes, bytes]] | None = None, path: bytes = b"/"
    ) -> Response:
        """POST `body` and read the answer."""
        await self.wire.send(request_bytes(b"POST", path, b"relayer", headers or [], body))
        return await self.read()

    async def get(self, path: bytes) -> Response:
        """GET `path`."""
        await self.wire.send(request_bytes(b"GET", path, b"relayer", [], b""))
        return await self.read()

    async def read(self) -> Response:
        """The next answer."""
        self.parser.reset(max_body_bytes=_MAX_ANSWER_BYTES, head_only=False)
        while not self.parser.complete:
            data = await self.wire.receive()
            if data:
                self.parser.feed(data)
            elif not self.parser.end():
                raise ConnectionError("the relayer hung up")
        return self.parser.response()


async def connect(address: tuple[str, int]) -> Client:
    """A new connection to the relayer.

    Raises:
        OSError: nobody listens.
    """
    raw = socket.socket()
    raw.settimeout(0)
    wrapped = trio.socket.from_stdlib_socket(raw)
    try:
        await wrapped.connect(address)
    except OSError:
        wrapped.close()
        raise
    return Client(Wire(socket.socket(fileno=wrapped.detach())), ResponseParser())


def error_of(response: Response) -> Any:
    """The JSON error's message."""
    return json.loads(response.body)["error"]
