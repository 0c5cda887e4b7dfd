"""Drives HTTP/1.1: the first example of a driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from relayminer.net.client import request_bytes
from relayminer.net.errors import WireError
from relayminer.protocol.envelope import HttpRequest, encode_http_request
from relayminer.testing.backend import HttpNode
from relayminer.testing.driver import HungUpError, Reply
from relayminer.testing.http_client import Client, connect, error_of

if TYPE_CHECKING:
    from relayminer.testing.driver import Bodies, DrivenBackend

_OK = 200


def json_rpc_payload(number: int) -> bytes:
    """A JSON-RPC call in the envelope of request/response transports."""
    body = b'{"jsonrpc":"2.0","id":%d,"method":"eth_blockNumber","params":[]}' % number
    return encode_http_request(
        HttpRequest("POST", "http://gateway/", {"Content-Type": ("application/json",)}, body)
    )


@define(eq=False)
class HttpConnection:
    """One connection, kept alive."""

    _client: Client

    async def send(self, body: bytes) -> None:
        """POST it."""
        try:
            await self._client.wire.send(request_bytes(b"POST", b"/", b"relayer", [], body))
        except WireError:
            # The relayer may have refused before it had all: its answer says why.
            return

    async def receive(self) -> Reply:
        """The next answer."""
        try:
            answer = await self._client.read()
        except (WireError, ConnectionError) as error:
            raise HungUpError(str(error)) from error
        ended = answer.header(b"connection").lower() == b"close"
        if answer.status == _OK:
            return Reply(response=answer.body, ended=ended)
        return Reply(refusal=f"{answer.status} {error_of(answer)}", ended=ended)

    async def aclose(self) -> None:
        """Close the socket."""
        self._client.wire.close()


@frozen
class HttpDriver:
    """HTTP/1.1 with a JSON-RPC backend."""

    name: str = "http"
    backend_type: str = "jsonrpc"

    def oversize_bytes(self, max_body_bytes: int) -> int:
        """Just too large."""
        return max_body_bytes

    def payload(self, number: int) -> bytes:
        """A JSON-RPC call."""
        return json_rpc_payload(number)

    def backend(self, bodies: Bodies) -> DrivenBackend:
        """An HTTP server."""
        return HttpNode(bodies)

    async def connect(self, address: tuple[str, int], service: str) -> HttpConnection:
        """A connection; the service is in each request's session header."""
        del service
        return HttpConnection(await connect(address))
