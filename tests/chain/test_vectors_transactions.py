"""Transactions, byte by byte, and the refusals of a real chain."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.chain.client import TxClient
from relayminer.chain.errors import SimulationRefusedError, TransactionRefusedError
from relayminer.chain.fees import adjusted_gas, parse_gas_price
from relayminer.chain.queries import ChainQueries
from relayminer.chain.transactions import (
    auth_info_bytes,
    body_bytes,
    build_transaction,
    lifetime_for_window,
    sign_doc_bytes,
)
from relayminer.config.chain import ChainSettings
from relayminer.config.settings import TransactionSettings
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.signature import SigningKey, verify_signature
from tests.chain.grpc_node import GrpcNode, Reply
from tests.vector_data import load

if TYPE_CHECKING:
    from google.protobuf.message import Message

pytestmark = pytest.mark.vectors

TYPES: dict[str, type[proof_pb2.MsgCreateClaim | proof_pb2.MsgSubmitProof]] = {
    "/pocket.proof.MsgCreateClaim": proof_pb2.MsgCreateClaim,
    "/pocket.proof.MsgSubmitProof": proof_pb2.MsgSubmitProof,
}
NANOSECONDS = 10**9

ClaimOrProof = proof_pb2.MsgCreateClaim | proof_pb2.MsgSubmitProof


def messages_of(case: dict[str, Any]) -> list[ClaimOrProof]:
    """The messages of a case, from their fields."""
    return [
        TYPES[one["type_url"]].FromString(bytes.fromhex(one["value"])) for one in case["messages"]
    ]


def timestamp_of(case: dict[str, Any]) -> int:
    """When the transaction of a case ends, Unix nanoseconds, by the lifetime rule."""
    anchor: int = case["anchor"]["seconds"] * NANOSECONDS + case["anchor"]["nanos"]
    return anchor + int(lifetime_for_window(case["window_seconds"]) * NANOSECONDS)


def test_transactions_are_those_of_the_go_client() -> None:
    """Body, auth info, sign doc, signature, raw bytes and hash are equal, simulation included."""
    cases = load("transactions.json")["cases"]
    assert cases
    for case in cases:
        key = SigningKey(bytes.fromhex(case["private_key"]))
        messages = messages_of(case)
        price = parse_gas_price(case["gas_price"])
        gas = case["gas_limit_config"] or adjusted_gas(
            case["simulated_gas_used"], case["gas_adjustment"]
        )
        for name, gas_limit in (("tx", gas), ("simulation_tx", 0)):
            if name not in case:
                continue
            expected = case[name]
            fee = price.fee(gas_limit) if name == "tx" else None
            coins = [f"{fee.amount}{fee.denomination}"] if fee else []
            assert coins == expected["fee"]
            assert gas_limit == expected["gas_limit"]
            timestamp_ns = timestamp_of(case)
            body = body_bytes(messages, expected["memo"], timestamp_ns)
            auth_info = auth_info_bytes(key.public_key, gas_limit, fee)
            document = sign_doc_bytes(body, auth_info, case["chain_id"], case["account_number"])
            assert body.hex() == expected["body_bytes"]
            assert auth_info.hex() == expected["auth_info_bytes"]
            assert document.hex() == expected["sign_doc"]
            signature = bytes.fromhex(expected["signature"])
            assert verify_signature(key.public_key, document, signature)
            built = build_transaction(
                messages,
                key,
                account_number=case["account_number"],
                chain_id=case["chain_id"],
                gas_limit=gas_limit,
                fee=fee,
                memo=expected["memo"],
                timeout_timestamp_ns=timestamp_ns,
            )
            assert built.tx_bytes.hex() == expected["tx_raw"]
            assert built.tx_hash == expected["tx_hash"]


def test_messages_have_the_recorded_fields() -> None:
    """The value bytes of a message are its fields as the vectors list them, and nothing more."""
    for case in load("transactions.json")["cases"]:
        for one, message in zip(case["messages"], messages_of(case), strict=True):
            built = type(message)(supplier_operator_address=one["supplier_operator_address"])
            for name, value in one["session_header"].items():
                setattr(built.session_header, name, value)
            data = "root_hash" if "root_hash" in one else "proof"
            setattr(built, data, bytes.fromhex(one[data]))
            assert built == message


def test_fees_are_those_of_the_go_client() -> None:
    """Price times gas, rounded up; nothing to pay is no coin."""
    table = load("transactions.json")["fee_table"]
    assert table
    for row in table:
        fee = parse_gas_price(row["gas_price"]).fee(row["gas_limit"])
        assert (f"{fee.amount}{fee.denomination}" if fee else "") == row["fee_coins"], row


def refusing(case: dict[str, Any]) -> GrpcNode:
    """A node that answers Simulate and BroadcastTx as the real one did for this case."""
    simulate, broadcast = case["simulate"], case["broadcast_sync"]

    def reply(method: str, _request: bytes) -> Reply:
        recorded = simulate if method.endswith("/Simulate") else broadcast
        response = base64.b64decode(recorded["response"] or "")
        return recorded["grpc_status"], recorded["grpc_details"], response

    return GrpcNode(reply)


async def test_refusals_of_a_real_chain_are_typed() -> None:
    """Simulate's and CheckTx's refusals become errors with codespace, code, log, message index."""
    cases = load("localnet/tx_errors.json")
    assert cases
    message = proof_pb2.MsgCreateClaim(supplier_operator_address="pokt1x")
    key = SigningKey.from_seed(b"supplier")
    for case in cases:
        node = refusing(case)
        with node.serve() as target:
            async with ChainQueries(ChainSettings(grpc_url=target)) as chain:
                client = TxClient(chain, TransactionSettings(), "pocket", lambda: NANOSECONDS)
                client._account_numbers[key.address] = 7
                await submit_as_recorded(client, message, key, case)


async def submit_as_recorded(
    client: TxClient, message: Message, key: SigningKey, case: dict[str, Any]
) -> None:
    """Submit with gas simulated and with gas given; both end as the recording says."""
    simulate = case["simulate"]
    if simulate["grpc_status"]:
        with pytest.raises(SimulationRefusedError) as refused:
            await client.submit([message], key, 120)
        assert simulate["grpc_details"] in refused.value.details
        in_message = simulate["grpc_details"].startswith("failed to execute message")
        assert refused.value.message_index == (0 if in_message else None), case["case"]
    decoded = case["broadcast_sync"]["decoded"]
    if decoded["code"] in {0, 19}:
        submitted = await client.submit([message], key, 120, gas_limit=100_000)
        assert (submitted.code, submitted.fee_upokt) == (decoded["code"], 1)
        return
    # The account number is asked for again after a bad signature; this node cannot say it.
    client._account_numbers[key.address] = 7
    with pytest.raises(TransactionRefusedError) as refusal:
        await client._send([message], key, NANOSECONDS, 100_000)
    error = refusal.value
    assert (error.codespace, error.code) == (decoded["codespace"], decoded["code"])
    assert error.raw_log == decoded["raw_log"]
