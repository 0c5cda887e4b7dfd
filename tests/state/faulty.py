"""Between a gateway and its server: cuts, swallows or delays at a command of choice."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Final

import hiredis
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GREETING: Final = frozenset({b"AUTH", b"SELECT", b"PING", b"ROLE", b"COMMAND"})
"""What a connection begins with; it is not counted."""


class Fault(Enum):
    """What happens at the command."""

    CUT_BEFORE = "the connection ends before the server has it"
    CUT_AFTER = "the connection ends after the server has it, before the reply"
    SILENCE = "the server has it and nothing comes back, as when it stands still"


class FaultyWay:
    """Listens on a port and hands everything on to a server's Unix socket.

    Attributes:
        port: where it listens.
        commands: counted since `arm`.
        connections: made since the beginning.
        closed: whether connections are ended as soon as they are made.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.port = 0
        self.commands = 0
        self.connections = 0
        self.closed = False
        self._at = 0
        self._fault = Fault.CUT_BEFORE

    def arm(self, command: int, fault: Fault) -> None:
        """Let the fault happen once, at the command of this number from 1."""
        self.commands, self._at, self._fault = 0, command, fault

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection."""
        self.connections += 1
        if self.closed:
            await trio.aclose_forcefully(client)
            return
        server = await trio.open_unix_socket(self._path)
        async with client, server, trio.open_nursery() as nursery:
            silent, drained = trio.Event(), trio.Event()
            nursery.start_soon(self._replies, server, client, silent, drained)
            if await self._commands(client, server, silent):
                # It has executed all that it was sent when it has nothing more to say.
                silent.set()
                await server.send_eof()
                with trio.move_on_after(5):
                    await drained.wait()
            nursery.cancel_scope.cancel()

    async def _commands(
        self, client: trio.SocketStream, server: trio.SocketStream, silent: trio.Event
    ) -> bool:
        """Until the connection ends; whether what the server was sent is to be executed first."""
        parser = hiredis.Reader()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in client:
                parser.feed(bytes(data))
                while (command := parser.gets()) is not False:
                    fault = self._due(command)
                    if fault is Fault.CUT_BEFORE:
                        return False
                    if fault is Fault.SILENCE:
                        silent.set()
                    await server.send_all(hiredis.pack_command(tuple(command)))
                    if fault is Fault.CUT_AFTER:
                        return True
        return False

    def _due(self, command: list[bytes]) -> Fault | None:
        if command[0].upper() in GREETING:
            return None
        self.commands += 1
        return self._fault if self.commands == self._at else None

    async def _replies(
        self,
        server: trio.SocketStream,
        client: trio.SocketStream,
        silent: trio.Event,
        drained: trio.Event,
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in server:
                if not silent.is_set():
                    await client.send_all(data)
        drained.set()


@asynccontextmanager
async def faulty_way(path: str) -> AsyncIterator[FaultyWay]:
    """A way to the server at a Unix socket."""
    way = FaultyWay(path)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        way.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, way.serve, [listener])
        yield way
        nursery.cancel_scope.cancel()
