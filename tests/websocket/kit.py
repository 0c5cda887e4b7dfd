"""A client and a node that speak WebSocket, around the relayer of `relayminer.testing`."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from relayminer.config.settings import RelayerSettings, WebSocketSettings
from relayminer.protocol import codec
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from relayminer.protocol.relay import request_hash, response_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.signature import verify_signature
from relayminer.testing.relayer import Bench, bench, settings
from relayminer.testing.small_chain import SERVICE, SmallChain
from tests.websocket.frames import (
    CLOSE,
    ClosedError,
    FrameSocket,
    accept_token,
    read_head,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)
FAST = WebSocketSettings(close_timeout_seconds=0.3)


async def echo(socket: FrameSocket) -> None:
    """Answer every message with `re:` in front, in its own type of frame."""
    while True:
        got = await socket.receive()
        if got.opcode == CLOSE:
            return
        await socket.send_frame(got.opcode, b"re:" + got.payload)


@define(eq=False)
class Node:
    """A WebSocket backend; `talk` is what it does on each connection."""

    talk: Callable[[FrameSocket], Awaitable[None]] = echo
    refuses_with: bytes = b""
    port: int = 0
    heads: list[bytes] = field(factory=list)
    said_goodbye: list[tuple[int, str]] = field(factory=list)
    gone: trio.Event = field(factory=trio.Event)
    hold: trio.Event | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def asked(self) -> int:
        """Handshakes seen."""
        return len(self.heads)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            listeners: list[trio.SocketListener] = await nursery.start(
                partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            )
            self.port = listeners[0].socket.getsockname()[1]
            task_status.started()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            head, rest = await read_head(stream)
            self.heads.append(head)
            if self.refuses_with:
                await stream.send_all(self.refuses_with)
                return
            key = _KEY.search(head)
            assert key is not None
            await stream.send_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_token(key[1])
            )
            socket = FrameSocket(stream, masks=False, received=bytearray(rest))
            await self.talk(_Watched(self, socket))
        except (ClosedError, trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.gone.set()
            await stream.aclose()


class _Watched(FrameSocket):
    """Notes how the relayer says goodbye."""

    def __init__(self, node: Node, socket: FrameSocket) -> None:
        super().__init__(socket.stream, masks=False, received=socket.received)
        self._node = node

    async def receive_any(self) -> Any:
        """As the socket's."""
        got = await super().receive_any()
        if got.opcode == CLOSE:
            self._node.said_goodbye.append((got.code, got.reason))
        return got


def configure(url: str, **changes: Any) -> RelayerSettings:
    """Settings with one WebSocket backend and short farewells."""
    changes.setdefault("websocket", FAST)
    return settings(url, backend_type="websocket", **changes)


@asynccontextmanager
async def websocket_bench(
    redis_url: str, node: Node | None = None, **changes: Any
) -> AsyncIterator[Bench]:
    """A relayer in front of `node`; settings' changes in `configure`."""
    made = changes.pop("configure", configure)
    async with bench(redis_url, node=node or Node(), configure=made, **changes) as b:
        yield b


HEADERS = (
    b"Target-Service-Id: " + SERVICE.encode(),
    b"App-Address: pokt1app",
    b"Rpc-Type: 2",
)


def handshake(path: bytes = b"/", headers: tuple[bytes, ...] = HEADERS) -> bytes:
    """The bytes of a client's handshake."""
    return b"\r\n".join(
        (
            b"GET %b HTTP/1.1" % path,
            b"Host: relayer",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
            *headers,
            b"",
            b"",
        )
    )


async def dial(b: Bench, head: bytes | None = None) -> tuple[trio.SocketStream, bytes, bytes]:
    """Send a handshake; the answer's head and what follows."""
    stream = await trio.open_tcp_stream(*b.address)
    await stream.send_all(head or handshake())
    return stream, *await read_head(stream)


async def connect(b: Bench, head: bytes | None = None) -> FrameSocket:
    """An open conversation."""
    stream, answer, rest = await dial(b, head)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    assert b"sec-websocket-extensions" not in answer.lower()
    assert b"sec-websocket-protocol" not in answer.lower()
    return FrameSocket(stream, masks=True, received=bytearray(rest))


async def refusal(b: Bench, head: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of the answer to a handshake that is refused."""
    stream, answer, body = await dial(b, head)
    while True:
        more = await stream.receive_some(65_536)
        if not more:
            break
        body += more
    await stream.aclose()
    return int(answer.split(b" ")[1]), body


def message(
    chain: SmallChain,
    payload: bytes,
    *,
    height: int = 15,
    change: Callable[[RelayRequest], None] | None = None,
) -> bytes:
    """A signed relay request with a bare payload."""
    request = RelayRequest(payload=payload)
    request.meta.session_header.CopyFrom(chain.header(height))
    request.meta.supplier_operator_address = chain.supplier_keys[0].address
    if change is not None:
        change(request)
    request.meta.signature = sign_ring(request_hash(request), chain.ring, chain.gateway_key)
    return codec.encode(request)


def answer_of(b: Bench, data: bytes) -> RelayResponse:
    """A relay response whose signature holds."""
    response = codec.decode(RelayResponse, data)
    key = b.chain.supplier_keys[0]
    assert verify_signature(
        key.public_key, response_hash(response), response.meta.supplier_operator_signature
    )
    return response


async def ask(
    b: Bench, socket: FrameSocket, payload: bytes, *, text: bool = False, height: int = 15
) -> bytes:
    """Send a relay, and the payload of its answer."""
    await socket.send(message(b.chain, payload, height=height), text=text)
    got = await socket.receive()
    assert got.opcode == (1 if text else 2), got
    return answer_of(b, got.payload).payload


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that nobody announces, no longer than that."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - that is what it is for
            await trio.sleep(0.01)


def open_conversations(b: Bench) -> float:
    """The gauge."""
    return b.value("ha_relayer_websocket_connections_active", service_id=SERVICE)


async def mined(b: Bench) -> list[Any]:
    """The relays in the log, decoded."""
    return [decode_mined_relay(fields[1]) for _, fields in await b.logged()]


def budget_left(b: Bench) -> int:
    """Relays that are left on lease."""
    [context] = b.relayer._book.contexts()
    [budget] = context.budgets.values()
    return int(budget.left_upokt // context.cost_upokt)
