"""A backend that streams what a test tells it to, and a client that takes a stream apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import define, frozen

from relayminer.net.errors import WireError
from relayminer.net.http1 import HttpLimits, Request, RequestReader
from relayminer.net.wire import Wire
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpResponse, decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.protocol.relay import response_hash
from relayminer.protocol.signature import verify_signature
from relayminer.relayer.stream import DELIMITER
from relayminer.testing.backend import Backend

if TYPE_CHECKING:
    import socket

    from relayminer.protocol.signature import SigningKey
    from tests.relayer.client import Client

Headers = list[tuple[bytes, bytes]]
SSE = b"text/event-stream; charset=utf-8"
NDJSON = b"application/x-ndjson"


@define(eq=False)
class Upstream:
    """One streamed answer, seen from the backend."""

    wire: Wire
    request: Request
    chunked: bool = True

    async def head(
        self, content_type: bytes = SSE, *, status: int = 200, more: Headers | None = None
    ) -> None:
        """Status and headers."""
        headers = [(b"Content-Type", content_type), *(more or [])]
        if self.chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        await self.wire.send(
            b"HTTP/1.1 %d X\r\n" % status
            + b"".join(b"%b: %b\r\n" % pair for pair in headers)
            + b"\r\n"
        )

    async def send(self, data: bytes) -> None:
        """A piece of the body."""
        await self.wire.send(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    async def end(self) -> None:
        """The end of the body."""
        if self.chunked:
            await self.wire.send(b"0\r\n\r\n")

    async def cancelled(self) -> None:
        """Wait until the relayer hangs up."""
        while await self.wire.receive():
            pass


Script = Callable[[Upstream], Awaitable[None]]


class StreamBackend(Backend):
    """Answers each request by a script; without chunks, the connection is closed after it."""

    def __init__(self, script: Script, *, chunked: bool = True) -> None:
        super().__init__()
        self._script = script
        self._chunked = chunked

    async def _serve(self, accepted: socket.socket) -> None:
        wire = Wire(accepted)
        reader = RequestReader(wire, HttpLimits())
        try:
            while (request := await reader.next()) is not None:
                self.requests.append(request)
                await self._script(Upstream(wire, request, chunked=self._chunked))
                if not self._chunked:
                    return
        except WireError:
            return
        finally:
            wire.close()


@frozen
class Batch:
    """One signed batch."""

    signed: bytes
    response: RelayResponse
    envelope: HttpResponse

    def check(self, key: SigningKey) -> None:
        """Its signature is the supplier's."""
        signature = self.response.meta.supplier_operator_signature
        assert verify_signature(key.public_key, response_hash(self.response), signature)


@frozen
class Stream:
    """What a client got.

    Attributes:
        status: of the answer.
        headers: names in lower case.
        raw: the body, unchunked.
        is_complete: whether the last chunk came.
    """

    status: int
    headers: dict[bytes, bytes]
    raw: bytes
    is_complete: bool

    @property
    def batches(self) -> list[Batch]:
        """The batches, without a truncated tail."""
        pieces = self.raw.split(DELIMITER)[:-1]
        batches = []
        for piece in pieces:
            response = codec.decode(RelayResponse, piece)
            batches.append(Batch(piece, response, decode_http_response(response.payload)))
        return batches

    @property
    def body(self) -> bytes:
        """The backend's body."""
        return b"".join(batch.envelope.body for batch in self.batches)


async def read_stream(client: Client) -> Stream:
    """The whole answer, to its end or to its break."""
    client.parser.reset(max_body_bytes=100_000_000, head_only=False)
    while not client.parser.complete:
        data = await client.wire.receive()
        if not data:
            break
        client.parser.feed(data)
    parser = client.parser
    headers = {name.lower(): value for name, value in parser.headers}
    return Stream(parser.status, headers, parser.take_body(), parser.complete)


async def read_batches(client: Client, count: int) -> bytes:
    """Read on until the answer has `count` batches; its body so far."""
    parser = client.parser
    body = b""
    while body.count(DELIMITER) < count:
        data = await client.wire.receive()
        if not data:
            raise ConnectionError("the relayer hung up")
        parser.feed(data)
        body += parser.take_body()
    return body
