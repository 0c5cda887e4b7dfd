"""JSON-RPC 2.0 as CometBFT frames it: single calls, batches, and a WebSocket conversation."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from relayminer.devnet.comet_json import Json, dumps
from relayminer.devnet.errors import DevnetError, RpcError
from relayminer.devnet.rpc_methods import RpcMethods, internal_error
from relayminer.devnet.rpc_params import Kind, from_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.devnet.subscriptions import EventBus, Subscription

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
SERVER_ERROR = -32000

WRITE_TIMEOUT_SECONDS = 10.0

_QUERY = {"query": Kind.TEXT}


def result_form(request_id: Any, result: Json) -> Json:
    """A response that carries a result."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def error_form(request_id: Any, error: RpcError) -> Json:
    """A response that carries an error; without an id when the request had none to read."""
    form: Json = {"jsonrpc": "2.0"}
    if request_id is not None:
        form["id"] = request_id
    body: Json = {"code": error.code, "message": error.message}
    if error.data:
        body["data"] = error.data
    form["error"] = body
    return form


def parse_error(reason: str) -> Json:
    """The response to what is not JSON-RPC at all."""
    data = f"error unmarshaling request: {reason}"
    return error_form(None, RpcError(PARSE_ERROR, "Parse error. Invalid JSON", data))


def answer_one(methods: RpcMethods, request: Any) -> Json | None:
    """The response to one call; None for a notification, which gets none."""
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return error_form(None, RpcError(INVALID_REQUEST, "Invalid Request", "no method"))
    request_id = request.get("id")
    if request_id is None:
        return None
    try:
        method = methods.method(request["method"])
        arguments = from_json(method.arguments, request.get("params"))
        return result_form(request_id, methods.call(request["method"], arguments))
    except RpcError as error:
        return error_form(request_id, error)


def answer_body(methods: RpcMethods, body: bytes) -> tuple[int, str]:
    """HTTP status and JSON text for the body of a POST: one call or a batch."""
    try:
        document = json.loads(body)
    except ValueError as error:
        return 500, dumps(parse_error(str(error)))
    if not isinstance(document, list):
        response = answer_one(methods, document)
        return 200, "" if response is None else dumps(response)
    responses = [each for each in (answer_one(methods, call) for call in document) if each]
    return 200, dumps(responses) if responses else ""


class WebSocketSession:
    """One WebSocket client: its calls, its subscriptions, and what waits to be sent to it.

    Args:
        client: a name that no other client of the bus has.
        write_buffer: messages that may wait for a slow client before calls and events wait too.
    """

    def __init__(
        self, client: str, methods: RpcMethods, bus: EventBus, *, write_buffer: int = 200
    ) -> None:
        self._client = client
        self._methods = methods
        self._bus = bus
        self._outbox_in, self._outbox = trio.open_memory_channel[str](write_buffer)

    async def run(
        self, receive: Callable[[], Awaitable[str | bytes]], send: Callable[[str], Awaitable[None]]
    ) -> None:
        """Converse until cancelled or until `receive` or `send` raise."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, send)
                while True:
                    await self._handle(await receive(), nursery)
        finally:
            with suppress(DevnetError):  # it may have none
                self._bus.unsubscribe_all(self._client)

    async def _write(self, send: Callable[[str], Awaitable[None]]) -> None:
        async for text in self._outbox:
            await send(text)

    async def _handle(self, text: str | bytes, nursery: trio.Nursery) -> None:
        try:
            request = json.loads(text)
        except ValueError as error:
            await self._outbox_in.send(dumps(parse_error(str(error))))
            return
        response: Json | None
        name = request.get("method") if isinstance(request, dict) else None
        if name in {"subscribe", "unsubscribe", "unsubscribe_all"}:
            response = self._manage(name, request, nursery)
        else:
            response = answer_one(self._methods, request)
        if response is not None:
            await self._outbox_in.send(dumps(response))

    def _manage(self, name: str, request: Json, nursery: trio.Nursery) -> Json:
        request_id = request.get("id")
        try:
            query = from_json(_QUERY, request.get("params"))["query"]
            if name == "subscribe":
                subscription = self._bus.subscribe(self._client, query)
                nursery.start_soon(self._forward, subscription, request_id)
            elif name == "unsubscribe":
                self._bus.unsubscribe(self._client, query)
            else:
                self._bus.unsubscribe_all(self._client)
        except RpcError as error:
            return error_form(request_id, error)
        except DevnetError as error:
            return error_form(request_id, internal_error(str(error)))
        return result_form(request_id, {})

    async def _forward(self, subscription: Subscription, request_id: Any) -> None:
        """Send a subscription's events under the id that asked for it."""
        head = f'{{"jsonrpc":"2.0","id":{dumps(request_id)},"result":{{"query":'
        head += dumps(subscription.query.text)
        async with subscription.events:
            async for event in subscription.events:
                await self._outbox_in.send(
                    f'{head},"data":{event.data_json},"events":{event.keys_json}}}}}'
                )
        if subscription.cancel_reason is not None:
            data = f"subscription was canceled (reason: {subscription.cancel_reason})"
            error = RpcError(SERVER_ERROR, "Server error", data)
            with trio.move_on_after(WRITE_TIMEOUT_SECONDS):
                await self._outbox_in.send(dumps(error_form(request_id, error)))
