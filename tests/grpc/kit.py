"""A relayer with the transports of one port, and how to ask it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import trio
from relayminer_plugins.grpc.transport import GrpcTransport
from relayminer_plugins.http.transport import HttpTransport

from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, HttpResponse, decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.protocol.relay import response_hash
from relayminer.protocol.signature import verify_signature
from tests.grpc.client import METHOD
from tests.relayer.kit import SERVICE, bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.relayer.kit import Bench

serving = partial(bench, transports=[GrpcTransport(), HttpTransport()])
GRPC_OK = 0


async def on_channel(address: tuple[str, int], work: Callable[[Any], Any]) -> Any:
    """Run blocking client code in a thread, with a grpcio channel of its own."""

    def run() -> Any:
        with grpc.insecure_channel(f"{address[0]}:{address[1]}") as channel:
            return work(channel)

    return await trio.to_thread.run_sync(run)


async def called(
    address: tuple[str, int], body: bytes, metadata: tuple[tuple[str, str], ...] = (), **more: Any
) -> bytes:
    """The response of a unary call."""

    def work(channel: Any) -> Any:
        return channel.unary_unary(METHOD)(body, timeout=10, metadata=metadata, **more)

    response: bytes = await on_channel(address, work)
    return response


async def refused(
    address: tuple[str, int],
    body: bytes,
    method: str = METHOD,
    metadata: tuple[tuple[str, str], ...] = (),
) -> tuple[Any, str]:
    """Code and words of a call that must fail."""

    def work(channel: Any) -> tuple[Any, str]:
        try:
            channel.unary_unary(method)(body, timeout=10, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError("it was answered")

    code, words = await on_channel(address, work)
    return code, words


def checked(b: Bench, body: bytes) -> HttpResponse:
    """The backend's answer inside a response, whose signature must be the supplier's."""
    response = codec.decode(RelayResponse, body)
    key = b.chain.supplier_keys[0]
    assert verify_signature(
        key.public_key, response_hash(response), response.meta.supplier_operator_signature
    )
    return decode_http_response(response.payload)


def errors(b: Bench, reason: str, service: str = SERVICE) -> float:
    """`ha_relayer_grpc_relay_errors_total` of a reason."""
    return b.value("ha_relayer_grpc_relay_errors_total", service_id=service, reason=reason)


def envelope(body: bytes, **headers: str) -> HttpRequest:
    """A backend request with this body."""
    named = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return HttpRequest("POST", "http://gateway/", named, body)
