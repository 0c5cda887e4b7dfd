"""A gRPC node that answers with recorded bytes."""

from __future__ import annotations

import contextlib
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reply = tuple[int, str, bytes]
"""gRPC status number, details, response bytes."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcNode(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio is untyped
    """Answers `(method, request bytes)` from a function; keeps what it was asked.

    Attributes:
        asked: every call as `(method, request bytes)`.
        metadata: of the last call.
        height: whose state it speaks of; 0 does not say.
    """

    def __init__(self, reply: Callable[[str, bytes], Reply]) -> None:
        self.reply = reply
        self.asked: list[tuple[str, bytes]] = []
        self.metadata: dict[str, str] = {}
        self.height = 0

    def service(self, handler_call_details: Any) -> Any:
        """The handler of one method: bytes in, bytes out."""
        method = handler_call_details.method
        self.metadata = dict(handler_call_details.invocation_metadata)

        def handle(request: bytes, context: Any) -> bytes:
            self.asked.append((method, request))
            status, details, response = self.reply(method, request)
            if self.height:
                context.send_initial_metadata([("x-cosmos-block-height", str(self.height))])
            if status:
                context.abort(_CODES[status], details)
            return response

        return grpc.unary_unary_rpc_method_handler(handle)

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """`host:port` while the block runs."""
        server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(self,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()
