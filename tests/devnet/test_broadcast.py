"""Transactions built with cosmpy and sent over RPC and gRPC."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cosmpy.aerial.tx import SigningCfg, Transaction, TxFee
from cosmpy.crypto.keypairs import PrivateKey
from cosmpy.protos.cosmos.auth.v1beta1 import auth_pb2
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query_pb2
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query_pb2
from cosmpy.protos.cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2 as tx_service_pb2

from relayminer.gateway.chain import GatewayChain
from relayminer.gateway.errors import GatewayError
from tests.devnet.test_rpc import call, shape
from tests.devnet.test_websocket import connected
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.server import Devnet

SERVICE = "/cosmos.tx.v1beta1.Service"


@pytest.fixture
async def chain(devnet: Devnet) -> AsyncIterator[GatewayChain]:
    """GRPC queries."""
    async with GatewayChain(devnet.info.grpc_url) as chain:
        yield chain


async def account(chain: GatewayChain, address: str) -> auth_pb2.BaseAccount:
    """An account as the chain knows it."""
    answer = await chain.ask(
        "/cosmos.auth.v1beta1.Query/Account",
        auth_query_pb2.QueryAccountRequest(address=address),
        auth_query_pb2.QueryAccountResponse,
    )
    base = auth_pb2.BaseAccount()
    assert answer.account.Unpack(base)
    return base


async def balance(chain: GatewayChain, address: str) -> int:
    """A balance in uPOKT."""
    answer = await chain.ask(
        "/cosmos.bank.v1beta1.Query/Balance",
        bank_query_pb2.QueryBalanceRequest(address=address, denom="upokt"),
        bank_query_pb2.QueryBalanceResponse,
    )
    return int(answer.balance.amount)


async def bank_send(
    devnet: Devnet, chain: GatewayChain, *, chain_id: str = "", sequence: int | None = None
) -> bytes:
    """A send of 5 uPOKT from the first supplier to the second, fee 7 uPOKT."""
    sender, recipient = devnet.info.suppliers[:2]
    known = await account(chain, sender.address)
    key = PrivateKey(sender.secret)
    tx = Transaction()
    coins = [Coin(denom="upokt", amount="5")]
    tx.add_message(MsgSend(from_address=sender.address, to_address=recipient.address, amount=coins))
    number = known.sequence if sequence is None else sequence
    tx.seal(SigningCfg.direct(key.public_key, number), TxFee("7upokt", 200_000))
    tx.sign(key, chain_id or devnet.info.chain_id, known.account_number)
    tx.complete()
    encoded: bytes = tx.tx.SerializeToString()
    return encoded


async def broadcast(chain: GatewayChain, tx: bytes) -> Any:
    """The TxResponse of a broadcast over gRPC, mode SYNC."""
    answer = await chain.ask(
        f"{SERVICE}/BroadcastTx",
        tx_service_pb2.BroadcastTxRequest(tx_bytes=tx, mode=2),
        tx_service_pb2.BroadcastTxResponse,
    )
    return answer.tx_response


async def test_a_bank_send(devnet: Devnet, http: HttpClient, chain: GatewayChain) -> None:
    """A send is checked, waits for a block, moves the money, and is found by its hash."""
    sender, recipient = devnet.info.suppliers[:2]
    before = await balance(chain, sender.address), await balance(chain, recipient.address)
    tx = await bank_send(devnet, chain)
    name = sha256(tx).hexdigest().upper()
    params = {"tx": base64.b64encode(tx).decode()}
    result = (await call(devnet, http, "broadcast_tx_sync", params))["result"]
    assert result == {"code": 0, "data": "", "log": "", "codespace": "", "hash": name}
    waiting = (await call(devnet, http, "unconfirmed_txs"))["result"]
    assert (waiting["total"], waiting["txs"]) == ("1", [params["tx"]])
    async with connected(devnet) as client:
        await client.subscribe(1, "Tx")
        await devnet.node.step()
        event = (await client.receive())["result"]
    assert event["data"]["value"]["TxResult"]["height"] == "2"
    assert event["events"]["tx.hash"] == [name]
    after = await balance(chain, sender.address), await balance(chain, recipient.address)
    assert (after[0] - before[0], after[1] - before[1]) == (-12, 5)
    found = (await call(devnet, http, "tx", {"hash": name}))["result"]
    assert (found["height"], found["tx_result"]["code"]) == ("2", 0)
    results = (await call(devnet, http, "block_results", {"height": "2"}))["result"]
    assert results["txs_results"] == [found["tx_result"]]
    again = (await call(devnet, http, "broadcast_tx_sync", params))["error"]
    assert (again["code"], again["data"]) == (-32603, "tx already exists in cache")


@pytest.mark.vectors
async def test_the_shape_of_an_included_transaction(
    devnet: Devnet, http: HttpClient, chain: GatewayChain
) -> None:
    """`tx` answers in the recorded form."""
    tx = await bank_send(devnet, chain)
    assert (await broadcast(chain, tx)).code == 0
    await devnet.node.step()
    recorded = load("localnet/cometbft/tx_claim_single.json")["result"]
    live = (await call(devnet, http, "tx", {"hash": sha256(tx).hexdigest()}))["result"]
    assert shape(live) == shape(recorded)


async def test_broadcast_simulate_and_get_over_grpc(devnet: Devnet, chain: GatewayChain) -> None:
    """The tx service simulates, broadcasts and finds again; the second time it is code 19."""
    tx = await bank_send(devnet, chain)
    name = sha256(tx).hexdigest().upper()
    simulated = await chain.ask(
        f"{SERVICE}/Simulate",
        tx_service_pb2.SimulateRequest(tx_bytes=tx),
        tx_service_pb2.SimulateResponse,
    )
    assert 0 < simulated.gas_info.gas_used < 200_000
    accepted = await broadcast(chain, tx)
    assert (accepted.code, accepted.txhash) == (0, name)
    repeated = await broadcast(chain, tx)
    assert (repeated.codespace, repeated.code, repeated.raw_log) == ("sdk", 19, "")
    await devnet.node.step()
    found = await chain.ask(
        f"{SERVICE}/GetTx", tx_service_pb2.GetTxRequest(hash=name), tx_service_pb2.GetTxResponse
    )
    assert (found.tx_response.height, found.tx_response.code) == (2, 0)
    assert found.tx_response.gas_used > 0


async def test_refusals(devnet: Devnet, http: HttpClient, chain: GatewayChain) -> None:
    """CheckTx refuses with the real codes, by RPC and by gRPC alike; nothing is included."""
    sender = devnet.info.suppliers[0].address
    current = (await account(chain, sender)).sequence
    wrong_sequence = await bank_send(devnet, chain, sequence=current + 9)
    params = {"tx": base64.b64encode(wrong_sequence).decode()}
    result = (await call(devnet, http, "broadcast_tx_sync", params))["result"]
    assert (result["codespace"], result["code"]) == ("sdk", 32)
    assert result["log"].startswith(
        f"account sequence mismatch, expected {current}, got {current + 9}"
    )
    wrong_chain = await broadcast(chain, await bank_send(devnet, chain, chain_id="other"))
    assert (wrong_chain.codespace, wrong_chain.code) == ("sdk", 4)
    assert "signature verification failed" in wrong_chain.raw_log
    garbage = await broadcast(chain, b"\xff\xff")
    assert (garbage.codespace, garbage.code) == ("sdk", 2)
    assert len(devnet.node.chain.mempool) == 0
    with pytest.raises(GatewayError, match=r"UNKNOWN|INVALID_ARGUMENT"):
        await chain.ask(
            f"{SERVICE}/Simulate",
            tx_service_pb2.SimulateRequest(tx_bytes=b"\xff\xff"),
            tx_service_pb2.SimulateResponse,
        )


async def test_refused_and_delayed_on_purpose(devnet: Devnet, chain: GatewayChain) -> None:
    """Planned refusals hit as planned; a delayed transaction waits its blocks."""
    tx = await bank_send(devnet, chain)
    faults = devnet.node.chain.faults
    faults.refuse_txs(1, 20, "sdk", "mempool is full")
    refused = await broadcast(chain, tx)
    assert (refused.codespace, refused.code) == ("sdk", 20)
    faults.delay_txs(2)
    assert (await broadcast(chain, tx)).code == 0
    await devnet.node.step(2)
    assert len(devnet.node.chain.mempool) == 1
    await devnet.node.step()
    assert len(devnet.node.chain.mempool) == 0
