"""A backend node for tests: HTTP/1.1, its answers a function of the request."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from relayminer.net.errors import WireError
from relayminer.net.http1 import HttpLimits, Request, RequestReader, response_bytes
from relayminer.net.watchdog import Watchdog
from relayminer.net.wire import Wire

if TYPE_CHECKING:
    from relayminer.testing.driver import Bodies

Answer = Callable[[Request], bytes]


def json_rpc(request: Request) -> bytes:
    """What a healthy node says."""
    del request
    return response_bytes(200, b'{"jsonrpc":"2.0","id":1,"result":"0x1234"}')


class Backend:
    """An HTTP/1.1 backend whose answers are a function of the request."""

    def __init__(self, answer: Answer = json_rpc, release: trio.Event | None = None) -> None:
        self.answer = answer
        self.release = release
        self.requests: list[Request] = []
        self.port = 0
        self.connections = 0
        self._watchdog = Watchdog()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        listener = socket.socket()
        listener.settimeout(0)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(listener)
                    accepted, _ = listener.accept()
                    nursery.start_soon(self._serve, accepted)
        finally:
            listener.close()

    async def _serve(self, accepted: socket.socket) -> None:
        self.connections += 1
        wire = Wire(accepted)
        reader = RequestReader(wire, HttpLimits())
        try:
            while (request := await reader.next()) is not None:
                self.requests.append(request)
                if self.release is not None:
                    await self.release.wait()
                answer = self.answer(request)
                if not answer:
                    return
                await wire.send(answer)
        except WireError:
            return
        finally:
            wire.close()


class HttpNode(Backend):
    """A backend for transports whose relays carry HTTP requests: it says `bodies(n)`.

    Args:
        bodies: what it says to its n-th request, counted from 0.
    """

    def __init__(self, bodies: Bodies) -> None:
        super().__init__(self._say)
        self._bodies = bodies
        self._said = 0

    @property
    def hold(self) -> trio.Event | None:
        """While set to an event, answers wait for it."""
        return self.release

    @hold.setter
    def hold(self, event: trio.Event | None) -> None:
        self.release = event

    @property
    def asked(self) -> int:
        """Requests seen so far."""
        return len(self.requests)

    def _say(self, request: Request) -> bytes:
        del request
        self._said += 1
        return response_bytes(200, self._bodies(self._said - 1))
