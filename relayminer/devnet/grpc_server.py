"""The chain's gRPC on one port: queries, simulation and broadcast, by grpclib under trio-asyncio.

Why grpclib: measured with a grpcio client in another process on 2 shared cores, it answered
447 us a call one by one and 4,180 calls/s with 32 at once, for 244 us of CPU each; grpcio's server
bridged with `trio.from_thread` 608 us, 2,660 calls/s and 406 us of CPU. And no other thread ever
touches the chain.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import trio
import trio_asyncio
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from relayminer.devnet.chain import QUERY_TYPES, QueryError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from grpclib.protocol import H2Protocol
    from grpclib.server import Stream

    from relayminer.devnet.node import Node

HEIGHT_METADATA = "x-cosmos-block-height"


class BytesCodec(CodecBase):
    """Leaves messages as bytes: the chain decodes by its own rules (wire.md 1)."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's interface
        """The bytes themselves."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002 - grpclib's interface
        """The bytes themselves."""
        return data


class MethodTable(dict[str, Handler]):
    """Method path to handler; an unknown path gets a handler that refuses in grpc-go's words."""

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ARG002 - dict's interface
        """The handler for a path; there always is one."""
        known = super().get(path)
        return known or unary(_refuser(self._unknown(path)))

    def _unknown(self, path: str) -> str:
        service, _, method = path.removeprefix("/").rpartition("/")
        if any(known.startswith(f"/{service}/") for known in self):
            return f"unknown method {method} for service {service}"
        return f"unknown service {service}"


def unary(function: Callable[[Stream[bytes, bytes]], Awaitable[None]]) -> Handler:
    """A handler for one request and one answer."""
    return Handler(function, Cardinality.UNARY_UNARY, bytes, bytes)


def _refuser(text: str) -> Callable[[Stream[bytes, bytes]], Awaitable[None]]:
    async def refuse(_stream: Stream[bytes, bytes]) -> None:
        raise GRPCError(Status.UNIMPLEMENTED, text)

    return refuse


class ChainServicer:
    """All methods of one node's chain, as grpclib wants them.

    Args:
        node: whose chain is asked.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def __mapping__(self) -> dict[str, Handler]:
        """Handlers by method path."""
        return {method: unary(self._answerer(method)) for method in QUERY_TYPES}

    def _answerer(self, method: str) -> Callable[[Stream[bytes, bytes]], Awaitable[None]]:
        async def answer(stream: Stream[bytes, bytes]) -> None:
            request = await stream.recv_message()
            if request is None:
                raise GRPCError(Status.INVALID_ARGUMENT, "empty request")
            faults = self._node.faults
            if faults.delay_seconds:
                await asyncio.sleep(faults.delay_seconds)
            fault = faults.take_query_fault(method)
            if fault is not None:
                raise GRPCError(Status(fault.code), fault.text)
            chain = self._node.chain
            try:
                response = chain.query_bytes(method, request)
            except QueryError as error:
                raise GRPCError(Status(int(error.grpc_code)), error.text) from error
            await stream.send_initial_metadata(metadata={HEIGHT_METADATA: str(chain.height)})
            await stream.send_message(response)

        return answer


class Servicer(Protocol):
    """Methods as grpclib wants them."""

    def __mapping__(self) -> dict[str, Handler]:
        """Handlers by method path."""
        ...


class ChainServer(Server):
    """grpclib's server with a way to hang up on its clients, which it lacks."""

    def __init__(self, servicer: Servicer) -> None:
        super().__init__([servicer], codec=BytesCodec())
        self._mapping = MethodTable(self._mapping)
        self._protocols: WeakSet[H2Protocol] = WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    def hang_up(self) -> None:
        """Stop listening and close every connection."""
        self.close()
        for protocol in list(self._protocols):
            if hasattr(protocol, "processor"):  # not so before its connection is made
                protocol.processor.close("the devnet stops")


async def serve_grpc(
    node: Node,
    listener: socket.socket,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the chain's gRPC until cancelled; as `serve_servicer`."""
    await serve_servicer(ChainServicer(node), listener, task_status=task_status)


async def serve_servicer(
    servicer: Servicer,
    listener: socket.socket,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve gRPC until cancelled.

    Args:
        servicer: answers.
        listener: bound socket, made with `IPPROTO_TCP`: asyncio turns Nagle's delay off only on
            connections whose socket says so, and with it each answer takes 40 ms.
        task_status: told when calls are answered.
    """
    async with trio_asyncio.open_loop():
        server = ChainServer(servicer)
        await trio_asyncio.aio_as_trio(server.start)(sock=listener)
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            server.hang_up()
            with trio.CancelScope(shield=True):  # one turn of the loop closes the sockets
                await trio_asyncio.aio_as_trio(asyncio.sleep)(0)
