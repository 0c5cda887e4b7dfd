"""Backends that are ill, each in one way, over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from relayminer.net.http1 import response_bytes
from relayminer.testing.backend import Backend
from relayminer.testing.http_client import Client, connect
from relayminer.testing.small_chain import ENVELOPE, request_body, signed_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.net.http1 import Request
    from relayminer.net.response import Response
    from relayminer.testing.relayer import Bench

    Illness = Callable[[trio.SocketStream], Awaitable[None]]

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HUGE_BYTES = 50_000_000
_PIECE = b"x" * 1_000_000


class SickBackend:
    """Accepts connections, reads a request's head, then does what its illness says."""

    def __init__(self, illness: Illness) -> None:
        self.illness = illness
        self.port = 0
        self.asked = 0
        self._scope = trio.CancelScope()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Close everything at once."""
        self._scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until killed or cancelled."""
        with self._scope:
            listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._serve, listeners)
                task_status.started()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                while await _request(stream):
                    self.asked += 1
                    await self.illness(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def _request(stream: trio.SocketStream) -> bool:
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some()
        if not data:
            return False
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    wanted = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            wanted = int(line.partition(b":")[2])
    while len(body) < wanted:
        body += await stream.receive_some()
    return True


async def good(stream: trio.SocketStream) -> None:
    """Not ill."""
    await stream.send_all(GOOD)


async def silent(stream: trio.SocketStream) -> None:
    """Never answers."""
    await stream.receive_some()


async def garbage(stream: trio.SocketStream) -> None:
    """Does not speak HTTP."""
    await stream.send_all(b"\x00\xff\x13SSH-2.0 hello\r\n\r\n")


async def half_closed(stream: trio.SocketStream) -> None:
    """Says half of its answer and closes that side."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await stream.send_eof()
    await stream.receive_some()


async def stuck(stream: trio.SocketStream) -> None:
    """Says half of its answer, then nothing."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await stream.receive_some()


async def server_error(stream: trio.SocketStream) -> None:
    """Answers 500."""
    await stream.send_all(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")


async def endless_headers(stream: trio.SocketStream) -> None:
    """Its headers never end."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\n")
    line = b"X-More: " + b"m" * 8_000 + b"\r\n"
    while True:
        await stream.send_all(line)


async def one_endless_header(stream: trio.SocketStream) -> None:
    """One header never ends."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nX-More: ")
    while True:
        await stream.send_all(_PIECE[:60_000])


async def dripping_headers(stream: trio.SocketStream) -> None:
    """Its headers never end, and come slowly."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\n")
    while True:
        await stream.send_all(b"X: y\r\n")
        await trio.sleep(0.02)


async def huge(stream: trio.SocketStream) -> None:
    """Answers 50 MB."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE_BYTES)
    for _ in range(HUGE_BYTES // len(_PIECE)):
        await stream.send_all(_PIECE)


async def endless_body(stream: trio.SocketStream) -> None:
    """Answers in chunks that never end."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE))


async def silent_listener(*, task_status: trio.TaskStatus[tuple[str, int]]) -> None:
    """A listener whose queue is full, so that nobody gets a connection."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(_occupy, address)
            await trio.testing.wait_all_tasks_blocked(0.05)
            task_status.started(address)
            await trio.sleep_forever()


async def _occupy(address: tuple[str, int]) -> None:
    with trio.socket.socket() as one:
        await one.connect(address)
        await trio.sleep_forever()


def echo_node(request: Request) -> bytes:
    """A JSON-RPC node that answers each method with its own name, under the asker's id."""
    asked = json.loads(request.body)
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": asked["method"]}
    return response_bytes(200, json.dumps(answer).encode())


def echo_backend() -> Backend:
    """It says what it was asked."""
    return Backend(echo_node)


def call_body(b: Bench, method: str, params: Any = None, call_id: Any = 1) -> bytes:
    """A signed relay of one JSON-RPC call."""
    asked = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or []}
    envelope = type(ENVELOPE)("POST", "/", ENVELOPE.headers, json.dumps(asked).encode())
    return request_body(signed_request(b.chain, envelope=envelope))


async def ask(b: Bench, body: bytes | None = None, rpc_type: bytes = b"") -> Response:
    """One relay over a connection of its own."""
    client: Client = await connect(b.address)
    headers = [(b"Rpc-Type", rpc_type)] if rpc_type else []
    try:
        return await client.send(body or request_body(signed_request(b.chain)), headers)
    finally:
        client.wire.close()


async def page_of(b: Bench) -> Any:
    """What `/ready/{service}` says."""
    client = await connect(b.address)
    try:
        return json.loads((await client.get(b"/ready/anvil")).body)
    finally:
        client.wire.close()


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until `condition` holds."""
    with trio.fail_after(seconds):
        while True:
            found = condition()
            if not isinstance(found, bool):
                found = await found
            if found:
                return
            await trio.sleep(0.005)
