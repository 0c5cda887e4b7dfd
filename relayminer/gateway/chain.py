"""What a gateway asks the chain: sessions, applications, public keys.

grpcio's blocking client in worker threads: a gateway asks a handful of questions per session, and
it must run wherever its caller does, without an asyncio loop.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import trio
from attrs import field, frozen
from cosmpy.protos.cosmos.auth.v1beta1 import auth_pb2
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2

from relayminer.gateway.errors import GatewayError
from relayminer.protocol.pb import application_pb2, session_pb2, shared_pb2
from relayminer.protocol.ring_members import (
    PLACEHOLDER_ADDRESS,
    PLACEHOLDER_PUBLIC_KEY,
    ring_addresses,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

QUERY_TIMEOUT_SECONDS = 5.0
MAX_CONCURRENT_QUERIES = 8

_Answer = TypeVar("_Answer", bound="Message")


@frozen
class Endpoint:
    """Where and how a supplier of a session is reached.

    Attributes:
        supplier: operator address.
        url: as staked for the service, its first one.
        public_key: 33 bytes, what its answers are signed with.
        urls: as staked, by RPC type.
    """

    supplier: str
    url: str
    public_key: bytes
    urls: Mapping[int, str] = field(factory=dict)

    def url_for(self, rpc_type: int) -> str:
        """Where relays of a type go: what was staked for it, else for any other."""
        return self.urls.get(rpc_type, self.url)


@frozen
class OpenSession:
    """A session with all that is needed to send relays in it.

    Attributes:
        header: names the session in every relay.
        num_blocks: length in blocks.
        ring: public keys (33 bytes) that requests may be signed with.
        endpoints: by operator address, in the session's order.
    """

    header: session_pb2.SessionHeader
    num_blocks: int
    ring: tuple[bytes, ...]
    endpoints: Mapping[str, Endpoint]


class GatewayChain:
    """gRPC queries of one node.

    Args:
        target: `host:port`.
        tls: speak TLS to it.
    """

    def __init__(self, target: str, *, tls: bool = False) -> None:
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials())
            if tls
            else grpc.insecure_channel(target)
        )
        self._limiter = trio.CapacityLimiter(MAX_CONCURRENT_QUERIES)
        self._public_keys: dict[str, bytes] = {PLACEHOLDER_ADDRESS: PLACEHOLDER_PUBLIC_KEY}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    async def ask(self, method: str, request: Message, answer: type[_Answer]) -> _Answer:
        """The answer to one query (`/package.Query/Method`).

        Raises:
            GatewayError: the chain refused or is not there.
        """
        call = self._channel.unary_unary(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        query = partial(call, request, timeout=QUERY_TIMEOUT_SECONDS)
        try:
            response: Any = await trio.to_thread.run_sync(
                query, limiter=self._limiter, abandon_on_cancel=True
            )
        except grpc.RpcError as error:
            raise GatewayError(f"{method}: {error.code().name}: {error.details()}") from error
        return response  # type: ignore[no-any-return]  # grpcio is untyped

    async def shared_params(self) -> shared_pb2.Params:
        """The live params that sessions and windows follow."""
        request = shared_pb2.QueryParamsRequest()
        answer = await self.ask(
            "/pocket.shared.Query/Params", request, shared_pb2.QueryParamsResponse
        )
        return answer.params

    async def application(self, address: str) -> application_pb2.Application:
        """A staked application."""
        request = application_pb2.QueryGetApplicationRequest(address=address)
        answer = await self.ask(
            "/pocket.application.Query/Application",
            request,
            application_pb2.QueryGetApplicationResponse,
        )
        return answer.application

    async def session(
        self, service_id: str, application: str, height: int = 0
    ) -> session_pb2.Session:
        """The session at a height; 0 is now."""
        request = session_pb2.QueryGetSessionRequest(
            application_address=application, service_id=service_id, block_height=height
        )
        answer = await self.ask(
            "/pocket.session.Query/GetSession", request, session_pb2.QueryGetSessionResponse
        )
        return answer.session

    async def public_key(self, address: str) -> bytes:
        """The public key (33 bytes) that an account has shown to the chain.

        Raises:
            GatewayError: it has shown none yet.
        """
        known = self._public_keys.get(address)
        if known is not None:
            return known
        answer = await self.ask(
            "/cosmos.auth.v1beta1.Query/Account",
            auth_query_pb2.QueryAccountRequest(address=address),
            auth_query_pb2.QueryAccountResponse,
        )
        account, key = auth_pb2.BaseAccount(), keys_pb2.PubKey()
        if not answer.account.Unpack(account) or not account.pub_key.Unpack(key):
            raise GatewayError(f"account {address} has no secp256k1 public key on chain")
        self._public_keys[address] = key.key
        return key.key  # type: ignore[no-any-return]  # cosmpy's protos are untyped

    async def open_session(self, service_id: str, application: str, height: int = 0) -> OpenSession:
        """A session with its ring and the endpoints of its suppliers."""
        session = await self.session(service_id, application, height)
        staked = await self.application(application)
        members = ring_addresses(staked, session.header.session_end_block_height)
        ring = tuple([await self.public_key(member) for member in members])
        endpoints = {}
        for supplier in session.suppliers:
            address = supplier.operator_address
            urls = _endpoint_urls(supplier, service_id)
            if urls:
                url = urls.get(shared_pb2.JSON_RPC) or next(iter(urls.values()))
                endpoints[address] = Endpoint(address, url, await self.public_key(address), urls)
        return OpenSession(session.header, session.num_blocks_per_session, ring, endpoints)


def _endpoint_urls(supplier: shared_pb2.Supplier, service_id: str) -> dict[int, str]:
    """What a supplier staked for a service: the first URL of each RPC type."""
    urls: dict[int, str] = {}
    for service in supplier.services:
        if service.service_id == service_id:
            for endpoint in service.endpoints:
                urls.setdefault(endpoint.rpc_type, endpoint.url)
    return urls
