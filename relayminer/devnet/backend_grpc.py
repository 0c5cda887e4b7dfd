"""The demo backend's gRPC: `demo.DemoService` (operations.md 4.7).

Four small messages, so their bytes are written here and no module is generated for them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from relayminer.devnet.grpc_server import unary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpclib.server import Stream

    from relayminer.devnet.backend import JsonRpcBackend
    from relayminer.devnet.backend_metrics import BackendMetrics

SERVICE: Final = "/demo.DemoService/"
BLOCK_SECONDS: Final = 2.0
_VARINT, _LENGTH = 0, 2


class DemoServicer:
    """What the service answers.

    Args:
        node: holds the faults.
        metrics: counts calls; None without.
    """

    def __init__(self, node: JsonRpcBackend, metrics: BackendMetrics | None = None) -> None:
        self._node = node
        self._metrics = metrics

    def __mapping__(self) -> dict[str, Handler]:
        """Handlers by method path."""
        return {
            f"{SERVICE}GetBlockHeight": unary(self._answering("GetBlockHeight", _height)),
            f"{SERVICE}GetBlock": unary(self._answering("GetBlock", _asked_block)),
            f"{SERVICE}HealthCheck": unary(self._answering("HealthCheck", _health)),
            f"{SERVICE}StreamBlocks": Handler(
                self._stream_blocks, Cardinality.UNARY_STREAM, bytes, bytes
            ),
        }

    def _answering(
        self, method: str, make: Callable[[bytes], bytes]
    ) -> Callable[[Stream[bytes, bytes]], Awaitable[None]]:
        async def answer(stream: Stream[bytes, bytes]) -> None:
            began = time.monotonic()
            request = await self._request(stream)
            await stream.send_message(make(request))
            if self._metrics is not None:
                self._metrics.count("grpc", method, time.monotonic() - began)

        return answer

    async def _request(self, stream: Stream[bytes, bytes]) -> bytes:
        request = await stream.recv_message()
        self._node.requests += 1
        faults = self._node.faults
        if faults.delay_seconds:
            await asyncio.sleep(faults.delay_seconds)
        if faults.error_rate and self._node.random() < faults.error_rate:
            raise GRPCError(Status.INTERNAL, f"injected error (code: {faults.error_status})")
        return request or b""

    async def _stream_blocks(self, stream: Stream[bytes, bytes]) -> None:
        number = _field(await self._request(stream), 1) or 1
        while True:
            await stream.send_message(_block(number))
            number += 1
            await asyncio.sleep(BLOCK_SECONDS)


def _height(_: bytes) -> bytes:
    return _number(1, 1)


def _health(_: bytes) -> bytes:
    return _number(1, 1) + _text(2, "ok")


def _asked_block(request: bytes) -> bytes:
    return _block(_field(request, 1))


def _block(number: int) -> bytes:
    block = _number(1, number) + _text(2, f"hash-{number}")
    return block + _number(3, int(time.time())) + _text(4, f"tx-{number}")


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3 | _VARINT,)) + _varint(value) if value else b""


def _text(field: int, value: str) -> bytes:
    data = value.encode()
    return bytes((field << 3 | _LENGTH,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(message: bytes, number: int) -> int:
    """The varint of a field, the only kind that requests have; 0 when it is not there."""
    if not message or message[0] != number << 3 | _VARINT:
        return 0
    value = shift = 0
    for byte in message[1:11]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the last one
            return value & (1 << 64) - 1
    raise GRPCError(Status.INVALID_ARGUMENT, "not a number")
