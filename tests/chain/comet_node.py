"""A CometBFT node that a test plays: HTTP JSON-RPC and WebSocket on one port, faults on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from typing import TYPE_CHECKING, Any

import trio
import trio_websocket

from relayminer.net.errors import NetError
from relayminer.net.http1 import HttpLimits, RequestReader, response_bytes
from relayminer.net.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHAIN_ID = "pocket"
FIRST_TIME_SECONDS = 1_795_225_000


def block_hash(height: int) -> bytes:
    """The hash of the block at `height`, 32 bytes."""
    return hashlib.sha256(b"block %d" % height).digest()


def time_text(height: int) -> str:
    """The time of a block, whole seconds apart, as CometBFT writes it."""
    seconds = FIRST_TIME_SECONDS + height
    minutes, second = divmod(seconds - 1_795_224_960, 60)
    return f"2026-11-21T01:{36 + minutes:02d}:{second:02d}.000000007Z"


def event(name: str) -> dict[str, Any]:
    """A block event."""
    return {"type": name, "attributes": [{"key": "mode", "value": "EndBlock", "index": True}]}


class CometNode:
    """Answers like a node whose chain has `height` blocks.

    Attributes:
        height: of the newest block; 0 is a chain that has not started.
        raw: method -> bytes of an HTTP body to answer with instead.
        blocks_missing: heights whose `/block` fails although the block exists.
        asked: every call as `(method, params)`.
        announces: whether new blocks are told over the WebSocket.
        pushes_events: whether block events are pushed when they are subscribed to.
        refuses_websocket: closes connections that want to upgrade.
        hangs: accepts requests and never answers.
    """

    def __init__(self) -> None:
        self.height = 0
        self.chain_id = CHAIN_ID
        self.raw: dict[str, bytes] = {}
        self.blocks_missing: set[int] = set()
        self.lowest_height = 1
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.announces = True
        self.pushes_events = True
        self.refuses_websocket = False
        self.hangs = False
        self.subscriptions = 0
        self.subscribed = trio.Event()
        self.called = trio.Event()
        self.forks_at = 0
        """From this height on blocks are others than those of the same height elsewhere."""
        self.fork = b""
        self.seconds_later = 0
        """How much later the blocks of the fork are than those of the same height elsewhere."""
        self._sockets: list[tuple[trio_websocket.WebSocketConnection, dict[str, int]]] = []
        self._streams: list[trio.SocketStream] = []
        self.port = 0

    def hash(self, height: int) -> bytes:
        """The hash of a block here, 32 bytes."""
        if self.fork and height >= self.forks_at:
            return hashlib.sha256(self.fork + b" %d" % height).digest()
        return block_hash(height)

    def time(self, height: int) -> str:
        """The time of a block here."""
        return time_text(height + (self.seconds_later if height >= self.forks_at else 0))

    def set_back(self, height: int, fork: bytes) -> None:
        """The chain goes on from `height - 1` with other blocks; the one at `height` is there."""
        self.height, self.forks_at, self.fork = height, height, fork

    @property
    def url(self) -> str:
        """Of the RPC."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[CometNode]:
        """Listen on a free port while the block runs."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._connection, [listener])
            yield self
            nursery.cancel_scope.cancel()

    async def add_block(self, *, count: int = 1) -> None:
        """Make blocks and tell subscribers."""
        for _ in range(count):
            self.height += 1
            if self.announces:
                await self.announce(self.height)

    async def announce(self, height: int) -> None:
        """Tell subscribers about a block."""
        header = {"header": {"height": str(height), "time": time_text(height)}}
        await self._publish("NewBlockHeader", header)
        if self.pushes_events:
            events = {"height": str(height), "events": [event(f"pushed_{height}")], "num_txs": "0"}
            await self._publish("NewBlockEvents", events)

    async def drop_connections(self) -> None:
        """Close every WebSocket as a crash would."""
        for stream in self._streams:
            await trio.aclose_forcefully(stream)
        self._streams.clear()
        self._sockets.clear()

    async def say(self, message: dict[str, Any]) -> None:
        """Send any message to every subscriber."""
        for connection, _ in self._sockets:
            await connection.send_message(json.dumps(message))

    async def _publish(self, name: str, value: dict[str, Any]) -> None:
        query = f"tm.event='{name}'"
        for connection, queries in list(self._sockets):
            if query in queries:
                data = {"type": f"tendermint/event/{name}", "value": value}
                result = {"query": query, "data": data, "events": {"tm.event": [name]}}
                message = {"jsonrpc": "2.0", "id": queries[query], "result": result}
                with contextlib.suppress(trio_websocket.ConnectionClosed):
                    await connection.send_message(json.dumps(message))

    async def _connection(self, stream: trio.SocketStream) -> None:
        await trio.lowlevel.wait_readable(stream.socket)
        try:
            head = await stream.socket.recv(4096, socket.MSG_PEEK)
        except OSError:
            return
        if head.startswith(b"GET "):
            await self._websocket(stream)
        else:
            await self._http(stream)

    async def _http(self, stream: trio.SocketStream) -> None:
        raw = stream.socket
        plain = socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())
        wire = Wire(plain)
        reader = RequestReader(wire, HttpLimits())
        try:
            while (request := await reader.next()) is not None:
                call = json.loads(request.body)
                self.asked.append((call["method"], call["params"]))
                self.called.set()
                if self.hangs:
                    await trio.sleep_forever()
                body = self.raw.get(call["method"]) or json.dumps(self.answer(call)).encode()
                await wire.send(response_bytes(200, body))
        except NetError:
            pass
        finally:
            wire.close()

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """The JSON-RPC answer to one call."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        height = int(call["params"].get("height", self.height))
        if call["method"] == "status":
            sync = {
                "latest_block_height": str(self.height),
                "latest_block_time": self.time(self.height) if self.height else "0001-01-01",
                "latest_block_hash": self.hash(self.height).hex().upper() if self.height else "",
                "catching_up": False,
            }
            return answer | {"result": {"node_info": {"network": self.chain_id}, "sync_info": sync}}
        if height > self.height:
            data = (
                f"height {height} must be less than or equal to the current blockchain height"
                f" {self.height}"
            )
        elif height < self.lowest_height:
            data = f"height {height} is not available, lowest height is {self.lowest_height}"
        elif call["method"] == "block" and height in self.blocks_missing:
            data = "could not find the block"
        elif call["method"] == "block":
            header = {
                "chain_id": self.chain_id,
                "height": str(height),
                "time": self.time(height),
                "last_block_id": {"hash": self.hash(height - 1).hex() if height > 1 else ""},
            }
            block_id = {"hash": self.hash(height).hex().upper()}
            return answer | {"result": {"block_id": block_id, "block": {"header": header}}}
        else:
            result = {
                "height": str(height),
                "txs_results": [{"log": 'a "finalize_block_events": [1] in a log'}],
                "finalize_block_events": [event(f"asked_{height}")],
            }
            return answer | {"result": result}
        return answer | {"error": {"code": -32603, "message": "Internal error", "data": data}}

    async def _websocket(self, stream: trio.SocketStream) -> None:
        if self.refuses_websocket:
            await stream.aclose()
            return
        self._streams.append(stream)
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, stream)
            if request.path != "/websocket":
                await request.reject(404)
                return
            connection = await request.accept()
            queries: dict[str, int] = {}
            self._sockets.append((connection, queries))
            with contextlib.suppress(trio_websocket.ConnectionClosed):
                while True:
                    call = json.loads(await connection.get_message())
                    queries[call["params"]["query"]] = call["id"]
                    ack = {"jsonrpc": "2.0", "id": call["id"], "result": {}}
                    await connection.send_message(json.dumps(ack))
                    self.subscriptions += 1
                    self.subscribed.set()
                    self.subscribed = trio.Event()
            nursery.cancel_scope.cancel()
