"""Subscriptions over a real WebSocket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from tests.devnet.test_rpc import shape
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.server import Devnet


class Client:
    """JSON-RPC over one WebSocket."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def send(self, request_id: Any, method: str, **params: Any) -> None:
        """Send one call."""
        form = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        await self.connection.send_message(json.dumps(form))

    async def receive(self) -> Any:
        """The next message."""
        with trio.fail_after(5):
            return json.loads(await self.connection.get_message())

    async def subscribe(self, request_id: Any, kind: str) -> None:
        """Subscribe to one kind of event and take the acknowledgement."""
        await self.send(request_id, "subscribe", query=f"tm.event='{kind}'")
        assert await self.receive() == {"jsonrpc": "2.0", "id": request_id, "result": {}}


@asynccontextmanager
async def connected(devnet: Devnet) -> AsyncIterator[Client]:
    """A WebSocket client of the devnet."""
    url = devnet.info.rpc_url.replace("http://", "ws://") + "/websocket"
    async with open_websocket_url(url) as connection:
        yield Client(connection)


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("kind", "recording"),
    [("NewBlock", "ws_newblock_57"), ("NewBlockHeader", "ws_newblockheader_57")],
)
async def test_block_events(devnet: Devnet, kind: str, recording: str) -> None:
    """Each block is announced under the subscription's id, in the recorded form."""
    recorded = load(f"localnet/cometbft/{recording}.json")
    async with connected(devnet) as client:
        await client.subscribe(3, kind)
        await devnet.node.step(2)
        for height in ("2", "3"):
            message = await client.receive()
            assert message["id"] == 3
            live, known = message["result"]["data"], recorded["result"]["data"]
            live_header = (live["value"].get("block") or live["value"])["header"]
            assert live_header["height"] == height
            for form in (live, known):
                form["value"].get("result_finalize_block", {}).pop("events", None)
            assert shape(live) == shape(known)
            assert message["result"]["query"] == f"tm.event='{kind}'"
            assert message["result"]["events"]["tm.event"] == [kind]


async def test_block_events_without_transactions(devnet: Devnet) -> None:
    """NewBlockEvents carries the height, the block's events and the number of transactions."""
    async with connected(devnet) as client:
        await client.subscribe(1, "NewBlockEvents")
        await devnet.node.step()
        value = (await client.receive())["result"]["data"]["value"]
        assert list(value) == ["height", "events", "num_txs"]
        assert (value["height"], value["num_txs"]) == ("2", "0")


async def test_calls_and_subscriptions_share_a_connection(devnet: Devnet) -> None:
    """Any method can be called; unsubscribing ends the events; errors have the call's id."""
    async with connected(devnet) as client:
        await client.subscribe(1, "NewBlockHeader")
        await client.send(2, "subscribe", query="tm.event='NewBlockHeader'")
        error = (await client.receive())["error"]
        assert (error["code"], error["data"]) == (-32603, "already subscribed")
        await client.send(3, "unsubscribe", query="tm.event='NewBlockHeader'")
        assert await client.receive() == {"jsonrpc": "2.0", "id": 3, "result": {}}
        await devnet.node.step()
        await client.send(4, "status")
        form = await client.receive()
        assert form["id"] == 4
        assert form["result"]["sync_info"]["latest_block_height"] == "2"
        await client.send(5, "unsubscribe_all")
        assert (await client.receive())["error"]["data"] == "subscription not found"
        await client.send(6, "subscribe", query="nonsense")
        assert "failed to parse query" in (await client.receive())["error"]["data"]
        await client.connection.send_message("{")
        assert (await client.receive())["error"]["code"] == -32700


async def test_a_long_step_does_not_lose_a_reader(devnet: Devnet) -> None:
    """A client that reads hears of every block of a step longer than its buffer."""
    async with connected(devnet) as client, trio.open_nursery() as nursery:
        await client.subscribe(1, "NewBlockHeader")
        nursery.start_soon(devnet.node.step, 100)
        for height in range(2, 102):
            header = (await client.receive())["result"]["data"]["value"]["header"]
            assert header["height"] == str(height)


async def test_a_slow_subscriber_is_cancelled(devnet: Devnet) -> None:
    """Who does not read is cancelled with -32000 and gets what was buffered; memory is bounded."""
    async with connected(devnet) as client:
        await client.subscribe(9, "NewBlock")
        steps = 0
        while len(devnet.node.bus):  # the sockets' own buffers fill before ours
            for _ in range(200):
                devnet.node._produce()
            await trio.lowlevel.checkpoint()
            steps += 1
            assert steps < 100
        messages: list[Any] = []
        while not messages or "error" not in messages[-1]:
            messages.append(await client.receive())
        assert messages[-1]["id"] == 9
        error = messages[-1]["error"]
        assert (error["code"], error["message"]) == (-32000, "Server error")
        assert "internal subscription event buffer is out of capacity" in error["data"]
        heights = [
            int(form["result"]["data"]["value"]["block"]["header"]["height"])
            for form in messages[:-1]
        ]
        assert heights == list(range(2, 2 + len(heights)))


async def test_a_client_that_leaves_is_forgotten(devnet: Devnet) -> None:
    """Subscriptions end with their connection."""
    async with connected(devnet) as client:
        await client.subscribe(1, "NewBlock")
        assert len(devnet.node.bus) == 1
    with trio.fail_after(5):
        while len(devnet.node.bus):
            await devnet.node.step()


async def test_dropped_blocks_and_outages(devnet: Devnet, http: HttpClient) -> None:
    """A dropped block is committed but not announced; a node that is down takes no client."""
    async with connected(devnet) as client:
        await client.subscribe(1, "NewBlockHeader")
        devnet.node.faults.drop_blocks = 2
        await devnet.node.step(3)
        header = (await client.receive())["result"]["data"]["value"]["header"]
        assert header["height"] == "4"
    devnet.node.faults.rpc_down = True
    # Not by trio-websocket: a refused handshake leaves its socket open.
    handshake = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    )
    answer = await http.request("GET", f"{devnet.info.rpc_url}/websocket", headers=handshake)
    assert answer.status == 403
