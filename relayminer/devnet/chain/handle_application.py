"""Staking, unstaking and delegating applications. Source: poktroll: x/application/keeper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import applications, bank, params, sessions
from relayminer.devnet.chain.codes import (
    APPLICATION_ALREADY_DELEGATED,
    APPLICATION_GATEWAY_NOT_FOUND,
    APPLICATION_INVALID_ADDRESS,
    APPLICATION_INVALID_CONFIGS,
    APPLICATION_INVALID_GATEWAY,
    APPLICATION_INVALID_STAKE,
    APPLICATION_IS_UNSTAKING,
    APPLICATION_MAX_GATEWAYS,
    APPLICATION_NOT_DELEGATED,
    APPLICATION_NOT_FOUND,
    GATEWAY_IS_INACTIVE,
)
from relayminer.devnet.chain.errors import ChainError, GrpcCode, StatusError
from relayminer.devnet.chain.tables import GATEWAYS
from relayminer.devnet.chain.text import address_problem
from relayminer.devnet.chain.values import UPOKT
from relayminer.protocol.pb import application_pb2, shared_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.context import Context

Delegation = application_pb2.MsgDelegateToGateway | application_pb2.MsgUndelegateFromGateway


def check_stake(message: application_pb2.MsgStakeApplication) -> None:
    """What CheckTx refuses: a bad address, stake, or not exactly one service."""
    problem = address_problem(message.address)
    if problem is not None:
        raise APPLICATION_INVALID_ADDRESS(
            f"invalid application address {message.address}; ({problem})"
        )
    if not message.HasField("stake"):
        raise APPLICATION_INVALID_STAKE("nil application stake")
    if message.stake.denom != UPOKT or bank.amount_of(message.stake) <= 0:
        raise APPLICATION_INVALID_STAKE(
            f"invalid stake {message.stake.amount}{message.stake.denom}"
        )
    if len(message.services) != 1:
        raise APPLICATION_INVALID_CONFIGS(
            f"application must be staked for exactly one service, got {len(message.services)}"
        )
    for each in message.services:
        try:
            sessions.check_service_id(each.service_id)
        except ChainError as error:
            raise APPLICATION_INVALID_CONFIGS(error.text) from error


def stake(ctx: Context, message: application_pb2.MsgStakeApplication) -> None:
    """Stake a new application or raise the stake of one; ends its unbonding."""
    try:
        check_stake(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    wanted = bank.amount_of(message.stake)
    known = applications.find(ctx.store, message.address)
    if known is None:
        application = application_pb2.Application(
            address=message.address, stake=message.stake, service_configs=message.services
        )
        escrow = wanted
    else:
        before = bank.amount_of(known.stake)
        if wanted <= before:
            text = APPLICATION_INVALID_STAKE(
                f"stake amount {bank.coin_text(wanted)} must be higher than previous stake "
                f"amount {bank.coin_text(before)}"
            ).text
            raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
        application = applications.copy(known)
        application.stake.CopyFrom(message.stake)
        application.unstake_session_end_height = 0
        _change_services(ctx, application, message.services)
        escrow = wanted - before
    if message.HasField("per_session_spend_limit"):
        if bank.amount_of(message.per_session_spend_limit):
            application.per_session_spend_limit.CopyFrom(message.per_session_spend_limit)
        else:
            application.ClearField("per_session_spend_limit")
    least = bank.amount_of(params.application(ctx.store).min_stake)
    if wanted < least:
        text = APPLICATION_INVALID_STAKE(
            f'application "{message.address}" must stake at least {bank.coin_text(least)}'
        ).text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    try:
        bank.send_to_module(ctx, message.address, "application", bank.upokt(escrow))
    except ChainError as error:
        raise StatusError(GrpcCode.INTERNAL, error.text) from error
    applications.put(ctx.store, application)
    ctx.emit(
        application_pb2.EventApplicationStaked(
            application=application, session_end_height=params.session_end(ctx.store, ctx.height)
        )
    )


def _change_services(
    ctx: Context,
    application: application_pb2.Application,
    wanted: Iterable[shared_pb2.ApplicationServiceConfig],
) -> None:
    """Record another set of services; it holds from the next session on."""
    listed = list(wanted)
    before = {each.service_id for each in application.service_configs}
    if before != {each.service_id for each in listed}:
        start = params.next_session_start(ctx.store, ctx.height)
        history = list(application.service_config_history) or [
            application_pb2.ApplicationServiceConfigUpdate(
                application_address=application.address, service=each, activation_height=1
            )
            for each in application.service_configs
        ]
        kept = [each for each in history if each.activation_height != start]
        for each in kept:
            if not each.deactivation_height:
                each.deactivation_height = start
        kept.extend(
            application_pb2.ApplicationServiceConfigUpdate(
                application_address=application.address, service=each, activation_height=start
            )
            for each in listed
        )
        copies = [_copy_update(each) for each in kept]
        application.ClearField("service_config_history")
        application.service_config_history.extend(copies)
    application.ClearField("service_configs")
    application.service_configs.extend(listed)


def _copy_update(
    update: application_pb2.ApplicationServiceConfigUpdate,
) -> application_pb2.ApplicationServiceConfigUpdate:
    copied = application_pb2.ApplicationServiceConfigUpdate()
    copied.CopyFrom(update)
    return copied


def unstake(ctx: Context, message: application_pb2.MsgUnstakeApplication) -> None:
    """Begin to unbond an application at the end of the current session."""
    known = applications.find(ctx.store, message.address)
    if known is None:
        text = APPLICATION_NOT_FOUND(f'application with address "{message.address}"').text
        raise StatusError(GrpcCode.NOT_FOUND, text)
    if known.unstake_session_end_height:
        text = APPLICATION_IS_UNSTAKING(f'application with address "{message.address}"').text
        raise StatusError(GrpcCode.FAILED_PRECONDITION, text)
    application = applications.copy(known)
    application.unstake_session_end_height = params.session_end(ctx.store, ctx.height)
    applications.put(ctx.store, application)
    applications.emit_unbonding_begin(
        ctx, application, application_pb2.APPLICATION_UNBONDING_REASON_ELECTIVE
    )


def check_delegation(message: Delegation) -> None:
    """What CheckTx refuses: a bad application or gateway address."""
    problem = address_problem(message.app_address)
    if problem is not None:
        raise APPLICATION_INVALID_ADDRESS(
            f"invalid application address {message.app_address}; ({problem})"
        )
    problem = address_problem(message.gateway_address)
    if problem is not None:
        raise APPLICATION_INVALID_GATEWAY(
            f"invalid gateway address {message.gateway_address}; ({problem})"
        )


def _delegating(ctx: Context, message: Delegation) -> application_pb2.Application:
    try:
        check_delegation(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    known = applications.find(ctx.store, message.app_address)
    if known is None:
        text = APPLICATION_NOT_FOUND(f"application with address: {message.app_address}").text
        raise StatusError(GrpcCode.NOT_FOUND, text)
    return applications.copy(known)


def delegate(ctx: Context, message: application_pb2.MsgDelegateToGateway) -> None:
    """Let a gateway sign for an application, at once."""
    application = _delegating(ctx, message)
    gateway = ctx.store.get(GATEWAYS, message.gateway_address)
    if gateway is None:
        text = APPLICATION_GATEWAY_NOT_FOUND(
            f'gateway not found with address: "{message.gateway_address}"'
        ).text
        raise StatusError(GrpcCode.NOT_FOUND, text)
    most = params.application(ctx.store).max_delegated_gateways
    if len(application.delegatee_gateway_addresses) >= most:
        text = APPLICATION_MAX_GATEWAYS(
            f'application with address "{application.address}" already delegated to {most} (max) '
            "gateways"
        ).text
        raise StatusError(GrpcCode.FAILED_PRECONDITION, text)
    if 0 < gateway.unstake_session_end_height < ctx.height:
        text = GATEWAY_IS_INACTIVE(f'gateway with address "{gateway.address}"').text
        raise StatusError(GrpcCode.FAILED_PRECONDITION, text)
    if message.gateway_address in application.delegatee_gateway_addresses:
        text = APPLICATION_ALREADY_DELEGATED(
            f'application with address "{application.address}" already delegated to gateway with '
            f'address: "{message.gateway_address}"'
        ).text
        raise StatusError(GrpcCode.ALREADY_EXISTS, text)
    application.delegatee_gateway_addresses.append(message.gateway_address)
    for height in list(application.pending_undelegations):
        leaving = application.pending_undelegations[height].gateway_addresses
        if message.gateway_address in leaving:
            leaving.remove(message.gateway_address)
        if not leaving:
            del application.pending_undelegations[height]
    _put_redelegated(ctx, application)


def undelegate(ctx: Context, message: application_pb2.MsgUndelegateFromGateway) -> None:
    """Take a gateway away; for sessions up to the current one it stays in the ring."""
    application = _delegating(ctx, message)
    if message.gateway_address not in application.delegatee_gateway_addresses:
        text = APPLICATION_NOT_DELEGATED(
            f'application with address "{application.address}" not delegated to gateway with '
            f'address: "{message.gateway_address}"'
        ).text
        raise StatusError(GrpcCode.FAILED_PRECONDITION, text)
    application.delegatee_gateway_addresses.remove(message.gateway_address)
    end_height = params.session_end(ctx.store, ctx.height)
    leaving = application.pending_undelegations[end_height].gateway_addresses
    if message.gateway_address not in leaving:
        leaving.append(message.gateway_address)
    _put_redelegated(ctx, application)


def _put_redelegated(ctx: Context, application: application_pb2.Application) -> None:
    applications.put(ctx.store, application)
    ctx.emit(
        application_pb2.EventRedelegation(
            application=application, session_end_height=params.session_end(ctx.store, ctx.height)
        )
    )
