"""A TCP proxy in front of a node, that can be cut, stalled and brought back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """Passes bytes to `target` (`host:port`) and back, from a port of its own.

    Attributes:
        port: where it listens.
        connections: how many it has had.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._target_port = host, int(port)
        self._cut = False
        self._moving = trio.Event()
        self._moving.set()
        self._scopes: set[trio.CancelScope] = set()
        self.connections = 0
        self.port = 0

    @property
    def address(self) -> str:
        """`host:port` of the proxy."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Close all connections, and every new one at once."""
        self._cut = True
        for scope in self._scopes:
            scope.cancel()

    def stall(self) -> None:
        """Let nothing through any more, without closing anything."""
        self._moving = trio.Event()

    def heal(self) -> None:
        """Pass on again."""
        self._cut = False
        self._moving.set()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Proxy]:
        """Listen on a free port while the block runs."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._pass, [listener])
            yield self
            nursery.cancel_scope.cancel()

    async def _pass(self, client: trio.SocketStream) -> None:
        self.connections += 1
        if self._cut:
            await client.aclose()
            return
        with contextlib.suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            node = await trio.open_tcp_stream(self._host, self._target_port)
            async with client, node, trio.open_nursery() as nursery:
                self._scopes.add(nursery.cancel_scope)
                nursery.start_soon(self._pump, client, node, nursery.cancel_scope)
                await self._pump(node, client, nursery.cancel_scope)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        with contextlib.suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(65_536):
                await self._moving.wait()
                await sink.send_all(data)
        self._scopes.discard(both)
        both.cancel()
