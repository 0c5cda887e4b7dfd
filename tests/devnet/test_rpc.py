"""CometBFT's RPC over real sockets: shapes as recorded, errors in its words."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.vector_data import load

if TYPE_CHECKING:
    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.server import Devnet


async def call(devnet: Devnet, http: HttpClient, method: str, params: Any = None) -> Any:
    """The response to one JSON-RPC call by POST."""
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()
    answer = await http.request("POST", devnet.info.rpc_url, body=body)
    assert answer.status == 200
    form = json.loads(answer.body)
    assert (form["jsonrpc"], form["id"]) == ("2.0", 7)
    return form


def shape(value: Any) -> Any:
    """A JSON value with its leaves replaced by their types; a list is its first element's shape."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value[:1]]
    return type(value).__name__


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("recording", "method", "params"),
    [
        ("status", "status", None),
        ("abci_info", "abci_info", None),
        ("net_info", "net_info", None),
        ("block_empty_57", "block", {"height": "3"}),
        ("block_latest", "block", None),
    ],
)
async def test_shapes(
    devnet: Devnet, http: HttpClient, recording: str, method: str, params: Any
) -> None:
    """Keys, their order and the types of their values are those of a real node's answer."""
    await devnet.node.step(3)
    recorded = load(f"localnet/cometbft/{recording}.json")["result"]
    live = (await call(devnet, http, method, params))["result"]
    assert json.dumps(shape(live)) == json.dumps(shape(recorded))


@pytest.mark.vectors
async def test_shape_of_block_results(devnet: Devnet, http: HttpClient) -> None:
    """Results of an empty block have the recorded members; their events are of known kinds."""
    await devnet.node.step(3)
    recorded = load("localnet/cometbft/block_results_empty_57.json")["result"]
    live = (await call(devnet, http, "block_results", {"height": "3"}))["result"]
    assert list(live) == list(recorded)
    assert live["txs_results"] is None
    assert live["consensus_param_updates"] == recorded["consensus_param_updates"]
    known = {event["type"] for event in recorded["finalize_block_events"]}
    assert {event["type"] for event in live["finalize_block_events"] or []} <= known


async def test_blocks_are_chained(devnet: Devnet, http: HttpClient) -> None:
    """A block names its predecessor's hash, and status names the tip's."""
    await devnet.node.step(4)
    blocks = [
        (await call(devnet, http, "block", {"height": str(height)}))["result"]
        for height in range(1, 6)
    ]
    for before, after in itertools.pairwise(blocks):
        assert after["block"]["header"]["last_block_id"] == before["block_id"]
        assert after["block"]["header"]["time"] > before["block"]["header"]["time"]
    sync = (await call(devnet, http, "status"))["result"]["sync_info"]
    assert sync["latest_block_hash"] == blocks[-1]["block_id"]["hash"]
    assert sync["latest_block_height"] == "5"
    assert sync["earliest_block_hash"] == blocks[0]["block_id"]["hash"]


async def test_header_and_block_by_hash(devnet: Devnet, http: HttpClient) -> None:
    """The other ways to ask for a block agree with `block`."""
    block = (await call(devnet, http, "block", {"height": "1"}))["result"]
    header = (await call(devnet, http, "header", {"height": "1"}))["result"]["header"]
    assert header == block["block"]["header"]
    found = await call(devnet, http, "block_by_hash", {"hash": block["block_id"]["hash"]})
    assert found["result"] == block


@pytest.mark.parametrize(
    ("method", "params", "code", "data"),
    [
        (
            "block",
            {"height": "99"},
            -32603,
            "height 99 must be less than or equal to the current blockchain height 1",
        ),
        ("block", {"height": "0"}, -32603, "height must be greater than 0, but got 0"),
        (
            "block_results",
            {"height": "2"},
            -32603,
            "height 2 must be less than or equal to the current blockchain height 1",
        ),
        ("tx", {"hash": "AB" * 32}, -32603, f"tx ({'AB' * 32}) not found"),
        ("nonsense", None, -32601, None),
        ("broadcast_tx_sync", {"tx": 5}, -32602, "expected string, got 5"),
    ],
)
async def test_errors(
    devnet: Devnet, http: HttpClient, method: str, params: Any, code: int, data: str | None
) -> None:
    """Codes, messages and data are CometBFT's."""
    error = (await call(devnet, http, method, params))["error"]
    assert error["code"] == code
    if data is None:
        assert "data" not in error
    else:
        assert error["data"].endswith(data)


async def test_batches_notifications_and_rubbish(devnet: Devnet, http: HttpClient) -> None:
    """A batch is answered in order without its notifications; what is no JSON is a parse error."""
    url = devnet.info.rpc_url
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "health"},
        {"jsonrpc": "2.0", "method": "health"},
        {"jsonrpc": "2.0", "id": "x", "method": "nonsense"},
    ]
    answer = await http.request("POST", url, body=json.dumps(batch).encode())
    assert [form["id"] for form in json.loads(answer.body)] == [1, "x"]
    answer = await http.request("POST", url, body=b"{")
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["code"] == -32700


async def test_urls(devnet: Devnet, http: HttpClient) -> None:
    """GET forms answer with id -1; errors are status 500, unknown methods 404."""
    answer = await http.request("GET", f"{devnet.info.rpc_url}/block?height=1")
    form = json.loads(answer.body)
    assert (answer.status, form["id"]) == (200, -1)
    assert form["result"]["block"]["header"]["height"] == "1"
    answer = await http.request("GET", f"{devnet.info.rpc_url}/block?height=9")
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["code"] == -32603
    assert (await http.request("GET", f"{devnet.info.rpc_url}/nonsense")).status == 404
    assert (await http.request("GET", devnet.info.rpc_url)).status == 200


async def test_lag_and_outage(devnet: Devnet, http: HttpClient) -> None:
    """A node that fell back shows an older tip; a node that is down answers 503."""
    await devnet.node.step(5)
    devnet.node.faults.lag_blocks = 2
    sync = (await call(devnet, http, "status"))["result"]["sync_info"]
    assert sync["latest_block_height"] == "4"
    error = (await call(devnet, http, "block", {"height": "5"}))["error"]
    assert error["data"].endswith("blockchain height 4")
    devnet.node.faults.rpc_down = True
    assert (await http.request("GET", f"{devnet.info.rpc_url}/health")).status == 503
