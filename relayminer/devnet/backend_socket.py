"""The demo backend's WebSocket: echoes, known methods, and subscriptions that push."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from relayminer.devnet.backend import JsonRpcBackend
    from relayminer.devnet.http_message import HttpRequest

MAX_REPEATS: Final = 1_000
MAX_MESSAGE_BYTES: Final = 16_777_216
_RECEIVE_BYTES: Final = 65_536
_ANSWERED: Final = frozenset(
    {"eth_blockNumber", "eth_chainId", "net_version", "web3_clientVersion", "echo", "status"}
)


class BackendSocket:
    """One conversation.

    Args:
        node: answers known methods.
        stream: the connection.
        push_seconds: from one push of a subscription to the next.
    """

    def __init__(self, node: JsonRpcBackend, stream: trio.abc.Stream, push_seconds: float) -> None:
        self._node = node
        self._stream = stream
        self._push_seconds = push_seconds
        self._socket = WSConnection(ConnectionType.SERVER)
        self._writing = trio.Lock()
        self._subscriptions: dict[str, trio.CancelScope] = {}
        self._number = 0
        self._over = trio.CancelScope()

    async def serve(self, request: HttpRequest, rest: bytes) -> None:
        """From the handshake to the farewell."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers]
        try:
            self._socket.initiate_upgrade_connection(headers, request.target)
            if not any(isinstance(event, Request) for event in self._socket.events()):
                return
            await self._send(AcceptConnection())
            if rest:
                self._socket.receive_data(rest)
            async with trio.open_nursery() as nursery:
                self._over = nursery.cancel_scope
                await self._converse(nursery)
                nursery.cancel_scope.cancel()
        except RemoteProtocolError:
            return

    async def _converse(self, nursery: trio.Nursery) -> None:
        whole = bytearray()
        while True:
            for event in self._socket.events():
                if isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    if self._socket.state is ConnectionState.REMOTE_CLOSING:
                        await self._send(event.response())
                    return
                elif isinstance(event, Message):
                    data = event.data
                    whole += data.encode() if isinstance(data, str) else data
                    if event.message_finished:
                        await self._heard(bytes(whole), isinstance(event, TextMessage), nursery)
                        whole = bytearray()
            if len(whole) > MAX_MESSAGE_BYTES or not await self._read():
                return

    async def _read(self) -> bool:
        """Take what has come; False when nothing comes any more."""
        try:
            received = await self._stream.receive_some(_RECEIVE_BYTES)
            self._socket.receive_data(bytes(received) or None)
        except (trio.BrokenResourceError, RemoteProtocolError, LocalProtocolError):
            return False
        return bool(received)

    async def _heard(self, message: bytes, text: bool, nursery: trio.Nursery) -> None:
        """Answer one message; what is no JSON is ignored."""
        try:
            document: Any = json.loads(message)
        except ValueError:
            return
        self._node.requests += 1
        if await self._node.fault():
            await self._send(CloseConnection(code=1011, reason="injected error"))
            return
        method = document.get("method") if isinstance(document, dict) else None
        if method in {"eth_subscribe", "subscribe"}:
            await self._subscribe(document, text, nursery)
        elif method in {"eth_unsubscribe", "unsubscribe", "unsubscribe_all"}:
            await self._unsubscribe(document, text)
        elif method in _ANSWERED:
            await self._say(self._node.call(document), text)
        else:
            nursery.start_soon(self._echo, document, text)

    async def _echo(self, document: Any, text: bool) -> None:
        """As often as it asks for, each with its number."""
        params = document.get("params") if isinstance(document, dict) else None
        wish = params[0] if isinstance(params, list) and params else None
        wish = wish if isinstance(wish, dict) else {}
        count = wish.get("repeat_count", 1)
        total = min(count, MAX_REPEATS) if isinstance(count, int) and count > 0 else 1
        delay = wish.get("delay_ms", 0)
        for number in range(1, total + 1):
            shown = document if isinstance(document, dict) else {"value": document}
            await self._say({**shown, "sequence": number, "total": total}, text)
            if number < total:
                await trio.sleep(max(delay, 0) / 1000 if isinstance(delay, int | float) else 0)

    async def _subscribe(self, document: Any, text: bool, nursery: trio.Nursery) -> None:
        self._number += 1
        name, request_id = hex(self._number), document.get("id")
        is_ethereum = document["method"] == "eth_subscribe"
        result: Any = name if is_ethereum else {}
        await self._say({"jsonrpc": "2.0", "id": request_id, "result": result}, text)
        scope = self._subscriptions[name] = trio.CancelScope()

        async def push() -> None:
            with scope:
                height = self._node.requests
                while True:
                    await trio.sleep(self._push_seconds)
                    height += 1
                    await self._say(_push_form(name, request_id, height, is_ethereum), text)

        nursery.start_soon(push)

    async def _unsubscribe(self, document: Any, text: bool) -> None:
        params = document.get("params")
        wanted = params[0] if isinstance(params, list) and params else None
        is_ethereum = document["method"] == "eth_unsubscribe"
        names = [wanted] if is_ethereum else list(self._subscriptions)
        found = [self._subscriptions.pop(name) for name in names if name in self._subscriptions]
        for scope in found:
            scope.cancel()
        result: Any = bool(found) if is_ethereum else {}
        await self._say({"jsonrpc": "2.0", "id": document.get("id"), "result": result}, text)

    async def _say(self, document: Any, text: bool) -> None:
        data = json.dumps(document, separators=(",", ":"))
        await self._send(TextMessage(data) if text else BytesMessage(data.encode()))

    async def _send(self, event: Event) -> None:
        """Write; a client that has gone ends the conversation, whoever was writing."""
        async with self._writing:
            try:
                await self._stream.send_all(self._socket.send(event))
            except (LocalProtocolError, trio.BrokenResourceError):
                self._over.cancel()
                await trio.lowlevel.checkpoint()


def _push_form(name: str, request_id: Any, height: int, is_ethereum: bool) -> dict[str, Any]:
    if is_ethereum:
        params = {"subscription": name, "result": {"number": hex(height)}}
        return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
    data = {"type": "tendermint/event/NewBlock", "value": {"height": str(height)}}
    return {"jsonrpc": "2.0", "id": request_id, "result": {"data": data}}
