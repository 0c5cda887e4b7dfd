"""Who serves whom when: hydration of a session (wire 10.4). Source: poktroll: x/session/keeper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relayminer.devnet.chain import applications, params, suppliers
from relayminer.devnet.chain.codes import (
    SESSION_APPLICATION_NOT_ACTIVE,
    SESSION_APPLICATION_NOT_FOUND,
    SESSION_HYDRATION,
    SESSION_INVALID_APPLICATION,
    SESSION_INVALID_HEIGHT,
    SESSION_INVALID_ID,
    SESSION_NOT_STAKED_FOR_SERVICE,
    SESSION_SUPPLIERS_NOT_FOUND,
    SHARED_INVALID_SERVICE_ID,
)
from relayminer.devnet.chain.tables import BLOCK_HASHES
from relayminer.devnet.chain.text import address_problem
from relayminer.protocol import session as grid
from relayminer.protocol.pb import session_pb2, shared_pb2

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Store

SERVICE_ID_LENGTH_MAX = 42
_SERVICE_ID = re.compile(r"[a-zA-Z0-9_-]+")


def block_hash(store: Store, height: int) -> bytes:
    """The hash of the block at `height` (32 bytes), empty when the chain has not stored it."""
    return store.get(BLOCK_HASHES, height) or b""


def check_service_id(service_id: str) -> None:
    """Raise `shared` 1108 for an id that no service can have."""
    if not service_id:
        raise SHARED_INVALID_SERVICE_ID("empty service ID")
    if len(service_id) > SERVICE_ID_LENGTH_MAX:
        raise SHARED_INVALID_SERVICE_ID(
            f"service ID '{service_id}' exceeds maximum length: {SERVICE_ID_LENGTH_MAX}"
        )
    if not _SERVICE_ID.fullmatch(service_id):
        raise SHARED_INVALID_SERVICE_ID(f"service ID '{service_id}' contains invalid characters")


def check_header(header: session_pb2.SessionHeader) -> None:
    """Basic validity of a session header, in the chain's order (wire 2.1)."""
    problem = address_problem(header.application_address)
    if problem is not None:
        raise SESSION_INVALID_APPLICATION(f'"{header.application_address}"; ({problem})')
    if not header.session_id:
        raise SESSION_INVALID_ID('""')
    check_service_id(header.service_id)
    if header.session_start_block_height <= 0:
        raise SESSION_INVALID_HEIGHT("sessions can only start at height 1 or greater")
    if header.session_end_block_height <= header.session_start_block_height:
        raise SESSION_INVALID_HEIGHT(
            "session end block height cannot be less than or equal to session start block height"
        )


def check_request(application: str, service_id: str, height: int) -> None:
    """Basic validity of a session query."""
    problem = address_problem(application)
    if problem is not None:
        raise SESSION_INVALID_APPLICATION(problem)
    check_service_id(service_id)
    if height < 0:
        raise SESSION_INVALID_HEIGHT(f"{height}")


def hydrate(
    ctx: Context, application_address: str, service_id: str, height: int
) -> session_pb2.Session:
    """The session of an application for a service at `height`; raises `session` errors."""
    if height > ctx.height:
        raise SESSION_HYDRATION(
            f"block height {height} is ahead of the last committed block height {ctx.height}"
        )
    shared = params.shared_at(ctx.store, height)
    start = grid.session_start(shared, height)
    end = grid.session_end(shared, height)
    seed = block_hash(ctx.store, start)
    session_id = grid.session_id(seed, service_id, application_address, start)
    header = session_pb2.SessionHeader(
        application_address=application_address,
        service_id=service_id,
        session_id=session_id,
        session_start_block_height=start,
        session_end_block_height=end,
    )
    application = applications.find(ctx.store, application_address)
    if application is None:
        raise SESSION_APPLICATION_NOT_FOUND(
            f'could not find app with address "{application_address}" at height {start}'
        )
    if not applications.is_active(application, end):
        raise SESSION_APPLICATION_NOT_ACTIVE(
            f'application "{application_address}" is not active for session {session_id}'
        )
    if not applications.is_staked_for(application, service_id, height):
        raise SESSION_NOT_STAKED_FOR_SERVICE(
            f'application "{application_address}" not staked for service ID "{service_id}"'
        )
    return session_pb2.Session(
        header=header,
        session_id=session_id,
        session_number=grid.session_number(shared, height),
        num_blocks_per_session=shared.num_blocks_per_session,
        application=application,
        suppliers=_choose(ctx, header, seed, height),
    )


def _choose(
    ctx: Context, header: session_pb2.SessionHeader, seed: bytes, height: int
) -> list[shared_pb2.Supplier]:
    candidates = suppliers.configs_for_service(ctx.store, header.service_id, height)
    if not candidates:
        raise SESSION_SUPPLIERS_NOT_FOUND(
            f"could not find suppliers for service {header.service_id} "
            f"at height {header.session_start_block_height}"
        )
    count = params.session_at(ctx.store, height).num_suppliers_per_session
    if len(candidates) >= count:
        pre_image = grid.session_pre_image(
            seed,
            header.service_id,
            header.application_address,
            header.session_start_block_height,
        )
        candidates.sort(
            key=lambda each: (
                grid.supplier_weight(pre_image, each.operator_address),
                each.operator_address,
            )
        )
        candidates = candidates[:count]
    chosen = []
    for config in candidates:
        found = suppliers.record(ctx.store, config.operator_address)
        if found is not None:
            supplier = shared_pb2.Supplier()
            supplier.CopyFrom(found)
            supplier.services.append(config.service)
            chosen.append(supplier)
    return chosen
