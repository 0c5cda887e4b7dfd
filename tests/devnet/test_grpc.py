"""The chain's gRPC through a real grpcio client."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trio
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query_pb2

from relayminer.devnet.chain import QUERY_TYPES
from relayminer.devnet.faults import QueryFault
from relayminer.devnet.http_client import HttpClient
from relayminer.gateway.chain import GatewayChain
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.devnet.server import Devnet

BALANCE = "/cosmos.bank.v1beta1.Query/Balance"
PARAMS = "/pocket.shared.Query/Params"

# Recorded calls whose answer hangs on nothing but the chain's rules: whoever is staked, the
# address that the recording asks for is unknown here too, or is malformed.
SAME_EVERYWHERE = {
    "app address",
    "gateway not found",
    "supplier with operator address",
    "invalid operator address",
    "service ID not found",
    "serviceID: no-such",
    "empty address string",
    "session ID",
    "decoding bech32 failed",
    "invalid address",
    "tx not found",
    "unknown",
}


@pytest.fixture
async def channel(devnet: Devnet) -> AsyncIterator[grpc.Channel]:
    """A channel of the real client."""
    channel = grpc.insecure_channel(devnet.info.grpc_url)
    yield channel
    channel.close()


async def call(channel: grpc.Channel, method: str, request: bytes) -> tuple[int, str, bytes]:
    """Status code, message and response bytes of one call."""
    function = channel.unary_unary(method)
    try:
        answer = await trio.to_thread.run_sync(partial(function, request, timeout=10))
    except grpc.RpcError as error:
        return error.code().value[0], error.details(), b""
    return 0, "", answer


def extra() -> list[dict[str, Any]]:
    """The recorded hand-made calls."""
    calls: list[dict[str, Any]] = load("localnet/grpc_extra.json")
    return calls


@pytest.mark.vectors
async def test_recorded_refusals(channel: grpc.Channel) -> None:
    """Unknown, malformed and unimplemented calls get the recorded status and text."""
    refused = [
        each
        for each in extra()
        if any(each["status_details"].startswith(start) for start in SAME_EVERYWHERE)
    ]
    assert len(refused) >= 15
    for each in refused:
        answer = await call(channel, each["method"], base64.b64decode(each["request"]))
        assert answer == (each["status"], each["status_details"], b""), each["method"]


@pytest.mark.vectors
def test_recorded_methods_are_served() -> None:
    """Every query of the catalogue that was recorded is known to this server."""
    methods = {each["method"] for each in extra() if each["status"] != 12}
    optional = {method for method in methods if method.startswith("/cosmos.base.")}
    assert methods - optional <= set(QUERY_TYPES)


@pytest.mark.vectors
async def test_recorded_params_have_the_same_fields(channel: grpc.Channel) -> None:
    """The params of every module decode and set the fields that the recorded ones set."""
    for each in extra():
        if each["method"].startswith("/pocket.") and each["method"].endswith("/Params"):
            status, _, answer = await call(channel, each["method"], b"")
            response_type: Any = QUERY_TYPES[each["method"]][1]
            live = response_type.FromString(answer)
            recorded = response_type.FromString(base64.b64decode(each["response"]))
            assert status == 0
            live_fields = {field.name for field, _ in live.params.ListFields()}
            assert live_fields == {field.name for field, _ in recorded.params.ListFields()}


async def test_height_metadata(devnet: Devnet, channel: grpc.Channel) -> None:
    """Answers carry the height that they were read at."""
    await devnet.node.step(4)
    function = channel.unary_unary(PARAMS)
    _, answered = await trio.to_thread.run_sync(partial(function.with_call, b"", timeout=10))
    assert ("x-cosmos-block-height", "5") in [tuple(each) for each in answered.initial_metadata()]


async def test_many_calls_on_one_connection(devnet: Devnet, channel: grpc.Channel) -> None:
    """One connection carries more calls than HTTP/2 has concurrent streams."""
    address = devnet.info.suppliers[0].address
    request = bank_query_pb2.QueryBalanceRequest(address=address, denom="upokt")
    encoded = request.SerializeToString()
    answers = set()

    async def ask() -> None:
        for _ in range(30):
            answers.add(await call(channel, BALANCE, encoded))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    [(status, _, answer)] = answers
    assert status == 0
    assert int(bank_query_pb2.QueryBalanceResponse.FromString(answer).balance.amount) > 0


async def test_faults(devnet: Devnet, channel: grpc.Channel) -> None:
    """A planned failure hits as many calls as planned; an outage hits all."""
    devnet.node.faults.fail_query(PARAMS, QueryFault(4, "too late"), calls=2)
    for _ in range(2):
        assert await call(channel, PARAMS, b"") == (4, "too late", b"")
    assert (await call(channel, PARAMS, b""))[0] == 0
    devnet.node.faults.grpc_down = True
    assert (await call(channel, PARAMS, b""))[0] == 14


async def test_a_gateway_opens_sessions(devnet: Devnet) -> None:
    """The gateway's queries find a session, its ring and the suppliers' endpoints."""
    application = devnet.info.applications[0]
    service_id = application.service_ids[0]
    async with GatewayChain(devnet.info.grpc_url) as chain:
        session = await chain.open_session(service_id, application.address)
        params = await chain.shared_params()
    assert session.header.service_id == service_id
    assert session.num_blocks == params.num_blocks_per_session
    assert len(session.ring) == 1 + len(devnet.info.gateways)
    expected = {party.address for party in devnet.info.suppliers if service_id in party.service_ids}
    assert set(session.endpoints) == expected
    assert {each.url for each in session.endpoints.values()} == {devnet.info.relayer_url}


async def test_changed_params_are_queried(devnet: Devnet, channel: grpc.Channel) -> None:
    """The control surface changes params in the next block; queries show them."""
    async with HttpClient() as http:
        answer = await http.request(
            "POST",
            f"{devnet.info.control_url}/control/params/proof",
            headers=(("Content-Type", "application/json"),),
            body=json.dumps({"proof_request_probability": 0.25}).encode(),
        )
    assert (answer.status, json.loads(answer.body)) == (200, {"height": 2})
    await devnet.node.step()
    response_type: Any = QUERY_TYPES["/pocket.proof.Query/Params"][1]
    _, _, data = await call(channel, "/pocket.proof.Query/Params", b"")
    assert response_type.FromString(data).params.proof_request_probability == 0.25
