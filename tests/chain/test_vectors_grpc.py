"""What the Go fleet asked a real chain: we ask in the same bytes, and read the answers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query_pb2
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query_pb2
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2 as tx_service_pb2
from google.protobuf.json_format import MessageToDict

from relayminer.chain.accounts import Account
from relayminer.chain.errors import ChainQueryError, NotFoundError, UnsupportedQueryError
from relayminer.chain.grpc_channel import GrpcChannel
from relayminer.chain.queries import Broadcast, ChainQueries
from relayminer.config.chain import ChainSettings
from relayminer.protocol.pb import (
    application_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from tests.chain.grpc_node import GrpcNode, Reply
from tests.vector_data import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

pytestmark = pytest.mark.vectors

RECORDINGS = [
    "cosmos.auth.v1beta1.Query__Account.json",
    "cosmos.bank.v1beta1.Query__Balance.json",
    "cosmos.tx.v1beta1.Service__BroadcastTx.json",
    "cosmos.tx.v1beta1.Service__GetTxsEvent.json",
    "cosmos.tx.v1beta1.Service__Simulate.json",
    "pocket.application.Query__Application.json",
    "pocket.proof.Query__AllClaims.json",
    "pocket.proof.Query__Claim.json",
    "pocket.proof.Query__Params.json",
    "pocket.service.Query__ComputeUnitsPerRelayAtHeight.json",
    "pocket.service.Query__RelayMiningDifficultyAtHeight.json",
    "pocket.service.Query__Service.json",
    "pocket.session.Query__GetSession.json",
    "pocket.session.Query__Params.json",
    "pocket.shared.Query__Params.json",
    "pocket.shared.Query__ParamsAtHeight.json",
    "pocket.supplier.Query__Params.json",
    "pocket.supplier.Query__Supplier.json",
]

# Method -> type of the request, type of the answer, how we ask, and what of the answer we return.
METHODS: dict[str, tuple[type[Message], type[Message], Callable[..., Awaitable[Any]], str]] = {
    "/pocket.shared.Query/Params": (
        shared_pb2.QueryParamsRequest,
        shared_pb2.QueryParamsResponse,
        lambda chain, _: chain.shared_params(),
        "params",
    ),
    "/pocket.shared.Query/ParamsAtHeight": (
        shared_pb2.QueryParamsAtHeightRequest,
        shared_pb2.QueryParamsAtHeightResponse,
        lambda chain, asked: chain.shared_params_at(asked.height),
        "params",
    ),
    "/pocket.session.Query/Params": (
        session_pb2.QueryParamsRequest,
        session_pb2.QueryParamsResponse,
        lambda chain, _: chain.session_params(),
        "params",
    ),
    "/pocket.session.Query/GetSession": (
        session_pb2.QueryGetSessionRequest,
        session_pb2.QueryGetSessionResponse,
        lambda chain, asked: chain.session(
            asked.application_address, asked.service_id, asked.block_height
        ),
        "session",
    ),
    "/pocket.application.Query/Application": (
        application_pb2.QueryGetApplicationRequest,
        application_pb2.QueryGetApplicationResponse,
        lambda chain, asked: chain.application(asked.address),
        "application",
    ),
    "/pocket.application.Query/Params": (
        application_pb2.QueryParamsRequest,
        application_pb2.QueryParamsResponse,
        lambda chain, _: chain.application_params(),
        "params",
    ),
    "/pocket.supplier.Query/Supplier": (
        supplier_pb2.QueryGetSupplierRequest,
        supplier_pb2.QueryGetSupplierResponse,
        lambda chain, asked: chain.supplier(asked.operator_address),
        "supplier",
    ),
    "/pocket.supplier.Query/Params": (
        supplier_pb2.QueryParamsRequest,
        supplier_pb2.QueryParamsResponse,
        lambda chain, _: chain.supplier_params(),
        "params",
    ),
    "/pocket.service.Query/Service": (
        service_pb2.QueryGetServiceRequest,
        service_pb2.QueryGetServiceResponse,
        lambda chain, asked: chain.service(asked.id),
        "service",
    ),
    "/pocket.service.Query/RelayMiningDifficultyAtHeight": (
        service_pb2.QueryGetRelayMiningDifficultyAtHeightRequest,
        service_pb2.QueryGetRelayMiningDifficultyAtHeightResponse,
        lambda chain, asked: chain.difficulty_at(asked.serviceId, asked.blockHeight),
        "relayMiningDifficulty",
    ),
    "/pocket.service.Query/ComputeUnitsPerRelayAtHeight": (
        service_pb2.QueryComputeUnitsPerRelayAtHeightRequest,
        service_pb2.QueryComputeUnitsPerRelayAtHeightResponse,
        lambda chain, asked: chain.compute_units_at(asked.serviceId, asked.blockHeight),
        "computeUnitsPerRelay",
    ),
    "/pocket.proof.Query/Params": (
        proof_pb2.QueryParamsRequest,
        proof_pb2.QueryParamsResponse,
        lambda chain, _: chain.proof_params(),
        "params",
    ),
    "/pocket.proof.Query/Claim": (
        proof_pb2.QueryGetClaimRequest,
        proof_pb2.QueryGetClaimResponse,
        lambda chain, asked: chain.claim(asked.session_id, asked.supplier_operator_address),
        "claim",
    ),
    "/pocket.proof.Query/AllClaims": (
        proof_pb2.QueryAllClaimsRequest,
        proof_pb2.QueryAllClaimsResponse,
        lambda chain, asked: chain.claims_of(asked.supplier_operator_address),
        "claims",
    ),
    "/cosmos.auth.v1beta1.Query/Account": (
        auth_query_pb2.QueryAccountRequest,
        auth_query_pb2.QueryAccountResponse,
        lambda chain, asked: chain.account(asked.address),
        "account",
    ),
    "/cosmos.bank.v1beta1.Query/Balance": (
        bank_query_pb2.QueryBalanceRequest,
        bank_query_pb2.QueryBalanceResponse,
        lambda chain, asked: chain.balance(asked.address),
        "balance",
    ),
    "/cosmos.tx.v1beta1.Service/Simulate": (
        tx_service_pb2.SimulateRequest,
        tx_service_pb2.SimulateResponse,
        lambda chain, asked: chain.simulate(asked.tx_bytes),
        "gas_info",
    ),
    "/cosmos.tx.v1beta1.Service/BroadcastTx": (
        tx_service_pb2.BroadcastTxRequest,
        tx_service_pb2.BroadcastTxResponse,
        lambda chain, asked: chain.broadcast(asked.tx_bytes),
        "tx_response",
    ),
    "/cosmos.tx.v1beta1.Service/GetTx": (
        tx_service_pb2.GetTxRequest,
        tx_service_pb2.GetTxResponse,
        lambda chain, asked: chain.transaction(asked.hash),
        "tx_response",
    ),
}
NOT_FOUND, UNIMPLEMENTED = 5, 12


def samples(recorded: list[dict[str, Any]]) -> list[tuple[str, bytes, Reply]]:
    """`(method, request, reply)` of recordings."""
    return [
        (
            sample["method"],
            base64.b64decode(sample["request"]),
            (
                sample["status"],
                sample["status_details"],
                base64.b64decode(sample["response"] or ""),
            ),
        )
        for sample in recorded
    ]


def same(returned: Any, expected: Any) -> bool:
    """Whether what a query returned says what the recorded message says."""
    if isinstance(returned, Account):
        return returned.address in str(expected.value)
    if isinstance(returned, Broadcast):
        return (returned.tx_hash, returned.code, returned.raw_log) == (
            expected.txhash,
            expected.code,
            expected.raw_log,
        )
    if isinstance(returned, list):
        return returned == list(expected)
    if isinstance(returned, int) and not isinstance(expected, int):
        fields = MessageToDict(expected, preserving_proto_field_name=True)
        return str(returned) == str(fields.get("amount", fields.get("gas_used")))
    return bool(returned == expected)


def canonical(method: str, request: bytes) -> bytes:
    """The question without what the Go client leaves at its default and we say, or the reverse."""
    if method == "/pocket.proof.Query/AllClaims":
        asked = proof_pb2.QueryAllClaimsRequest.FromString(request)
        asked.ClearField("pagination")
        return asked.SerializeToString()
    return request


async def replay(recorded: list[tuple[str, bytes, Reply]]) -> int:
    """Ask what was asked, compare question and answer; how many questions we know."""
    current: Reply = (0, "", b"")
    node = GrpcNode(lambda _method, _request: current)
    known = 0
    with node.serve() as target:
        async with ChainQueries(ChainSettings(grpc_url=target)) as chain:
            for method, request, reply in recorded:
                if method not in METHODS or not is_ours(method, request):
                    continue
                known += 1
                current = reply
                request_type, answer_type, ask, field = METHODS[method]
                await compare(
                    ask(chain, request_type.FromString(request)), reply, answer_type, field
                )
                asked_method, asked_bytes = node.asked[-1]
                assert asked_method == method
                assert canonical(method, asked_bytes) == canonical(method, request)
                assert "x-cosmos-block-height" not in node.metadata
    return known


def is_ours(method: str, request: bytes) -> bool:
    """Whether we ever ask this: claims are asked for by supplier, pinned params at a height."""
    if method == "/pocket.proof.Query/AllClaims":
        asked = proof_pb2.QueryAllClaimsRequest.FromString(request)
        return bool(asked.supplier_operator_address)
    return True


async def compare(
    answer: Awaitable[Any], reply: Reply, answer_type: type[Message], field: str
) -> None:
    """The answer is what was recorded: a value, or the error that the status means."""
    status, details, response = reply
    if status:
        with pytest.raises(ChainQueryError if status != NOT_FOUND else NotFoundError) as caught:
            await answer
        assert details in str(caught.value)
        assert isinstance(caught.value, UnsupportedQueryError) == (status == UNIMPLEMENTED)
    else:
        expected = getattr(answer_type.FromString(response), field)
        assert same(await answer, expected), field


@pytest.mark.parametrize("name", RECORDINGS)
async def test_recorded_questions_are_asked_in_the_same_bytes_and_answers_are_read(
    name: str,
) -> None:
    """Every recorded exchange of the Go fleet: same question, same meaning of the answer."""
    recording = load(f"localnet/grpc/{name}")
    method = recording["method"]
    recorded = samples([{**sample, "method": method} for sample in recording["samples"]])
    assert recorded
    # The one method that we never call: the Go fleet's calls of it all fail.
    expected = 0 if method.endswith("/GetTxsEvent") else len(recorded)
    assert await replay(recorded) == expected


async def test_the_index_names_every_recording() -> None:
    """No recorded method is forgotten."""
    index = load("localnet/grpc/index.json")
    assert sorted(entry["file"] for entry in index.values()) == [f"grpc/{n}" for n in RECORDINGS]


async def test_hand_made_questions_have_the_recorded_meaning() -> None:
    """Not found, malformed and unknown: only NOT_FOUND says that something does not exist."""
    assert await replay(samples(load("localnet/grpc_extra.json"))) > 20


async def test_an_unknown_method_is_an_unsupported_query() -> None:
    """A node that is too old is told apart from one that has a problem."""
    recorded = samples(load("localnet/grpc_extra.json"))
    method, request, reply = next(one for one in recorded if one[2][0] == UNIMPLEMENTED)
    node = GrpcNode(lambda _method, _request: reply)
    with node.serve() as target:
        channel = GrpcChannel(target, insecure=True, timeout_seconds=5, max_concurrent=1)
        async with channel:
            with pytest.raises(UnsupportedQueryError):
                await channel.call(
                    method,
                    shared_pb2.QueryParamsRequest.FromString(request),
                    shared_pb2.QueryParamsResponse,
                )
