"""Clients that break every rule, byte by byte, and one that keeps them."""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.gateway.chain import GatewayChain, OpenSession
from relayminer.gateway.relays import jsonrpc_payload
from relayminer.net.response import Response, ResponseParser
from relayminer.protocol.codec import encode
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tests.e2e.node import Node

ANSWER_SECONDS = 1.0
"""How long after the byte that decides the answer must be there."""
READ_BYTES = 65_536
MAX_BODY_BYTES = 1_000_000


def patience(seconds: float) -> float:
    """`seconds` on a machine that has nothing else to do; longer in proportion on a busy one."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Hostile:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def say(self, data: bytes) -> None:
        """Write, whether or not somebody still listens."""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            # Refused before all of it was written: the answer is what counts.
            return

    async def answer(self, within_seconds: float = ANSWER_SECONDS) -> Response:
        """The next answer."""
        with trio.fail_after(patience(within_seconds)):
            parser = ResponseParser()
            parser.reset(max_body_bytes=MAX_BODY_BYTES, head_only=False)
            while not parser.complete:
                data = self._rest or await self.stream.receive_some(READ_BYTES)
                self._rest = b""
                if not data:
                    assert parser.end(), "hung up without an answer"
                    break
                self._rest = self._feed(parser, data)
            return parser.response()

    @staticmethod
    def _feed(parser: ResponseParser, data: bytes) -> bytes:
        """Feed up to the end of one answer; what follows it comes back."""
        for end in range(1, len(data) + 1):
            parser.feed(data[end - 1 : end])
            if parser.complete:
                return data[end:]
        return b""

    async def is_hung_up(self, within_seconds: float = ANSWER_SECONDS) -> bool:
        """Whether nothing more comes but the end."""
        with trio.fail_after(patience(within_seconds)):
            try:
                return not self._rest and await self.stream.receive_some(READ_BYTES) == b""
            except trio.BrokenResourceError:
                return True

    def reset(self) -> None:
        """End the connection with RST."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


@asynccontextmanager
async def connect(node: Node) -> AsyncIterator[Hostile]:
    """A new connection to the front door."""
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        yield Hostile(stream)


async def answer_to(node: Node, data: bytes, within_seconds: float = ANSWER_SECONDS) -> Response:
    """What `data` on a connection of its own is answered."""
    async with connect(node) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.say, data)
        response = await client.answer(within_seconds)
        nursery.cancel_scope.cancel()
    return response


def message(response: Response) -> str:
    """The error that a client reads."""
    assert response.header(b"content-type") == b"application/json"
    text: str = json.loads(response.body)["error"]
    return text


def post(body: bytes, *headers: bytes) -> bytes:
    """A POST as gateways send it."""
    lines = [b"POST / HTTP/1.1", b"Host: relayer", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@frozen
class Signer:
    """Relays of one session, right or wrong."""

    session: OpenSession
    key: SigningKey
    supplier: str

    def request(self, number: int = 1) -> RelayRequest:
        """A request without a signature."""
        request = RelayRequest(payload=jsonrpc_payload(number=number))
        request.meta.session_header.CopyFrom(self.session.header)
        request.meta.supplier_operator_address = self.supplier
        return request

    def body(
        self,
        number: int = 1,
        *,
        change: Callable[[RelayRequest], None] | None = None,
        ring: Sequence[bytes] = (),
        key: SigningKey | None = None,
    ) -> bytes:
        """A signed relay; `change` comes before the signature."""
        request = self.request(number)
        if change is not None:
            change(request)
        members = ring or self.session.ring
        request.meta.signature = sign_ring(request_hash(request), members, key or self.key)
        return encode(request)


async def signer(node: Node) -> Signer:
    """For the session that is open now."""
    application = node.info.applications[0]
    async with GatewayChain(node.info.grpc_url) as chain:
        session = await chain.open_session(application.service_ids[0], application.address)
    key = SigningKey(node.info.gateways[0].secret)
    return Signer(session, key, next(iter(session.endpoints)))


async def still_serves(node: Node) -> None:
    """The next relay is served, on a connection of its own, and its answer is the supplier's."""
    signing = await signer(node)
    async with HttpClient() as http:
        record = await Gateway(signing.key, http).relay(
            signing.session, signing.supplier, jsonrpc_payload()
        )
    assert record.ok, record.error
