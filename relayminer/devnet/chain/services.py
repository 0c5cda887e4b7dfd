"""Services, their compute units per relay over time, and their relay mining difficulty.

Source: poktroll: x/service/keeper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import params
from relayminer.devnet.chain.tables import (
    COMPUTE_UNITS,
    DIFFICULTIES,
    DIFFICULTY_HISTORY,
    SERVICES,
)
from relayminer.protocol import session as grid
from relayminer.protocol.difficulty import BASE_TARGET, scale_target, update_ema
from relayminer.protocol.pb import service_pb2, shared_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Store


def find(store: Store, service_id: str) -> shared_pb2.Service | None:
    """The service, None when there is none of that id."""
    return store.get(SERVICES, service_id)


def compute_units_at(store: Store, service_id: str, height: int) -> int | None:
    """Compute units per relay at `height`: newest history entry, else live; None if unknown."""
    found = 0
    for (_, effective), value in store.under(COMPUTE_UNITS, service_id):
        if effective <= height:
            found = value
    if found:
        return found
    service = find(store, service_id)
    return None if service is None else service.compute_units_per_relay


def record_new(ctx: Context, service: shared_pb2.Service) -> None:
    """Store a new service; its compute units hold from the current session's start."""
    ctx.store.set(SERVICES, service.id, service)
    start = grid.session_start(params.shared(ctx.store), ctx.height)
    ctx.store.set(COMPUTE_UNITS, (service.id, start), service.compute_units_per_relay)


def record_change(ctx: Context, before: shared_pb2.Service, after: shared_pb2.Service) -> None:
    """Store a changed service; changed compute units hold from the next session's start."""
    ctx.store.set(SERVICES, after.id, after)
    if before.compute_units_per_relay == after.compute_units_per_relay:
        return
    if not ctx.store.under(COMPUTE_UNITS, after.id):
        ctx.store.set(COMPUTE_UNITS, (after.id, 1), before.compute_units_per_relay)
    start = params.next_session_start(ctx.store, ctx.height)
    ctx.store.set(COMPUTE_UNITS, (after.id, start), after.compute_units_per_relay)


def difficulty_at(store: Store, service_id: str, height: int) -> service_pb2.RelayMiningDifficulty:
    """The difficulty in force at `height`; the base difficulty when no entry reaches it."""
    found: service_pb2.RelayMiningDifficulty | None = None
    for (_, effective), value in store.under(DIFFICULTY_HISTORY, service_id):
        if effective <= height:
            found = value
    if found is not None:
        return found
    return service_pb2.RelayMiningDifficulty(
        service_id=service_id,
        block_height=0,
        num_relays_ema=params.service(store).target_num_relays,
        target_hash=BASE_TARGET,
    )


def latest_difficulty(
    store: Store, service_id: str, height: int
) -> service_pb2.RelayMiningDifficulty:
    """The newest difficulty, also when it is not in force yet; the base one when none is stored."""
    stored = store.get(DIFFICULTIES, service_id)
    if stored is not None:
        return stored
    return service_pb2.RelayMiningDifficulty(
        service_id=service_id,
        block_height=height,
        num_relays_ema=params.service(store).target_num_relays,
        target_hash=BASE_TARGET,
    )


def update_difficulties(ctx: Context, relays_by_service: Mapping[str, int]) -> None:
    """Move the difficulty of every service that had claims settled (wire 11.2)."""
    store = ctx.store
    effective = params.next_session_start(store, ctx.height)
    target_relays = params.service(store).target_num_relays
    for service_id in sorted(relays_by_service):
        relays = relays_by_service[service_id]
        before = store.get(DIFFICULTIES, service_id) or service_pb2.RelayMiningDifficulty(
            service_id=service_id,
            block_height=ctx.height,
            num_relays_ema=relays,
            target_hash=scale_target(target_relays, relays),
        )
        ema = update_ema(before.num_relays_ema, relays)
        after = service_pb2.RelayMiningDifficulty(
            service_id=service_id,
            block_height=effective,
            num_relays_ema=ema,
            target_hash=scale_target(target_relays, ema),
        )
        if not store.under(DIFFICULTY_HISTORY, service_id):
            store.set(DIFFICULTY_HISTORY, (service_id, ctx.height), before)
        store.set(DIFFICULTY_HISTORY, (service_id, effective), after)
        store.set(DIFFICULTIES, service_id, after)
        ctx.emit(
            service_pb2.EventRelayMiningDifficultyUpdated(
                service_id=service_id,
                prev_target_hash_hex_encoded=before.target_hash.hex(),
                new_target_hash_hex_encoded=after.target_hash.hex(),
                prev_num_relays_ema=before.num_relays_ema,
                new_num_relays_ema=after.num_relays_ema,
            )
        )
