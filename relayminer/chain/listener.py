"""The node's WebSocket: subscribe, stay connected, hand over what comes.

A half-open connection is found by pings, a dropped subscription by heights that were polled and
never announced; both end in a new connection, after a pause that grows and has a limit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog
import trio
import trio_websocket

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from relayminer.chain.rpc import BlockRpc
    from relayminer.net.url import Origin

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message accepted: the events of one block."""

_HEADERS_QUERY = "tm.event='NewBlockHeader'"
_EVENTS_QUERY = "tm.event='NewBlockEvents'"
_HEADERS_ID = 1
_EVENTS_ID = 2
_CONNECT_SECONDS = 10.0
_PING_INTERVAL_SECONDS = 10.0
_PING_ANSWER_SECONDS = 10.0
_BACKOFF_FIRST_SECONDS = 0.25
_BACKOFF_MAX_SECONDS = 15.0
_MESSAGES_QUEUED = 64
_HEIGHTS_MISSED = 3

_log = structlog.get_logger("relayminer.chain.listener")


class SubscriptionError(RelayMinerError):
    """The node refused or ended a subscription."""


class Listener:
    """One subscription after another to a node's block headers, and block events when wanted.

    Args:
        rpc: says where the WebSocket is.
        on_height: called with the height of each header.
        on_events: called with height and events of each block.
        random: jitter of the pauses between connections.
    """

    def __init__(
        self,
        rpc: BlockRpc,
        *,
        on_height: Callable[[int], None],
        on_events: Callable[[int, list[dict[str, Any]]], None],
        random: Random,
    ) -> None:
        self._rpc = rpc
        self._on_height = on_height
        self._on_events = on_events
        self._random = random
        self._events_wanted = trio.Event()
        self._connection: trio.CancelScope | None = None
        self._origin: Origin | None = None
        self._announced_height = 0
        self._first_height = 0
        self.is_up = False
        """A subscription to headers is confirmed."""
        self.sends_events = False
        """A subscription to events is confirmed."""

    def want_events(self) -> None:
        """Subscribe to block events too, now and after every reconnect."""
        self._events_wanted.set()

    def expect(self, height: int) -> None:
        """`height` is known to exist: a connection that has not said so by now is given up."""
        known_height = max(self._announced_height, self._first_height)
        if self._connection is not None and self._origin != self._rpc.origin:
            _log.info("listening to another node", node=self._rpc.address)
            self._connection.cancel()
            return
        if not self.is_up or self._connection is None:
            return
        if not known_height:
            self._first_height = height
        elif height - known_height >= _HEIGHTS_MISSED:
            _log.warning("the node stopped announcing blocks", height=height)
            self._connection.cancel()

    async def run(self) -> None:
        """Connect, listen, and connect again until cancelled."""
        pause_seconds = _BACKOFF_FIRST_SECONDS
        while True:
            try:
                await self._listen()
            except* (
                OSError,
                SubscriptionError,
                trio.BrokenResourceError,
                trio.TooSlowError,
                trio_websocket.ConnectionClosed,
                trio_websocket.HandshakeError,
            ) as group:
                _log.info("no block subscription", reason=_reason(group), node=self._rpc.address)
            if self._announced_height:
                pause_seconds = _BACKOFF_FIRST_SECONDS
            self._reset()
            await trio.sleep(pause_seconds * self._random.uniform(0.5, 1.0))
            pause_seconds = min(pause_seconds * 2, _BACKOFF_MAX_SECONDS)

    def _reset(self) -> None:
        self._connection = None
        self._announced_height = 0
        self._first_height = 0
        self.is_up = False
        self.sends_events = False

    async def _listen(self) -> None:
        with trio.fail_after(_CONNECT_SECONDS):
            stream = await self._open_stream()
        # Closing the stream is all that ending takes: the node forgets subscriptions with it.
        async with stream, trio.open_nursery() as nursery:
            self._connection = nursery.cancel_scope
            with trio.fail_after(_CONNECT_SECONDS):
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    self._rpc.origin.authority,
                    self._rpc.websocket_path,
                    message_queue_size=_MESSAGES_QUEUED,
                    max_message_size=MAX_MESSAGE_BYTES,
                    extra_headers=self._rpc.authorization,
                )
            await connection.send_message(_subscribe(_HEADERS_ID, _HEADERS_QUERY))
            nursery.start_soon(self._subscribe_to_events, connection)
            nursery.start_soon(_ping, connection)
            while True:
                self._take(await connection.get_message())

    async def _open_stream(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        self._origin = origin = self._rpc.origin
        if origin.scheme == "https":
            return await trio.open_ssl_over_tcp_stream(
                origin.host, origin.port, https_compatible=True
            )
        return await trio.open_tcp_stream(origin.host, origin.port)

    async def _subscribe_to_events(self, connection: trio_websocket.WebSocketConnection) -> None:
        await self._events_wanted.wait()
        await connection.send_message(_subscribe(_EVENTS_ID, _EVENTS_QUERY))

    def _take(self, message: str | bytes) -> None:
        """Act on one message of the node.

        Raises:
            SubscriptionError: an error, or something that cannot be read.
        """
        try:
            answer = json.loads(message)
            if "error" in answer:
                raise SubscriptionError(f"the node says {answer['error']}")
            data = answer["result"].get("data")
            if data is None:
                self._confirm(answer["id"])
            elif data["type"] == "tendermint/event/NewBlockHeader":
                height = int(data["value"]["header"]["height"])
                self._announced_height = max(self._announced_height, height)
                self._on_height(height)
            elif data["type"] == "tendermint/event/NewBlockEvents":
                value = data["value"]
                self._on_events(int(value["height"]), value["events"] or [])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise SubscriptionError(f"unreadable message of the node: {error!r}") from error

    def _confirm(self, subscription_id: object) -> None:
        if subscription_id == _HEADERS_ID:
            self.is_up = True
        elif subscription_id == _EVENTS_ID:
            self.sends_events = True


async def _ping(connection: trio_websocket.WebSocketConnection) -> None:
    """Prove again and again that the other side is there; raises trio.TooSlowError."""
    while True:
        await trio.sleep(_PING_INTERVAL_SECONDS)
        with trio.fail_after(_PING_ANSWER_SECONDS):
            await connection.ping()


def _subscribe(subscription_id: int, query: str) -> str:
    return json.dumps(
        {
            "jsonrpc": "2.0",
            "id": subscription_id,
            "method": "subscribe",
            "params": {"query": query},
        }
    )


def _reason(group: BaseExceptionGroup[Any]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
