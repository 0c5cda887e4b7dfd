"""Suppliers: records, service configurations over time, unbonding. Source: poktroll: x/supplier.

A record is stored without services and history; both are put together from the table of
configuration updates when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank, params
from relayminer.devnet.chain.tables import CONFIG_UPDATES, SUPPLIERS
from relayminer.protocol import session as grid
from relayminer.protocol.pb import shared_pb2, supplier_pb2
from relayminer.protocol.windows import session_windows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Store


def record(store: Store, operator: str) -> shared_pb2.Supplier | None:
    """The record of a supplier, without services and history."""
    return store.get(SUPPLIERS, operator)


def put_record(store: Store, supplier: shared_pb2.Supplier) -> None:
    """Store the record of a supplier; services and history are left out."""
    kept = _copy(supplier)
    kept.ClearField("services")
    kept.ClearField("service_config_history")
    store.set(SUPPLIERS, kept.operator_address, kept)


def hydrated(store: Store, operator: str, height: int) -> shared_pb2.Supplier | None:
    """The supplier with the services active at `height` and its whole history."""
    found = record(store, operator)
    if found is None:
        return None
    supplier = _copy(found)
    updates = list(history(store, operator))
    supplier.service_config_history.extend(updates)
    supplier.services.extend(each.service for each in updates if is_active(each, height))
    return supplier


def history(store: Store, operator: str) -> Iterable[shared_pb2.ServiceConfigUpdate]:
    """The configuration updates of a supplier, in store order (service, then height)."""
    return (update for (_, _, owner), update in store.items(CONFIG_UPDATES) if owner == operator)


def put_history(
    store: Store, operator: str, updates: Iterable[shared_pb2.ServiceConfigUpdate]
) -> None:
    """Replace the configuration updates of a supplier."""
    for key, _ in store.items(CONFIG_UPDATES):
        if key[2] == operator:
            store.delete(CONFIG_UPDATES, key)
    for update in updates:
        key = (update.service.service_id, update.activation_height, operator)
        store.set(CONFIG_UPDATES, key, update)


def is_active(update: shared_pb2.ServiceConfigUpdate, height: int) -> bool:
    """Whether a configuration update holds at `height`; a deactivation height of 0 is never."""
    if update.activation_height > height:
        return False
    return update.deactivation_height == 0 or height < update.deactivation_height


def configs_for_service(
    store: Store, service_id: str, height: int
) -> list[shared_pb2.ServiceConfigUpdate]:
    """All updates of a service active at `height`, by activation height, then operator."""
    return [
        update for _, update in store.under(CONFIG_UPDATES, service_id) if is_active(update, height)
    ]


def deactivated(
    updates: Iterable[shared_pb2.ServiceConfigUpdate], height: int
) -> list[shared_pb2.ServiceConfigUpdate]:
    """The updates with their deactivation height set to `height`."""
    result = []
    for update in updates:
        changed = shared_pb2.ServiceConfigUpdate()
        changed.CopyFrom(update)
        changed.deactivation_height = height
        result.append(changed)
    return result


def unbonding_end(shared: shared_pb2.Params, supplier: shared_pb2.Supplier) -> int:
    """The height at which an unbonding supplier gets its stake back."""
    blocks = shared.supplier_unbonding_period_sessions * shared.num_blocks_per_session
    return supplier.unstake_session_end_height + blocks


def begin_block(ctx: Context) -> None:
    """Announce the configurations that become active with this block's session."""
    if grid.session_start(params.shared(ctx.store), ctx.height) != ctx.height:
        return
    for (service_id, activation, operator), _ in ctx.store.items(CONFIG_UPDATES):
        if activation == ctx.height:
            ctx.emit(
                supplier_pb2.EventSupplierServiceConfigActivated(
                    operator_address=operator,
                    service_id=service_id,
                    activation_height=ctx.height,
                )
            )


def end_block(ctx: Context) -> None:
    """Return the stakes of suppliers whose unbonding is over; forget old configurations."""
    _finish_unbonding(ctx)
    for key, update in ctx.store.items(CONFIG_UPDATES):
        if not 0 < update.deactivation_height <= ctx.height:
            continue
        last_active = update.deactivation_height - 1
        shared = params.shared_at(ctx.store, last_active)
        windows = session_windows(shared, grid.session_end(shared, last_active))
        if ctx.height > windows.proof_close_height:
            ctx.store.delete(CONFIG_UPDATES, key)


def _finish_unbonding(ctx: Context) -> None:
    shared = params.shared(ctx.store)
    if grid.session_end(shared, ctx.height) != ctx.height:
        return
    min_stake = bank.amount_of(params.supplier(ctx.store).min_stake)
    for operator, supplier in ctx.store.items(SUPPLIERS):
        if not supplier.unstake_session_end_height:
            continue
        then = params.shared_at(ctx.store, supplier.unstake_session_end_height)
        end_height = unbonding_end(then, supplier)
        if end_height > ctx.height:
            continue
        stake = bank.amount_of(supplier.stake)
        if stake:
            bank.send_from_module(ctx, "supplier", supplier.owner_address, bank.upokt(stake))
        ctx.store.delete(SUPPLIERS, operator)
        put_history(ctx.store, operator, ())
        reason = (
            supplier_pb2.SUPPLIER_UNBONDING_REASON_BELOW_MIN_STAKE
            if stake < min_stake
            else supplier_pb2.SUPPLIER_UNBONDING_REASON_VOLUNTARY
        )
        ctx.emit(
            supplier_pb2.EventSupplierUnbondingEnd(
                supplier=supplier,
                reason=reason,
                session_end_height=ctx.height,
                unbonding_end_height=end_height,
            )
        )


def _copy(supplier: shared_pb2.Supplier) -> shared_pb2.Supplier:
    changed = shared_pb2.Supplier()
    changed.CopyFrom(supplier)
    return changed
