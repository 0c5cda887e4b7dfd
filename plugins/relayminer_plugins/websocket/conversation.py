"""Two peers and the relays between them, until one of them, or the relayer, has had enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed

from relayminer_plugins.websocket.codes import (
    GOING_AWAY,
    INTERNAL_ERROR,
    MESSAGE_TOO_BIG,
    for_backend,
    sendable,
)

if TYPE_CHECKING:
    from relayminer.plugin import Bridge, BridgeEnd, BridgeLimits
    from relayminer_plugins.websocket.peer import Peer


class Conversation:
    """Runs one bridge between a client and a backend.

    Args:
        client: shaken hands with.
        backend: the same.
        bridge: what admits, signs and logs.
        limits: times.
    """

    def __init__(self, client: Peer, backend: Peer, bridge: Bridge, limits: BridgeLimits) -> None:
        self._client = client
        self._backend = backend
        self._bridge = bridge
        self._limits = limits
        backend.on_growing = bridge.hold
        client.on_message, backend.on_message = self._from_client, self._from_backend
        client.on_close = backend.on_close = self._left
        client.on_too_big = backend.on_too_big = self._too_big

    async def run(self) -> None:
        """Both directions, until the conversation has ended and both sides were told.

        Nothing is cancelled: an answer that is being logged is logged.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, self._client)
            nursery.start_soon(self._read, self._backend)
            await self._keep_alive()
            ending = self._bridge.ending
            if ending is not None:
                await self._say_goodbye(ending)

    async def _read(self, peer: Peer) -> None:
        await peer.read()
        # A write that was given up ended this, too, and says why if it has its turn first.
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        # After a farewell this changes nothing.
        self._bridge.end(GOING_AWAY, "peer disconnected")

    async def _from_client(self, message: bytes, text: bool) -> None:
        payload = await self._bridge.request(message)
        if payload is None:
            return
        try:
            await self._backend.send(payload, text=text)
        except ConnectionClosed:
            self._bridge.undelivered()
            self._bridge.end(INTERNAL_ERROR, "backend write failed")
        else:
            self._bridge.delivered()

    async def _from_backend(self, message: bytes, text: bool) -> None:
        try:
            answer = await self._bridge.answer(message)
            if answer is not None:
                await self._client.send(answer, text=text)
        except ConnectionClosed:
            self._bridge.end(INTERNAL_ERROR, "client write failed")
        finally:
            self._bridge.let_go()

    def _left(self, code: int, reason: str | None) -> None:
        if reason is None:
            # It broke the rules and is told by itself; the other side only learns that it is gone.
            self._bridge.end(GOING_AWAY, "peer disconnected")
        else:
            self._bridge.end(sendable(code), reason)

    def _too_big(self) -> None:
        self._bridge.end(MESSAGE_TOO_BIG, "message too big")

    async def _keep_alive(self) -> None:
        while True:
            with trio.move_on_after(self._limits.ping_interval_seconds):
                await self._bridge.ended.wait()
            if self._bridge.ended.is_set():
                return
            try:
                await self._client.send_ping()
                await self._backend.send_ping()
            except ConnectionClosed:
                self._bridge.end(GOING_AWAY, "ping timeout")

    async def _say_goodbye(self, ending: BridgeEnd) -> None:
        client, backend = self._client, self._backend
        if ending.notice is not None:
            with trio.move_on_after(self._limits.close_timeout_seconds):
                try:
                    await client.send(ending.notice, text=False)
                except ConnectionClosed:
                    # It will not see the close frame either.
                    client.drop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close, client, ending.code, ending.reason)
            nursery.start_soon(self._close, backend, *for_backend(ending.code, ending.reason))

    async def _close(self, peer: Peer, code: int, reason: str) -> None:
        with trio.move_on_after(self._limits.close_timeout_seconds):
            await peer.part(code, reason)
        peer.drop()
