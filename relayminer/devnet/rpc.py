"""CometBFT's RPC on one port: JSON-RPC by POST, URLs by GET, and `/websocket`.

Hypercorn and Quart carry it: the devnet needs correctness here, not the relay path's speed.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import trio
from quart import Response, request, websocket
from quart_trio import QuartTrio

from relayminer.devnet.comet_json import dumps
from relayminer.devnet.errors import RpcError
from relayminer.devnet.rpc_params import from_url
from relayminer.devnet.rpc_session import WebSocketSession, answer_body, error_form, result_form

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.devnet.faults import WireFaults
    from relayminer.devnet.rpc_methods import RpcMethods
    from relayminer.devnet.subscriptions import EventBus

MAX_BODY_BYTES = 1_000_000
URL_REQUEST_ID = -1

_JSON = "application/json"


def create_rpc_app(
    methods: RpcMethods, bus: EventBus, faults: WireFaults, *, write_buffer: int = 200
) -> QuartTrio:
    """The application that speaks CometBFT's RPC.

    Args:
        methods: what can be called.
        bus: where WebSocket clients subscribe.
        faults: what goes wrong on purpose.
        write_buffer: messages that may wait for one slow WebSocket client.
    """
    app = QuartTrio("relayminer.devnet.rpc")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    client_numbers = itertools.count(1)

    async def trouble() -> Response | None:
        if faults.delay_seconds:
            await trio.sleep(faults.delay_seconds)
        if faults.rpc_down:
            return Response("devnet: RPC is down on purpose", status=503)
        return None

    @app.post("/")
    async def call() -> Response:
        data = await request.get_data()
        status, text = answer_body(methods, data if isinstance(data, bytes) else data.encode())
        return await trouble() or Response(text, status=status, content_type=_JSON)

    @app.get("/")
    async def list_methods() -> Response:
        names = sorted([*methods.table, "subscribe", "unsubscribe", "unsubscribe_all"])
        return Response("Available endpoints:\n" + "\n".join(names) + "\n", mimetype="text/plain")

    @app.get("/<name>")
    async def call_url(name: str) -> Response:
        if name not in methods.table:
            return Response("404 page not found\n", status=404, mimetype="text/plain")
        status, form = _answer_url(methods, name, request.args.get)
        return await trouble() or Response(dumps(form), status=status, content_type=_JSON)

    @app.websocket("/websocket")
    async def converse() -> None:
        if await trouble() is not None:
            await websocket.close(1012)
            return
        session = WebSocketSession(
            f"ws-{next(client_numbers)}", methods, bus, write_buffer=write_buffer
        )
        await session.run(websocket.receive, websocket.send)

    return app


def _answer_url(
    methods: RpcMethods, name: str, argument: Callable[[str], str | None]
) -> tuple[int, dict[str, object]]:
    method = methods.table[name]
    query = {each: argument(each) or "" for each in method.arguments}
    try:
        arguments = from_url(method.arguments, query)
        return 200, result_form(URL_REQUEST_ID, methods.call(name, arguments))
    except RpcError as error:
        return 500, error_form(URL_REQUEST_ID, error)
