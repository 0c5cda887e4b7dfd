"""What a real node said over RPC and WebSocket, said again to our client."""

from __future__ import annotations

import base64
import hashlib
import json
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.chain.errors import ChainQueryError, HeightNotReachedError
from relayminer.chain.listener import Listener, SubscriptionError
from relayminer.chain.rpc import CometRpc
from relayminer.chain.transactions import tx_hash
from tests.vector_data import directory, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chain.comet_node import CometNode

pytestmark = pytest.mark.vectors

BLOCKS = [
    "block_claims_53.json",
    "block_empty_57.json",
    "block_proofs_61.json",
    "block_settlement_68.json",
    "block_invalid_proof_191.json",
    "block_latest.json",
]
RESULTS = [
    "block_results_claims_53.json",
    "block_results_empty_57.json",
    "block_results_proofs_61.json",
    "block_results_settlement_68.json",
    "block_results_proof_invalid_198.json",
]
NEW_BLOCKS = [
    "ws_newblock_53.json",
    "ws_newblock_57.json",
    "ws_newblock_61.json",
    "ws_newblock_68.json",
]


def raw(name: str) -> bytes:
    """A recording, byte for byte."""
    load(f"localnet/cometbft/{name}")
    return (directory() / "localnet" / "cometbft" / name).read_bytes()


@pytest.fixture(name="rpc")
async def connect(node: CometNode) -> AsyncIterator[CometRpc]:
    """A client of the node."""
    rpc = CometRpc(node.url, timeout_seconds=2)
    yield rpc
    rpc.close()


@pytest.mark.parametrize("name", BLOCKS)
async def test_recorded_blocks_are_read(node: CometNode, rpc: CometRpc, name: str) -> None:
    """Height, hash and time are those of the recording, to the nanosecond."""
    node.raw["block"] = raw(name)
    form = json.loads(node.raw["block"])["result"]
    block = await rpc.block()
    header = form["block"]["header"]
    assert block.height == int(header["height"])
    assert block.hash.hex().upper() == form["block_id"]["hash"]
    assert block.chain_id == "pocket"
    fraction = header["time"].removesuffix("Z").partition(".")[2].ljust(9, "0")
    assert block.time_ns % 10**9 == int(fraction)
    with pytest.raises(ChainQueryError):
        await rpc.block(block.height + 1)


async def test_the_hash_of_a_block_is_what_the_next_one_points_at() -> None:
    """`block_id.hash` is the hash of that block itself."""
    settlement = load("localnet/cometbft/block_settlement_68.json")["result"]
    commit = settlement["block"]["last_commit"]["block_id"]["hash"]
    assert settlement["block"]["header"]["last_block_id"]["hash"] == commit


@pytest.mark.parametrize("name", RESULTS)
async def test_recorded_block_results_are_read(node: CometNode, rpc: CometRpc, name: str) -> None:
    """The events of the block's end are read whole, the transactions' results are left out."""
    node.raw["block_results"] = raw(name)
    form = json.loads(node.raw["block_results"])["result"]
    events = await rpc.finalize_block_events(int(form["height"]))
    assert events == form["finalize_block_events"]
    assert events


async def test_recorded_errors_are_read(node: CometNode, rpc: CometRpc) -> None:
    """A block of the future is told apart."""
    node.raw["block"] = raw("block_future_error.json")
    with pytest.raises(HeightNotReachedError):
        await rpc.block(99_999_999)
    for name in ("tx_not_found.json", "abci_info.json", "net_info.json"):
        node.raw["status"] = raw(name)
        with pytest.raises(ChainQueryError):
            await rpc.status()


async def test_the_recorded_status_is_read(node: CometNode, rpc: CometRpc) -> None:
    """Chain id, height, time and whether the node is synced."""
    node.raw["status"] = raw("status.json")
    status = await rpc.status()
    assert (status.chain_id, status.latest_height, status.catching_up) == ("pocket", 150, False)
    assert status.latest_time_ns % 10**9 == 747_643_395


@pytest.mark.parametrize("name", ["tx_claim_single.json", "tx_proof_multi.json"])
def test_transaction_hashes_are_those_of_the_chain(name: str) -> None:
    """The name of a transaction is the SHA-256 of its bytes, in the RPC and in the REST answer."""
    result = load(f"localnet/cometbft/{name}")["result"]
    assert tx_hash(base64.b64decode(result["tx"])) == result["hash"]
    rest = load(f"localnet/cometbft/{name.replace('tx_', 'tx_rest_', 1)}")
    assert rest["tx_response"]["txhash"] == result["hash"]
    pushed = load("localnet/cometbft/ws_tx.json")["result"]["data"]["value"]["TxResult"]
    assert hashlib.sha256(base64.b64decode(pushed["tx"])).hexdigest()


class Heard:
    """What a listener told."""

    def __init__(self) -> None:
        self.heights: list[int] = []
        self.events: list[tuple[int, list[dict[str, Any]]]] = []
        rpc = CometRpc("http://127.0.0.1:1", timeout_seconds=1)
        self.listener = Listener(
            rpc,
            on_height=self.heights.append,
            on_events=lambda height, events: self.events.append((height, events)),
            random=SystemRandom(),
        )


def test_recorded_websocket_messages_are_understood() -> None:
    """Acknowledgement and header event, as the node sent them."""
    heard = Heard()
    heard.listener._take(raw("ws_subscribe_ack.json"))
    assert heard.listener.sends_events
    heard.listener._take(raw("ws_newblockheader_57.json"))
    assert heard.heights == [57]
    heard.listener._take(raw("ws_tx.json"))
    assert heard.events == []


@pytest.mark.parametrize("name", NEW_BLOCKS)
def test_block_events_pushed_are_those_of_the_results(name: str) -> None:
    """The events of `NewBlockEvents` have the form of `NewBlock`'s and of the block results."""
    heard = Heard()
    value = load(f"localnet/cometbft/{name}")["result"]["data"]["value"]
    height = value["block"]["header"]["height"]
    events = value["result_finalize_block"]["events"]
    message = {
        "id": 2,
        "result": {
            "data": {
                "type": "tendermint/event/NewBlockEvents",
                "value": {"height": height, "events": events, "num_txs": "0"},
            }
        },
    }
    heard.listener._take(json.dumps(message))
    assert heard.events == [(int(height), events)]
    (recorded,) = [one for one in RESULTS if one.endswith(f"_{height}.json")]
    assert events == load(f"localnet/cometbft/{recorded}")["result"]["finalize_block_events"]


def test_an_error_message_ends_the_subscription() -> None:
    """A node that cuts us off is not waited for."""
    with pytest.raises(SubscriptionError):
        Heard().listener._take('{"id": 1, "error": {"code": -32000}}')
