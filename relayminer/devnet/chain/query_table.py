"""Every query that the chain answers, by gRPC method path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmpy.protos.cosmos.base.tendermint.v1beta1 import query_pb2 as comet_query
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2 as tx_service

from relayminer.devnet.chain import cosmos_queries, params, queries
from relayminer.protocol.pb import (
    application_pb2,
    gateway_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
    tokenomics_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from relayminer.devnet.chain.context import Context


@frozen(slots=True)
class Query:
    """One query: its messages, and what answers it from the state or from the chain."""

    request_type: type[Message]
    response_type: type[Message]
    answer: Callable[[Any, Any], Any]
    """Gets a Context, or the Chain when `of_chain`, and the request."""
    of_chain: bool = False


def _live_params(module: Any, name: str) -> Query:
    def answer(ctx: Context, _request: object) -> Message:
        value = params.live(ctx.store, name, module.Params)
        response: Message = module.QueryParamsResponse(params=value)
        return response

    return Query(module.QueryParamsRequest, module.QueryParamsResponse, answer)


def _query(module: Any, name: str, answer: Callable[[Any, Any], Any]) -> Query:
    request_type, response_type = (
        getattr(module, f"Query{name}Request"),
        getattr(module, f"Query{name}Response"),
    )
    return Query(request_type, response_type, answer)


_PARAMS = {
    "shared": shared_pb2,
    "session": session_pb2,
    "application": application_pb2,
    "gateway": gateway_pb2,
    "supplier": supplier_pb2,
    "service": service_pb2,
    "proof": proof_pb2,
    "tokenomics": tokenomics_pb2,
}
_POCKET: tuple[tuple[str, str, Any, str, Callable[[Any, Any], Any]], ...] = (
    ("shared", "ParamsAtHeight", shared_pb2, "ParamsAtHeight", queries.shared_at_height),
    ("session", "GetSession", session_pb2, "GetSession", queries.get_session),
    ("application", "Application", application_pb2, "GetApplication", queries.application),
    (
        "application",
        "AllApplications",
        application_pb2,
        "AllApplications",
        queries.all_applications,
    ),
    ("gateway", "Gateway", gateway_pb2, "GetGateway", queries.gateway),
    ("gateway", "AllGateways", gateway_pb2, "AllGateways", queries.all_gateways),
    ("supplier", "Supplier", supplier_pb2, "GetSupplier", queries.supplier),
    ("supplier", "AllSuppliers", supplier_pb2, "AllSuppliers", queries.all_suppliers),
    ("service", "Service", service_pb2, "GetService", queries.service),
    ("service", "AllServices", service_pb2, "AllServices", queries.all_services),
    (
        "service",
        "RelayMiningDifficulty",
        service_pb2,
        "GetRelayMiningDifficulty",
        queries.difficulty,
    ),
    (
        "service",
        "RelayMiningDifficultyAll",
        service_pb2,
        "AllRelayMiningDifficulty",
        queries.all_difficulties,
    ),
    (
        "service",
        "RelayMiningDifficultyAtHeight",
        service_pb2,
        "GetRelayMiningDifficultyAtHeight",
        queries.difficulty_at_height,
    ),
    (
        "service",
        "RelayMiningDifficultyHistory",
        service_pb2,
        "RelayMiningDifficultyHistory",
        queries.difficulty_history,
    ),
    (
        "service",
        "ComputeUnitsPerRelayAtHeight",
        service_pb2,
        "ComputeUnitsPerRelayAtHeight",
        queries.compute_units_at_height,
    ),
    (
        "service",
        "ComputeUnitsPerRelayHistory",
        service_pb2,
        "ComputeUnitsPerRelayHistory",
        queries.compute_units_history,
    ),
    ("proof", "Claim", proof_pb2, "GetClaim", queries.claim),
    ("proof", "AllClaims", proof_pb2, "AllClaims", queries.all_claims),
    ("proof", "Proof", proof_pb2, "GetProof", queries.proof),
    ("proof", "AllProofs", proof_pb2, "AllProofs", queries.all_proofs),
)

QUERIES: dict[str, Query] = {
    **{
        f"/pocket.{name}.Query/Params": _live_params(module, name)
        for name, module in _PARAMS.items()
    },
    **{
        f"/pocket.{module_name}.Query/{method}": _query(module, name, answer)
        for module_name, method, module, name, answer in _POCKET
    },
    "/cosmos.auth.v1beta1.Query/Params": _query(auth_query, "Params", cosmos_queries.auth_params),
    "/cosmos.auth.v1beta1.Query/Account": _query(auth_query, "Account", cosmos_queries.account),
    "/cosmos.bank.v1beta1.Query/Balance": _query(bank_query, "Balance", cosmos_queries.balance),
    "/cosmos.bank.v1beta1.Query/AllBalances": _query(
        bank_query, "AllBalances", cosmos_queries.all_balances
    ),
    "/cosmos.bank.v1beta1.Query/SupplyOf": _query(bank_query, "SupplyOf", cosmos_queries.supply_of),
    "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock": Query(
        comet_query.GetLatestBlockRequest,
        comet_query.GetLatestBlockResponse,
        cosmos_queries.latest_block,
        of_chain=True,
    ),
    "/cosmos.base.tendermint.v1beta1.Service/GetBlockByHeight": Query(
        comet_query.GetBlockByHeightRequest,
        comet_query.GetBlockByHeightResponse,
        cosmos_queries.block_by_height,
        of_chain=True,
    ),
    "/cosmos.tx.v1beta1.Service/Simulate": Query(
        tx_service.SimulateRequest,
        tx_service.SimulateResponse,
        cosmos_queries.simulate,
        of_chain=True,
    ),
    "/cosmos.tx.v1beta1.Service/BroadcastTx": Query(
        tx_service.BroadcastTxRequest,
        tx_service.BroadcastTxResponse,
        cosmos_queries.broadcast,
        of_chain=True,
    ),
    "/cosmos.tx.v1beta1.Service/GetTx": Query(
        tx_service.GetTxRequest, tx_service.GetTxResponse, cosmos_queries.get_tx, of_chain=True
    ),
    "/cosmos.tx.v1beta1.Service/GetTxsEvent": Query(
        tx_service.GetTxsEventRequest,
        tx_service.GetTxsEventResponse,
        cosmos_queries.txs_by_event,
        of_chain=True,
    ),
}
"""All queries by method path."""

QUERY_TYPES: dict[str, tuple[type[Message], type[Message]]] = {
    method: (query.request_type, query.response_type) for method, query in QUERIES.items()
}
"""Request and response class of every query."""
