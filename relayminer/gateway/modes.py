"""The ways in which a gateway asks: what a request looks like, how it travels, what is good."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from relayminer.gateway.errors import GatewayError
from relayminer.gateway.grpc import GrpcChannel, GrpcLine
from relayminer.gateway.lines import Destination, HttpLine
from relayminer.gateway.relays import (
    http_payload,
    jsonrpc_body,
    judge_grpc,
    judge_http,
    judge_message,
)
from relayminer.gateway.websocket import WebSocketLine
from relayminer.net.watchdog import Watchdog
from relayminer.protocol.pb import shared_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from relayminer.gateway.lines import Headers, Line

JSONRPC: Final = "jsonrpc"
REST: Final = "rest"
COMETBFT: Final = "cometbft"
WEBSOCKET: Final = "websocket"
GRPC: Final = "grpc"
STREAM: Final = "stream"
SIMULATION_HEADER: Final = "Pocket-Simulation-Key-Id"
DEMO_CALL: Final = "/demo.DemoService/GetBlockHeight"
REST_PATH: Final = "/health"
_GRPC_TYPE: Final = "application/grpc"


@frozen
class Mode:
    """One way of asking.

    Attributes:
        rpc_type: number of `pocket.shared.RPCType`.
        method: JSON-RPC method of the default request.
        judge: status, body and complaint of an answer's payload.
        content_type: of the relay request, where it travels over HTTP.
    """

    name: str
    rpc_type: int
    judge: Callable[[bytes], tuple[int, bytes, str]]
    method: str = "eth_blockNumber"
    content_type: str = "application/x-protobuf"


MODES: Final = {
    mode.name: mode
    for mode in (
        Mode(JSONRPC, shared_pb2.JSON_RPC, judge_http),
        Mode(REST, shared_pb2.REST, judge_http),
        Mode(COMETBFT, shared_pb2.COMET_BFT, judge_http, method="status"),
        Mode(WEBSOCKET, shared_pb2.WEBSOCKET, judge_message),
        Mode(GRPC, shared_pb2.GRPC, judge_grpc),
        Mode(STREAM, shared_pb2.REST, judge_http, content_type="application/octet-stream"),
    )
}


@frozen(kw_only=True)
class Question:
    """What the backend is asked; empty texts mean the mode's default.

    Attributes:
        body: replaces the default request.
        http_method: of REST.
        path: of REST and streams.
        batches: how many a stream is asked for; 0: no end.
    """

    method: str = ""
    params: object = ()
    body: str = ""
    http_method: str = "GET"
    path: str = ""
    batches: int = 0


def payload_of(mode: Mode, question: Question) -> bytes:
    """What is put into relay requests."""
    body = question.body.encode() or jsonrpc_body(question.method or mode.method, question.params)
    if mode.name == WEBSOCKET:
        return body
    if mode.name == GRPC:
        if question.body:
            return http_payload("POST", "/", body)
        return http_payload("POST", DEMO_CALL, bytes(5), _GRPC_TYPE, (("TE", "trailers"),))
    if mode.name == REST:
        path = question.path or REST_PATH
        return http_payload(question.http_method, path, question.body.encode())
    if mode.name == STREAM:
        query = f"?batches={question.batches}" if question.batches else ""
        accept = (("Accept", "text/event-stream"),)
        return http_payload("POST", f"{question.path or '/'}{query}", body, more_headers=accept)
    return http_payload("POST", "/", body)


def destination(
    mode: Mode,
    url: str,
    *,
    service: str,
    application: str,
    supplier: str,
    simulation_key_id: str = "",
    timeout_seconds: float = 30.0,
) -> Destination:
    """Where requests go, with the headers that a relayer expects."""
    headers: Headers = (("Rpc-Type", str(mode.rpc_type)),)
    if simulation_key_id:
        headers = (*headers, (SIMULATION_HEADER, simulation_key_id))
    scheme, separator, rest = url.partition("://")
    if mode.name == WEBSOCKET:
        scheme = {"http": "ws", "https": "wss"}.get(scheme, scheme)
        headers = (
            ("Target-Service-Id", service),
            ("Pocket-Service-Id", service),
            ("App-Address", application),
            ("Pocket-Supplier-Address", supplier),
            *headers,
        )
    else:
        scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if mode.name == GRPC:
        headers = tuple((name.lower(), value) for name, value in headers)
    elif mode.name != WEBSOCKET:
        headers = (("Content-Type", mode.content_type), ("Accept-Encoding", "gzip"), *headers)
    return Destination(
        url=f"{scheme}{separator}{rest}", headers=headers, timeout_seconds=timeout_seconds
    )


class Dialer:
    """Opens lines; what they need to run lives in its nursery."""

    def __init__(self, nursery: trio.Nursery, watchdog: Watchdog) -> None:
        self._nursery = nursery
        self._watchdog = watchdog
        self._channels: dict[Destination, GrpcChannel] = {}
        self._dialling = trio.Lock()

    async def open(self, mode: Mode, to: Destination) -> Line:
        """A line for requests of this mode.

        Raises:
            GatewayError: there is nobody, or it refuses.
        """
        if mode.name == WEBSOCKET:
            return await WebSocketLine.open(to, self._watchdog)
        if mode.name == GRPC:
            return GrpcLine(await self._channel(to), to.headers, to.timeout_seconds)
        return await HttpLine.open(to, self._watchdog)

    async def open_http(self, to: Destination) -> HttpLine:
        """A line whose answer is read piece by piece.

        Raises:
            GatewayError: there is nobody.
        """
        return await HttpLine.open(to, self._watchdog)

    async def _channel(self, to: Destination) -> GrpcChannel:
        async with self._dialling:
            channel = self._channels.get(to)
            if channel is None or not channel.is_open:
                channel = self._channels[to] = await GrpcChannel.open(to)
                await self._nursery.start(channel.run)
            return channel


@asynccontextmanager
async def dialer() -> AsyncIterator[Dialer]:
    """A dialer whose lines end with the block."""
    async with trio.open_nursery() as nursery:
        watchdog = Watchdog()
        await nursery.start(watchdog.run)
        yield Dialer(nursery, watchdog)
        nursery.cancel_scope.cancel()


def mode_named(name: str) -> Mode:
    """A mode.

    Raises:
        GatewayError: there is none of this name.
    """
    if name not in MODES:
        raise GatewayError(f"no mode {name!r}: there are {', '.join(MODES)}")
    return MODES[name]
