"""The control surface over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

if TYPE_CHECKING:
    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.server import Devnet


async def post(devnet: Devnet, http: HttpClient, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of one command."""
    answer = await http.request(
        "POST",
        f"{devnet.info.control_url}/control/{path}",
        headers=(("Content-Type", "application/json"),),
        body=b"" if body is None else json.dumps(body).encode(),
    )
    return answer.status, json.loads(answer.body)


async def test_stepping(devnet: Devnet, http: HttpClient) -> None:
    """A step returns when its blocks are committed; `until` makes as many as are missing."""
    assert (await post(devnet, http, "step"))[1]["height"] == 2
    status, block = await post(devnet, http, "step?blocks=5")
    assert (status, block["height"], devnet.node.chain.height) == (200, 7, 7)
    assert block["hash"] == devnet.node.chain.block(7).hash.hex().upper()
    assert (await post(devnet, http, "step?until=9"))[1]["height"] == 9
    assert (await post(devnet, http, "step?until=9"))[1]["height"] == 9
    for bad in ("step?until=3", "step?blocks=-1", "step?blocks=x", "step?blocks=100001"):
        status, form = await post(devnet, http, bad)
        assert status == 400
        assert "error" in form
    assert devnet.node.chain.height == 9


async def test_the_clock(devnet: Devnet, http: HttpClient) -> None:
    """The clock starts, changes its pace and stops while the chain runs."""
    status, form = await post(devnet, http, "clock", {"block_time_seconds": 0.01})
    assert (status, form["block_time_seconds"]) == (200, 0.01)
    with trio.fail_after(5):
        await devnet.node.wait_height(4)
    await post(devnet, http, "clock", {"block_time_seconds": None})
    height = devnet.node.chain.height
    await devnet.node.step()
    assert devnet.node.chain.height == height + 1
    wrong: list[Any] = [{"block_time_seconds": 0}, {"block_time_seconds": "1s"}, [1]]
    for bad in wrong:
        assert (await post(devnet, http, "clock", bad))[0] == 400


async def test_faults(devnet: Devnet, http: HttpClient) -> None:
    """Faults are set by name and shown by status; what does not fit changes nothing."""
    wanted = {"lag_blocks": 3, "grpc_down": True, "delay_seconds": 0.0, "drop_blocks": 2}
    status, form = await post(devnet, http, "faults", wanted)
    assert status == 200
    assert form["faults"] | wanted == form["faults"]
    held = {"lose_txs": 2, "delay_txs": 3}
    status, form = await post(devnet, http, "faults", held)
    assert (status, form["faults"] | held) == (200, form["faults"])
    await post(devnet, http, "faults", {"fail_query": {"method": "/a/B", "code": 5, "calls": 2}})
    assert "/a/B" in devnet.node.faults.queries
    assert (await post(devnet, http, "faults", {"delay_txs": 2, "shuffle": 7}))[0] == 200
    refusal = {"count": 1, "code": 20}
    assert (await post(devnet, http, "faults", {"refuse_txs": refusal}))[0] == 200
    wrong: list[Any] = [{"nonsense": 1}, {"lag_blocks": -1}, {"lag_blocks": "x"}]
    for bad in [*wrong, {"refuse_txs": {}}]:
        assert (await post(devnet, http, "faults", bad))[0] == 400


async def test_a_stalled_chain_refuses_to_step(devnet: Devnet, http: HttpClient) -> None:
    """While stalled no block is made, by step or by clock; afterwards the chain goes on."""
    await post(devnet, http, "faults", {"stalled": True})
    assert (await post(devnet, http, "step"))[0] == 400
    await post(devnet, http, "clock", {"block_time_seconds": 0.001})
    with trio.move_on_after(0.05):
        await devnet.node.wait_height(2)
    assert devnet.node.chain.height == 1
    await post(devnet, http, "faults", {"stalled": False})
    with trio.fail_after(5):
        await devnet.node.wait_height(3)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("params/nonsense", {}),
        ("params/proof", {"nonsense": 1}),
        ("params/proof", [1]),
        ("govern", {"@type": "/pocket.nothing.MsgNothing"}),
        ("govern", {"@type": "/pocket.service.MsgAddService", "nonsense": 1}),
    ],
)
async def test_commands_that_do_not_fit(
    devnet: Devnet, http: HttpClient, path: str, body: Any
) -> None:
    """An unknown module, message or field is refused with a reason."""
    status, form = await post(devnet, http, path, body)
    assert status == 400
    assert form["error"]


async def test_status(devnet: Devnet, http: HttpClient) -> None:
    """Status tells where the chain stands."""
    answer = await http.request("GET", f"{devnet.info.control_url}/control/status")
    form = json.loads(answer.body)
    assert form["block"]["height"] == 1
    assert (form["chain_id"], form["mempool_txs"]) == (devnet.info.chain_id, 0)
