"""Parameters of the modules, live and at a height, and how governance changes them (wire 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from relayminer.devnet.chain.tables import PARAMS, SESSION_HISTORY, SHARED_HISTORY
from relayminer.protocol import session as grid
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
    from google.protobuf.message import Message

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Store, Table

P = TypeVar("P", bound="Message")

TIMING_PARAMS = (
    "num_blocks_per_session",
    "grace_period_end_offset_blocks",
    "claim_window_open_offset_blocks",
    "claim_window_close_offset_blocks",
    "proof_window_open_offset_blocks",
    "proof_window_close_offset_blocks",
)
"""The shared parameters that move sessions or windows."""


def live(store: Store, module: str, kind: type[P]) -> P:
    """The live parameters of `module`; defaults of proto3 when never set."""
    found = store.get(PARAMS, module)
    return found if isinstance(found, kind) else kind()


def put(store: Store, module: str, value: Message) -> None:
    """Make `value` the live parameters of `module`."""
    store.set(PARAMS, module, value)


def shared(store: Store) -> shared_pb2.Params:
    """Live shared parameters."""
    return live(store, "shared", shared_pb2.Params)


def session(store: Store) -> session_pb2.Params:
    """Live session parameters."""
    return live(store, "session", session_pb2.Params)


def proof(store: Store) -> proof_pb2.Params:
    """Live proof parameters."""
    return live(store, "proof", proof_pb2.Params)


def service(store: Store) -> service_pb2.Params:
    """Live service parameters."""
    return live(store, "service", service_pb2.Params)


def tokenomics(store: Store) -> tokenomics_pb2.Params:
    """Live tokenomics parameters."""
    return live(store, "tokenomics", tokenomics_pb2.Params)


def application(store: Store) -> application_pb2.Params:
    """Live application parameters."""
    return live(store, "application", application_pb2.Params)


def gateway(store: Store) -> gateway_pb2.Params:
    """Live gateway parameters."""
    return live(store, "gateway", gateway_pb2.Params)


def supplier(store: Store) -> supplier_pb2.Params:
    """Live supplier parameters."""
    return live(store, "supplier", supplier_pb2.Params)


def shared_at(store: Store, height: int) -> shared_pb2.Params:
    """Shared parameters in force at `height`; live ones when the history does not reach it."""
    return _at(store, SHARED_HISTORY, height) or shared(store)


def session_at(store: Store, height: int) -> session_pb2.Params:
    """Session parameters in force at `height`."""
    return _at(store, SESSION_HISTORY, height) or session(store)


def session_end(store: Store, height: int) -> int:
    """The end of the session that contains `height`, by live parameters."""
    return grid.session_end(shared(store), height)


def next_session_start(store: Store, height: int) -> int:
    """The start of the session after the one that contains `height`, by live parameters."""
    return session_end(store, height) + 1


def update_shared(ctx: Context, wanted: shared_pb2.Params) -> None:
    """Record a governance update of the shared parameters.

    Timing changes wait for the next session; anything else takes effect at once. The new set
    starts from what the message says, so a second update within one session replaces the first.
    Source: poktroll: x/shared/keeper/msg_server_update_param.go.
    """
    store = ctx.store
    if not store.items(SHARED_HISTORY):
        first = _copy(shared(store))
        first.session_grid_anchor_height = 1
        first.session_number_at_anchor = 1
        store.set(SHARED_HISTORY, 1, first)
    in_force = shared_at(store, ctx.height)
    effective = grid.session_end(in_force, ctx.height) + 1
    changed = _copy(wanted)
    if wanted.num_blocks_per_session != in_force.num_blocks_per_session:
        changed.session_grid_anchor_height = effective
        changed.session_number_at_anchor = grid.session_number(in_force, ctx.height) + 1
    else:
        changed.session_grid_anchor_height = in_force.session_grid_anchor_height
        changed.session_number_at_anchor = in_force.session_number_at_anchor
    store.set(SHARED_HISTORY, effective, changed)
    current = shared(store)
    if all(getattr(current, name) == getattr(changed, name) for name in TIMING_PARAMS):
        at_once = _copy(changed)
        at_once.session_grid_anchor_height = current.session_grid_anchor_height
        at_once.session_number_at_anchor = current.session_number_at_anchor
        put(store, "shared", at_once)


def update_session(ctx: Context, wanted: session_pb2.Params) -> None:
    """Record a governance update of the session parameters; in force from the next session."""
    store = ctx.store
    if not store.items(SESSION_HISTORY):
        store.set(SESSION_HISTORY, 1, session(store))
    in_force = shared_at(store, ctx.height)
    store.set(SESSION_HISTORY, grid.session_end(in_force, ctx.height) + 1, wanted)
    put(store, "session", wanted)


def promote(ctx: Context) -> None:
    """End of block: shared parameters whose height has come become the live ones."""
    due = ctx.store.get(SHARED_HISTORY, ctx.height)
    if due is not None and shared_problem(due) is None:
        put(ctx.store, "shared", due)


def shared_problem(value: shared_pb2.Params) -> str | None:
    """Why the chain would not accept `value`, None when it would."""
    blocks = value.num_blocks_per_session
    rules = (
        (blocks >= 1, f"invalid NumBlocksPerSession: ({blocks})"),
        (
            value.grace_period_end_offset_blocks < blocks,
            "GracePeriodEndOffsetBlocks must be less than NumBlocksPerSession",
        ),
        (
            value.claim_window_open_offset_blocks >= value.grace_period_end_offset_blocks,
            "ClaimWindowOpenOffsetBlocks must be at least GracePeriodEndOffsetBlocks",
        ),
        (
            value.compute_units_to_tokens_multiplier >= 1,
            "invalid ComputeUnitsToTokensMultiplier: (0)",
        ),
        (value.compute_unit_cost_granularity >= 1, "invalid ComputeUnitCostGranularity: (0)"),
    )
    broken = next((problem for holds, problem in rules if not holds), None)
    return broken or _unbonding_problem(value)


def _unbonding_problem(value: shared_pb2.Params) -> str | None:
    blocks = value.num_blocks_per_session
    offsets = (
        value.claim_window_open_offset_blocks
        + value.claim_window_close_offset_blocks
        + value.proof_window_open_offset_blocks
        + value.proof_window_close_offset_blocks
    )
    periods = {
        "SupplierUnbondingPeriodSessions": value.supplier_unbonding_period_sessions,
        "ApplicationUnbondingPeriodSessions": value.application_unbonding_period_sessions,
        "GatewayUnbondingPeriodSessions": value.gateway_unbonding_period_sessions,
    }
    for name, sessions in periods.items():
        if name != "GatewayUnbondingPeriodSessions" and sessions * blocks < offsets:
            return f"{name} ({sessions} session) must last at least as long as the windows"
        if sessions < 1:
            return f"invalid {name}: ({sessions})"
    return None


def _at(store: Store, table: Table[int, P], height: int) -> P | None:
    found: P | None = None
    for effective, value in store.items(table):
        if effective > height:
            break
        found = value
    return found


def _copy(value: P) -> P:
    changed = type(value)()
    changed.CopyFrom(value)
    return changed
