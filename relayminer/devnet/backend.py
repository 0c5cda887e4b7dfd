"""Demo backends: the nodes that suppliers would run, answering at once or badly on purpose.

One class per protocol with one method, `answer`; `serve_http` gives it a port.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

from relayminer.devnet.http_message import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

JSON_HEADERS = (("Content-Type", "application/json"),)
TEXT_HEADERS = (("Content-Type", "text/plain; charset=utf-8"),)

CHAIN_ID = "0x504f4b54"  # "POKT"
INVALID_REQUEST = -32600
RECENT_REQUESTS = 1_000


@frozen(kw_only=True)
class BackendFaults:
    """How a backend misbehaves.

    Attributes:
        error_rate: share of requests, 0 to 1, that are answered `error_status`.
        error_statuses: one of these by chance, instead of `error_status`.
        broken_compression: gzip for clients that accept it, without saying so.
        delay_seconds: how long every answer waits.
        filler_bytes: length of a filler text in every result.
    """

    error_rate: float = 0.0
    error_status: int = 500
    error_statuses: tuple[int, ...] = ()
    broken_compression: bool = False
    delay_seconds: float = 0.0
    filler_bytes: int = 0


@define
class JsonRpcBackend:
    """An Ethereum-like JSON-RPC node (operations.md 4.7).

    Args:
        random: uniform in [0, 1); decides which requests fail.
        backend_id: told in answers, to tell several backends apart.
        faults: may be replaced while it serves.
    """

    random: Callable[[], float]
    backend_id: str = "backend"
    faults: BackendFaults = BackendFaults()
    requests: int = 0
    """Requests answered so far, errors included."""
    pocket_headers: list[dict[str, str]] = field(factory=list)
    """The `pocket-*` headers of the latest requests, oldest first."""

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The answer to one HTTP request."""
        if request.path == "/health":
            return json_answer({"status": "healthy", "service": "demo-backend"})
        self.requests += 1
        self._remember(request)
        if not request.header("content-type").startswith("application/json"):
            # Strict nodes answer so, with status 200.
            return json_answer(error_form(None, INVALID_REQUEST, "Invalid request"))
        status = await self.fault()
        if status:
            return injected(status)
        try:
            document = json.loads(request.body)
        except ValueError:
            return HttpResponse(400, TEXT_HEADERS, b"invalid JSON")
        if isinstance(document, list):
            answer = json_answer([self.call(each) for each in document])
        else:
            answer = json_answer(self.call(document))
        if self.faults.broken_compression and "gzip" in request.header("accept-encoding"):
            return HttpResponse(answer.status, answer.headers, gzip.compress(answer.body))
        return answer

    async def fault(self) -> int:
        """Wait as long as every answer does; the status of an injected error, else 0."""
        faults = self.faults
        if faults.delay_seconds:
            await trio.sleep(faults.delay_seconds)
        if not faults.error_rate or self.random() >= faults.error_rate:
            return 0
        if faults.error_statuses:
            return faults.error_statuses[int(self.random() * len(faults.error_statuses))]
        return faults.error_status

    def _remember(self, request: HttpRequest) -> None:
        named = {name: value for name, value in request.headers if name.startswith("pocket-")}
        if named:
            self.pocket_headers.append(named)
            del self.pocket_headers[:-RECENT_REQUESTS]

    def call(self, document: Any) -> dict[str, Any]:
        """The answer to one JSON-RPC call."""
        if not isinstance(document, dict) or not isinstance(document.get("method"), str):
            return error_form(None, INVALID_REQUEST, "Invalid request")
        method, params = document["method"], document.get("params", [])
        result: Any
        if method == "eth_blockNumber":
            result = hex(self.requests)
        elif method == "eth_chainId":
            result = CHAIN_ID
        elif method == "net_version":
            result = str(int(CHAIN_ID, 16))
        elif method == "web3_clientVersion":
            result = f"relayminer-devnet/{self.backend_id}"
        elif method == "echo":
            result = params
        elif method == "status":
            # A CometBFT node's.
            result = {
                "sync_info": {"latest_block_height": str(self.requests), "catching_up": False}
            }
        else:
            result = {
                "method": method,
                "params": params,
                "status": "ok",
                "backend_id": self.backend_id,
            }
        if self.faults.filler_bytes:
            result = {"value": result, "filler": "x" * self.faults.filler_bytes}
        return {"jsonrpc": "2.0", "id": document.get("id"), "result": result}


def injected(status: int) -> HttpResponse:
    """An error that was asked for."""
    return HttpResponse(status, TEXT_HEADERS, f"injected error (code: {status})".encode())


def error_form(request_id: Any, code: int, message: str) -> dict[str, Any]:
    """A JSON-RPC error."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


def json_answer(document: Any, status: int = 200) -> HttpResponse:
    """A JSON response."""
    return HttpResponse(status, JSON_HEADERS, json.dumps(document, separators=(",", ":")).encode())
