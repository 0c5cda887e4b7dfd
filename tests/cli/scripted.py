"""Servers that say one thing, whatever they are asked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

READ_BYTES = 65_536


def http(status: int, body: str, *headers: str) -> bytes:
    """An answer that ends its connection."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


@contextlib.asynccontextmanager
async def saying(answer: bytes | Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A server that answers whatever it reads first and hangs up; its port.

    Args:
        answer: of every connection, or made of what was read; nothing: it is silent.
    """

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            asked = bytes(await stream.receive_some(READ_BYTES))
            said = answer if isinstance(answer, bytes) else answer(asked)
            if not said:
                await stream.receive_some(READ_BYTES)
            await stream.send_all(said)
        await stream.aclose()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()
