"""Puts an HTTP handler on a free port of this host."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from relayminer.devnet.http_server import Handler, serve_http
from relayminer.devnet.sockets import open_listener, port_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The URL at which `handler` answers."""
    with open_listener("127.0.0.1", 0) as socket:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(socket))
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_http, handler, [listener]))
            yield f"http://127.0.0.1:{port_of(socket)}"
            nursery.cancel_scope.cancel()
