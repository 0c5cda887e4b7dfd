"""The demo JSON-RPC backend over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.devnet.backend import CHAIN_ID, BackendFaults, JsonRpcBackend
from relayminer.devnet.http_client import HttpClient
from tests.devnet.serving import serving

if TYPE_CHECKING:
    from relayminer.devnet.http_message import Headers, HttpResponse

JSON: Headers = (("Content-Type", "application/json"),)


async def ask(backend: JsonRpcBackend, document: Any, headers: Headers = JSON) -> HttpResponse:
    """The backend's answer to one POST."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    async with serving(backend.answer) as url, HttpClient() as client:
        return await client.request("POST", url, headers=headers, body=body)


def backend(**faults: Any) -> JsonRpcBackend:
    """A backend whose dice always fall on 0.5."""
    return JsonRpcBackend(lambda: 0.5, "b1", BackendFaults(**faults))


async def test_methods() -> None:
    """Known methods answer as nodes do, others repeat the call; ids come back."""
    calls = [("eth_blockNumber", "0x1"), ("eth_chainId", CHAIN_ID), ("echo", [1, "x"])]
    for method, result in calls:
        answer = await ask(backend(), {"id": 7, "method": method, "params": [1, "x"]})
        assert answer.status == 200
        assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": 7, "result": result}
    answer = await ask(backend(), {"id": "a", "method": "eth_call", "params": {}})
    assert json.loads(answer.body)["result"] == {
        "method": "eth_call",
        "params": {},
        "status": "ok",
        "backend_id": "b1",
    }


async def test_batches_and_nonsense() -> None:
    """A batch gets an answer per call; what is no JSON-RPC gets an error."""
    answer = await ask(backend(), [{"id": 1, "method": "eth_chainId"}, 5])
    assert [form["id"] for form in json.loads(answer.body)] == [1, None]
    assert (await ask(backend(), b"{")).status == 400
    strict = await ask(backend(), {"id": 1, "method": "x"}, (("Content-Type", "text/plain"),))
    assert strict.status == 200
    assert json.loads(strict.body)["error"]["code"] == -32600


async def test_faults() -> None:
    """Errors come at their rate and status, fillers at their size."""
    failed = await ask(backend(error_rate=0.6, error_status=503), {"id": 1, "method": "x"})
    assert failed.status == 503
    assert failed.body == b"injected error (code: 503)"
    assert (await ask(backend(error_rate=0.4), {"id": 1, "method": "x"})).status == 200
    filled = await ask(backend(filler_bytes=1000), {"id": 1, "method": "echo", "params": 3})
    assert json.loads(filled.body)["result"] == {"value": 3, "filler": "x" * 1000}


async def test_it_remembers_what_the_relayer_told_it() -> None:
    """The relayer's `pocket-*` headers are kept for tests to look at."""
    node = backend()
    await ask(node, {"id": 1, "method": "x"}, (*JSON, ("Pocket-Supplier", "pokt1x")))
    assert node.pocket_headers == [{"pocket-supplier": "pokt1x"}]
    assert node.requests == 1


async def test_health() -> None:
    """Health checks are answered and not counted."""
    node = backend()
    async with serving(node.answer) as url, HttpClient() as client:
        answer = await client.request("GET", f"{url}/health")
    assert json.loads(answer.body)["status"] == "healthy"
    assert node.requests == 0
