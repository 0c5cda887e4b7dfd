"""Claims WebSocket handshakes, opens both halves of a conversation, and sees it to its end."""

from __future__ import annotations

import re

import trio
from trio_websocket import ConnectionClosed
from wsproto import ConnectionType

from relayminer.plugin import (
    BackendTarget,
    BridgeCall,
    Claim,
    Engine,
    RelayAnswer,
    Wire,
    linger,
    response_bytes,
)
from relayminer_plugins.websocket.conversation import Conversation
from relayminer_plugins.websocket.peer import Peer, RefusedHandshakeError
from relayminer_plugins.websocket.stream import WireStream

_METHOD = b"GET "
_HEAD_END = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_LINGER_BYTES = 1_048_576
_LINGER_SECONDS = 1.0


class WebSocketTransport:
    """WebSockets on a Trio socket."""

    name = "websocket"
    priority = 10

    def claims(self, head: bytes) -> Claim:
        """A GET whose head asks for the upgrade."""
        if not head.startswith(_METHOD):
            return Claim.MORE if _METHOD.startswith(head) else Claim.NO
        end = head.find(_HEAD_END)
        if _UPGRADE.search(head, 0, end + 2 if end >= 0 else len(head)):
            return Claim.YES
        return Claim.NO if end >= 0 else Claim.MORE

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """One conversation, from its handshake to its end."""
        limits = engine.bridge_limits
        stream = WireStream(
            wire,
            read_seconds=limits.read_timeout_seconds,
            write_seconds=limits.write_timeout_seconds,
        )
        client = Peer(stream, limits, kind=ConnectionType.SERVER)
        wire.expires_at = trio.current_time() + engine.limits.header_timeout_seconds
        try:
            request = await client.read_request()
        except RefusedHandshakeError as error:
            text = f"malformed WebSocket handshake: {error}"
            await _refuse(wire, engine.refuse(error.status, text, reason="malformed_request"))
            return
        stream.rest()
        backend: list[Peer] = []

        async def connect(target: BackendTarget) -> None:
            peer = Peer(
                WireStream(
                    target.wire,
                    read_seconds=limits.read_timeout_seconds,
                    write_seconds=limits.write_timeout_seconds,
                ),
                limits,
                kind=ConnectionType.CLIENT,
                target=target,
            )
            await peer.connect()
            backend.append(peer)

        headers = [(name, bytes(value)) for name, value in request.extra_headers]
        call = BridgeCall(request.target, headers, self.name)
        bridge = await engine.bridge(call, connect)
        if isinstance(bridge, RelayAnswer):
            await _refuse(wire, bridge)
            return
        wire.ends_itself = True
        try:
            await client.accept(request)
            await Conversation(client, backend[-1], bridge, limits).run()
        except ConnectionClosed:
            # The client left within the handshake.
            return
        finally:
            bridge.close()


async def _refuse(wire: Wire, answer: RelayAnswer) -> None:
    """Answer the handshake with an HTTP error, and let the client read it."""
    wire.expires_at = trio.current_time() + _LINGER_SECONDS
    await wire.send(
        response_bytes(
            answer.status,
            answer.body,
            content_type=answer.content_type,
            headers=answer.headers,
            keep_alive=False,
        )
    )
    wire.finish_writing()
    await linger(wire, _LINGER_BYTES, _LINGER_SECONDS)
