"""Applications: records, delegations over time, unbonding. Source: poktroll: x/application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank, params
from relayminer.devnet.chain.tables import APPLICATIONS
from relayminer.protocol import session as grid
from relayminer.protocol.pb import application_pb2

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Store
    from relayminer.protocol.pb import shared_pb2

UNDELEGATION_RETENTION_SESSIONS = 2
"""For how many sessions an undelegated gateway is remembered, beside the grace period."""


def find(store: Store, address: str) -> application_pb2.Application | None:
    """The application, None when there is none of that address."""
    return store.get(APPLICATIONS, address)


def put(store: Store, application: application_pb2.Application) -> None:
    """Store an application."""
    store.set(APPLICATIONS, application.address, application)


def copy(application: application_pb2.Application) -> application_pb2.Application:
    """A copy to change and put back."""
    changed = application_pb2.Application()
    changed.CopyFrom(application)
    return changed


def is_active(application: application_pb2.Application, height: int) -> bool:
    """Whether the application may have sessions that end at `height`."""
    if application.unstake_session_end_height:
        return height <= application.unstake_session_end_height
    if application.HasField("pending_transfer"):
        return height <= application.pending_transfer.session_end_height
    return True


def is_staked_for(application: application_pb2.Application, service_id: str, height: int) -> bool:
    """Whether the application is staked for the service at `height`; no history means flat."""
    updates = application.service_config_history
    if not updates:
        return any(each.service_id == service_id for each in application.service_configs)
    return any(
        each.service.service_id == service_id
        and each.activation_height <= height
        and (each.deactivation_height == 0 or height < each.deactivation_height)
        for each in updates
    )


def unbonding_end(shared: shared_pb2.Params, application: application_pb2.Application) -> int:
    """The height at which an unbonding application gets its stake back."""
    blocks = shared.application_unbonding_period_sessions * shared.num_blocks_per_session
    return application.unstake_session_end_height + blocks


def emit_unbonding_begin(
    ctx: Context,
    application: application_pb2.Application,
    reason: application_pb2.ApplicationUnbondingReason,
) -> None:
    """Say that the application has begun to unbond at the current session's end."""
    shared = params.shared(ctx.store)
    ctx.emit(
        application_pb2.EventApplicationUnbondingBegin(
            application=application,
            reason=reason,
            session_end_height=grid.session_end(shared, ctx.height),
            unbonding_end_height=unbonding_end(shared, application),
        )
    )


def end_block(ctx: Context) -> None:
    """Forget old undelegations; return the stakes of applications whose unbonding is over."""
    _prune_undelegations(ctx)
    shared = params.shared(ctx.store)
    if grid.session_end(shared, ctx.height) != ctx.height:
        return
    min_stake = bank.amount_of(params.application(ctx.store).min_stake)
    for address, application in ctx.store.items(APPLICATIONS):
        if not application.unstake_session_end_height:
            continue
        then = params.shared_at(ctx.store, application.unstake_session_end_height)
        end_height = unbonding_end(then, application)
        if end_height > ctx.height:
            continue
        stake = bank.amount_of(application.stake)
        bank.send_from_module(ctx, "application", address, bank.upokt(stake))
        ctx.store.delete(APPLICATIONS, address)
        reason = (
            application_pb2.APPLICATION_UNBONDING_REASON_BELOW_MIN_STAKE
            if stake < min_stake
            else application_pb2.APPLICATION_UNBONDING_REASON_ELECTIVE
        )
        ctx.emit(
            application_pb2.EventApplicationUnbondingEnd(
                application=application,
                reason=reason,
                session_end_height=ctx.height,
                unbonding_end_height=end_height,
            )
        )


def _prune_undelegations(ctx: Context) -> None:
    shared = params.shared(ctx.store)
    retention = (
        shared.grace_period_end_offset_blocks
        + shared.num_blocks_per_session * UNDELEGATION_RETENTION_SESSIONS
    )
    if ctx.height <= retention:
        return
    for _, application in ctx.store.items(APPLICATIONS):
        old = [
            height
            for height in application.pending_undelegations
            if height < ctx.height - retention
        ]
        if old:
            changed = copy(application)
            for height in old:
                del changed.pending_undelegations[height]
            put(ctx.store, changed)
