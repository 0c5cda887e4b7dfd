"""The queries of the Cosmos modules: accounts, balances, blocks, transactions (wire 6, 7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.auth.v1beta1 import auth_pb2
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmpy.protos.cosmos.base.abci.v1beta1 import abci_pb2
from cosmpy.protos.cosmos.base.tendermint.v1beta1 import query_pb2 as comet_query
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2 as tx_service
from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import Tx
from cosmpy.protos.tendermint.abci.types_pb2 import Event as AbciEvent
from cosmpy.protos.tendermint.abci.types_pb2 import EventAttribute
from cosmpy.protos.tendermint.types import block_pb2, types_pb2

from relayminer.devnet.chain import accounts, ante, bank, comet, gas
from relayminer.devnet.chain.errors import GrpcCode, HeightError, QueryError
from relayminer.devnet.chain.tables import BALANCES
from relayminer.devnet.chain.text import address_problem, rfc3339
from relayminer.devnet.chain.transactions import decode_transaction, tx_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.chain import Chain
    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.values import Block, Event, IncludedTx

DEFAULT_LIMIT = 100


def auth_params(
    ctx: Context,
    request: auth_query.QueryParamsRequest,  # noqa: ARG001 - the form of every query
) -> auth_query.QueryParamsResponse:
    """The limits of the ante chain."""
    del ctx
    return auth_query.QueryParamsResponse(
        params=auth_pb2.Params(
            max_memo_characters=ante.MEMO_CHARACTERS_MAX,
            tx_sig_limit=ante.SIGNATURES_MAX,
            tx_size_cost_per_byte=gas.TX_BYTE,
            sig_verify_cost_ed25519=590,
            sig_verify_cost_secp256k1=gas.SIGNATURE,
        )
    )


def account(
    ctx: Context, request: auth_query.QueryAccountRequest
) -> auth_query.QueryAccountResponse:
    """An account by address."""
    if not request.address:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "Address cannot be empty")
    problem = address_problem(request.address)
    if problem is not None:
        raise QueryError(GrpcCode.UNKNOWN, problem)
    found = accounts.find(ctx.store, request.address)
    if found is None:
        raise QueryError(GrpcCode.NOT_FOUND, f"account {request.address} not found")
    return auth_query.QueryAccountResponse(account=accounts.as_any(found))


def balance(
    ctx: Context, request: bank_query.QueryBalanceRequest
) -> bank_query.QueryBalanceResponse:
    """What an address holds of a denomination."""
    _bank_address(request.address)
    if not request.denom:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "invalid denom: ")
    amount = bank.balance(ctx, request.address, request.denom)
    return bank_query.QueryBalanceResponse(balance=bank.coin(amount, request.denom))


def all_balances(
    ctx: Context, request: bank_query.QueryAllBalancesRequest
) -> bank_query.QueryAllBalancesResponse:
    """Everything that an address holds."""
    _bank_address(request.address)
    coins = [
        bank.coin(amount, denom)
        for (address, denom), amount in ctx.store.items(BALANCES)
        if address == request.address
    ]
    response = bank_query.QueryAllBalancesResponse(balances=coins)
    response.pagination.total = len(coins)
    return response


def supply_of(
    ctx: Context, request: bank_query.QuerySupplyOfRequest
) -> bank_query.QuerySupplyOfResponse:
    """All there is of a denomination."""
    amount = bank.coin(bank.supply(ctx, request.denom), request.denom)
    return bank_query.QuerySupplyOfResponse(amount=amount)


def _bank_address(address: str) -> None:
    problem = address_problem(address)
    if problem is not None:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, f"invalid address: {problem}")


def latest_block(
    chain: Chain,
    request: comet_query.GetLatestBlockRequest,  # noqa: ARG001 - the form of every query
) -> comet_query.GetLatestBlockResponse:
    """The last block."""
    return _block_response(chain, None, comet_query.GetLatestBlockResponse)


def block_by_height(
    chain: Chain, request: comet_query.GetBlockByHeightRequest
) -> comet_query.GetBlockByHeightResponse:
    """A block by its height."""
    return _block_response(chain, request.height, comet_query.GetBlockByHeightResponse)


def _block_response(chain: Chain, height: int | None, kind: type) -> object:
    try:
        block = chain.block(height)
    except HeightError as error:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, str(error)) from error
    response = kind()
    response.block_id.CopyFrom(comet.block_id_message(block.block_id))
    response.block.CopyFrom(_block_message(block))
    return response


def _block_message(block: Block) -> block_pb2.Block:
    return block_pb2.Block(
        header=comet.header_message(block.header),
        data=types_pb2.Data(txs=list(block.txs)),
        last_commit=comet.commit_message(block.last_commit),
    )


def simulate(chain: Chain, request: tx_service.SimulateRequest) -> tx_service.SimulateResponse:
    """Run a transaction without a trace; a failure is UNKNOWN with the gas used till then."""
    raw = request.tx_bytes
    if not raw and request.HasField("tx"):
        raw = request.tx.SerializeToString()
    if not raw:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "empty txBytes is not allowed")
    result = chain.simulate(raw)
    response = tx_service.SimulateResponse()
    response.gas_info.gas_wanted = result.gas_wanted
    response.gas_info.gas_used = result.gas_used
    response.result.data = result.data
    response.result.events.extend(abci_events(result.events))
    for type_url, value in result.msg_responses:
        response.result.msg_responses.add(type_url=type_url, value=value)
    return response


def broadcast(
    chain: Chain, request: tx_service.BroadcastTxRequest
) -> tx_service.BroadcastTxResponse:
    """CheckTx and into the mempool; only SYNC and ASYNC are supported."""
    if not request.tx_bytes:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "invalid empty tx")
    if request.mode not in {
        tx_service.BROADCAST_MODE_SYNC,
        tx_service.BROADCAST_MODE_ASYNC,
    }:
        raise QueryError(
            GrpcCode.UNKNOWN,
            f"unsupported return type {request.mode}; supported types: sync, async",
        )
    result = chain.broadcast(request.tx_bytes)
    return tx_service.BroadcastTxResponse(
        tx_response=abci_pb2.TxResponse(
            txhash=tx_hash(request.tx_bytes).hex().upper(),
            codespace=result.codespace,
            code=result.code,
            raw_log=result.log,
        )
    )


def get_tx(chain: Chain, request: tx_service.GetTxRequest) -> tx_service.GetTxResponse:
    """An included transaction by hash."""
    if not request.hash:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "tx hash cannot be empty")
    try:
        digest = bytes.fromhex(request.hash)
    except ValueError as error:
        raise QueryError(GrpcCode.UNKNOWN, f"encoding/hex: invalid byte: {error}") from error
    found = chain.tx(digest)
    if found is None:
        raise QueryError(GrpcCode.NOT_FOUND, f"tx not found: {request.hash}")
    return tx_service.GetTxResponse(tx=_tx_message(found), tx_response=_tx_response(found))


def txs_by_event(
    chain: Chain, request: tx_service.GetTxsEventRequest
) -> tx_service.GetTxsEventResponse:
    """Included transactions by a query; the deprecated `events` are not looked at."""
    if not request.query:
        raise QueryError(GrpcCode.INTERNAL, "query cannot be empty")
    descending = request.order_by == tx_service.ORDER_BY_DESC
    found = chain.search(request.query, descending=descending)
    limit = request.limit or DEFAULT_LIMIT
    start = (max(1, request.page) - 1) * limit
    chosen = found[start : start + limit]
    return tx_service.GetTxsEventResponse(
        txs=[_tx_message(each) for each in chosen],
        tx_responses=[_tx_response(each) for each in chosen],
        total=len(found),
    )


def abci_events(events: Iterable[Event]) -> list[AbciEvent]:
    """Events as protobuf messages."""
    return [
        AbciEvent(
            type=event.type,
            attributes=[
                EventAttribute(key=each.key, value=each.value, index=True)
                for each in event.attributes
            ],
        )
        for event in events
    ]


def _tx_message(included: IncludedTx) -> Tx:
    message = Tx()
    message.ParseFromString(decode_transaction(included.tx).raw_tx.SerializeToString())
    return message


def _tx_response(included: IncludedTx) -> abci_pb2.TxResponse:
    result = included.result
    return abci_pb2.TxResponse(
        height=included.height,
        txhash=included.hash.hex().upper(),
        codespace=result.codespace,
        code=result.code,
        data=result.data.hex().upper(),
        raw_log=result.log,
        gas_wanted=result.gas_wanted,
        gas_used=result.gas_used,
        tx=accounts.pack_any("/cosmos.tx.v1beta1.Tx", _tx_message(included)),
        timestamp=rfc3339(included.time_ns // 1_000_000_000 * 1_000_000_000),
        events=abci_events(result.events),
    )
