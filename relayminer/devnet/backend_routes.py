"""The demo backend's other ways to be asked: REST, server-sent events, lines, WebSocket."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import trio

from relayminer.devnet.backend import injected, json_answer
from relayminer.devnet.backend_socket import BackendSocket
from relayminer.devnet.http_message import HttpRequest, HttpResponse, StreamedResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.devnet.backend import JsonRpcBackend
    from relayminer.devnet.backend_metrics import BackendMetrics
    from relayminer.devnet.http_server import Answer

SSE_SECONDS: Final = 0.2
"""Longer than a relayer's flush, so each event is a batch."""
LINE_SECONDS: Final = 1.0
_MAX_BATCHES: Final = 1_000_000


class BackendRoutes:
    """All that one port answers.

    Args:
        node: answers JSON-RPC, holds the faults.
        metrics: counts requests; None without.
        push_seconds: from one push of a subscription to the next.
    """

    def __init__(
        self,
        node: JsonRpcBackend,
        metrics: BackendMetrics | None = None,
        *,
        push_seconds: float = 1.0,
    ) -> None:
        self._node = node
        self._metrics = metrics
        self._push_seconds = push_seconds

    async def answer(self, request: HttpRequest) -> Answer:
        """The answer to one HTTP request."""
        began = time.monotonic()
        found = await self._answer(request)
        if self._metrics is not None:
            self._metrics.count("http", request.path, time.monotonic() - began)
        return found

    async def _answer(self, request: HttpRequest) -> Answer:
        wants_stream = "text/event-stream" in request.header("accept")
        if request.path == "/stream/sse" or (wants_stream and request.path == "/"):
            return await self._streamed(request, "text/event-stream", _events)
        if request.path == "/stream/ndjson":
            return await self._streamed(request, "application/x-ndjson", _lines)
        if request.path != "/health" and request.method in {"GET", "HEAD"}:
            return await self._rest(request)
        return await self._node.answer(request)

    async def upgrade(self, request: HttpRequest, stream: trio.abc.Stream, rest: bytes) -> None:
        """A WebSocket conversation, on any path."""
        if self._metrics is not None:
            self._metrics.count("websocket", request.path, 0.0)
        await BackendSocket(self._node, stream, self._push_seconds).serve(request, rest)

    async def _rest(self, request: HttpRequest) -> HttpResponse:
        self._node.requests += 1
        status = await self._node.fault()
        if status:
            return injected(status)
        if request.path == "/status":
            return json_answer(self._node.call({"id": -1, "method": "status"}))
        found = {"path": request.path, "query": request.query, "status": "ok"}
        return json_answer(found | {"backend_id": self._node.backend_id})

    async def _streamed(self, request: HttpRequest, media_type: str, pieces: Any) -> Answer:
        self._node.requests += 1
        status = await self._node.fault()
        if status:
            return injected(status)
        headers = (("Content-Type", media_type), ("Cache-Control", "no-cache"))
        return StreamedResponse(200, headers, pieces(batches_of(request)))


def batches_of(request: HttpRequest) -> int:
    """How many pieces are asked for, by query or by a JSON body; 0: no end."""
    wanted: Any = parse_qs(request.query).get("batches", [None])[0]
    if wanted is None:
        try:
            document = json.loads(request.body or b"null")
        except ValueError:
            document = None
        wanted = document.get("batches") if isinstance(document, dict) else None
    try:
        return min(max(int(wanted or 0), 0), _MAX_BATCHES)
    except (TypeError, ValueError):
        return 0


async def _events(count: int) -> AsyncIterator[bytes]:
    number = 0
    while True:
        number += 1
        event = {"type": "update", "sequence": number, "timestamp": int(time.time())}
        yield b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
        if number == count:
            return
        await trio.sleep(SSE_SECONDS)


async def _lines(count: int) -> AsyncIterator[bytes]:
    number = 0
    while True:
        number += 1
        line = {"sequence": number, "timestamp": int(time.time())}
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if number == count:
            return
        await trio.sleep(LINE_SECONDS)
