"""Staking and unstaking suppliers. Source: poktroll: x/supplier/keeper."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relayminer.devnet.chain import accounts, bank, params, services, sessions, suppliers
from relayminer.devnet.chain.codes import (
    SHARED_UNAUTHORIZED_SUPPLIER_UPDATE,
    SUPPLIER_INVALID_ADDRESS,
    SUPPLIER_INVALID_CONFIG,
    SUPPLIER_INVALID_STAKE,
    SUPPLIER_IS_UNSTAKING,
    SUPPLIER_NOT_FOUND,
    SUPPLIER_SERVICE_NOT_FOUND,
)
from relayminer.devnet.chain.errors import ChainError, GrpcCode, StatusError
from relayminer.devnet.chain.text import address_problem
from relayminer.devnet.chain.values import UPOKT
from relayminer.protocol.pb import shared_pb2, supplier_pb2

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context

URL_SCHEMES = frozenset({"http", "https", "ws", "wss"})
SHARES_SUM = 100


def check_stake(message: supplier_pb2.MsgStakeSupplier) -> None:
    """What CheckTx refuses: bad addresses, stake or service configurations."""
    for role, address in (
        ("owner", message.owner_address),
        ("operator", message.operator_address),
        ("signer", message.signer),
    ):
        problem = address_problem(address)
        if problem is not None:
            raise SUPPLIER_INVALID_ADDRESS(f"invalid {role} address {address}; ({problem})")
    if message.HasField("stake") and (
        message.stake.denom != UPOKT or bank.amount_of(message.stake) <= 0
    ):
        raise SUPPLIER_INVALID_STAKE(f"invalid stake {message.stake.amount}{message.stake.denom}")
    if not message.services:
        return
    if message.signer != message.operator_address:
        raise SUPPLIER_INVALID_CONFIG(
            "only the operator account is authorized to update the service configurations"
        )
    for config in message.services:
        problem = _config_problem(config)
        if problem is not None:
            raise SUPPLIER_INVALID_CONFIG(problem)


def _config_problem(config: shared_pb2.SupplierServiceConfig) -> str | None:
    try:
        sessions.check_service_id(config.service_id)
    except ChainError as error:
        return error.text
    for endpoint in config.endpoints:
        url = urlsplit(endpoint.url)
        if url.scheme not in URL_SCHEMES or not url.netloc:
            return f"invalid endpoint.Url: {endpoint.url}"
        if endpoint.rpc_type == shared_pb2.UNKNOWN_RPC:
            return "endpoint.RpcType cannot be UNKNOWN_RPC"
    if not config.endpoints:
        return f"endpoints cannot be empty for service {config.service_id}"
    total = sum(share.rev_share_percentage for share in config.rev_share)
    if total != SHARES_SUM:
        return f"invalid rev share: percentages sum to {total}, expected {SHARES_SUM}"
    return None


def stake(ctx: Context, message: supplier_pb2.MsgStakeSupplier) -> None:
    """Stake a new supplier or change one; configurations hold from the next session on."""
    try:
        check_stake(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    for config in message.services:
        if services.find(ctx.store, config.service_id) is None:
            text = SUPPLIER_SERVICE_NOT_FOUND(f'service "{config.service_id}" does not exist').text
            raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    known = suppliers.record(ctx.store, message.operator_address)
    supplier = shared_pb2.Supplier(
        owner_address=message.owner_address, operator_address=message.operator_address
    )
    if known is not None:
        _check_change(message, known)
    if message.HasField("stake"):
        supplier.stake.CopyFrom(message.stake)
    elif known is not None:
        supplier.stake.CopyFrom(known.stake)
    else:
        text = SUPPLIER_INVALID_STAKE(
            "when staking a new supplier, the stake amount MUST be non-nil"
        ).text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    before = 0 if known is None else bank.amount_of(known.stake)
    _move_stake(ctx, message, before, bank.amount_of(supplier.stake))
    if message.services:
        _change_configs(ctx, message)
    suppliers.put_record(ctx.store, supplier)
    ctx.emit(
        supplier_pb2.EventSupplierStaked(
            session_end_height=params.session_end(ctx.store, ctx.height),
            operator_address=supplier.operator_address,
        )
    )


def _check_change(message: supplier_pb2.MsgStakeSupplier, known: shared_pb2.Supplier) -> None:
    signer = message.signer
    if signer not in {known.owner_address, known.operator_address}:
        detail = (
            f"signer address {signer} does not match owner address {message.owner_address} or "
            f"supplier operator address {message.operator_address}"
        )
    elif known.owner_address not in {message.owner_address, signer}:
        detail = (
            f'signer "{signer}" is not allowed to update the owner address "{known.owner_address}"'
        )
    elif known.unstake_session_end_height and signer != known.owner_address:
        detail = (
            f'signer "{signer}" is not allowed to cancel the unbonding of supplier with owner '
            f'"{known.owner_address}"; only the owner can cancel an in-progress unstake'
        )
        text = SHARED_UNAUTHORIZED_SUPPLIER_UPDATE(detail).text
        raise StatusError(GrpcCode.PERMISSION_DENIED, text)
    else:
        return
    text = SHARED_UNAUTHORIZED_SUPPLIER_UPDATE(detail).text
    raise StatusError(GrpcCode.INVALID_ARGUMENT, text)


def _move_stake(
    ctx: Context, message: supplier_pb2.MsgStakeSupplier, before: int, wanted: int
) -> None:
    """Escrow or return the difference and take the staking fee."""
    rules = params.supplier(ctx.store)
    least = bank.amount_of(rules.min_stake)
    if wanted < least:
        text = SUPPLIER_INVALID_STAKE(
            f'supplier with owner "{message.owner_address}" must stake at least '
            f"{bank.coin_text(least)}"
        ).text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    try:
        if wanted > before:
            coins = bank.upokt(wanted - before)
            bank.send_to_module(ctx, message.signer, "supplier", coins)
        elif wanted < before:
            coins = bank.upokt(before - wanted)
            bank.send_from_module(ctx, "supplier", message.owner_address, coins)
            accounts.ensure(ctx.store, message.owner_address)
    except ChainError as error:
        raise StatusError(GrpcCode.INTERNAL, error.text) from error
    try:
        fee = bank.upokt(bank.amount_of(rules.staking_fee))
        bank.send_to_module(ctx, message.signer, "supplier", fee)
    except ChainError as error:
        raise StatusError(GrpcCode.FAILED_PRECONDITION, error.text) from error


def _change_configs(ctx: Context, message: supplier_pb2.MsgStakeSupplier) -> None:
    """The message's configurations from the next session on; all others end with it."""
    operator = message.operator_address
    start = params.next_session_start(ctx.store, ctx.height)
    updates = [
        shared_pb2.ServiceConfigUpdate(
            operator_address=operator, service=config, activation_height=start
        )
        for config in message.services
    ]
    replaced = {config.service_id for config in message.services}
    for update in suppliers.history(ctx.store, operator):
        if update.activation_height == start and update.service.service_id in replaced:
            continue
        if update.deactivation_height:
            updates.append(update)
        else:
            updates.extend(suppliers.deactivated([update], start))
    suppliers.put_history(ctx.store, operator, updates)


def check_unstake(message: supplier_pb2.MsgUnstakeSupplier) -> None:
    """What CheckTx refuses: bad addresses."""
    for role, address in (("signer", message.signer), ("operator", message.operator_address)):
        problem = address_problem(address)
        if problem is not None:
            raise SUPPLIER_INVALID_ADDRESS(f"invalid {role} address {address}; ({problem})")


def unstake(ctx: Context, message: supplier_pb2.MsgUnstakeSupplier) -> None:
    """Begin to unbond a supplier at the end of the current session."""
    try:
        check_unstake(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    operator = message.operator_address
    known = suppliers.record(ctx.store, operator)
    named = f'supplier with operator address "{operator}"'
    if known is None:
        raise StatusError(GrpcCode.NOT_FOUND, SUPPLIER_NOT_FOUND(named).text)
    if message.signer not in {known.operator_address, known.owner_address}:
        text = SHARED_UNAUTHORIZED_SUPPLIER_UPDATE(
            f'signer "{message.signer}" is not allowed to unstake supplier {operator}'
        ).text
        raise StatusError(GrpcCode.PERMISSION_DENIED, text)
    if known.unstake_session_end_height:
        raise StatusError(GrpcCode.FAILED_PRECONDITION, SUPPLIER_IS_UNSTAKING(named).text)
    supplier = shared_pb2.Supplier()
    supplier.CopyFrom(known)
    end_height = params.session_end(ctx.store, ctx.height)
    supplier.unstake_session_end_height = end_height
    updates = suppliers.deactivated(suppliers.history(ctx.store, operator), end_height + 1)
    suppliers.put_history(ctx.store, operator, updates)
    suppliers.put_record(ctx.store, supplier)
    ctx.emit(
        supplier_pb2.EventSupplierUnbondingBegin(
            supplier=supplier,
            reason=supplier_pb2.SUPPLIER_UNBONDING_REASON_VOLUNTARY,
            session_end_height=end_height,
            unbonding_end_height=suppliers.unbonding_end(params.shared(ctx.store), supplier),
        )
    )
