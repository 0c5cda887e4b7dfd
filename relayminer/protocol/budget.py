"""What a relay costs an application, and how much of its stake one session may use up.

Integers in uPOKT; every division truncates.

Source: `pocket-relay-miner: relayer/relay_meter.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.protocol.errors import AmountError
from relayminer.protocol.windows import window_blocks

if TYPE_CHECKING:
    from relayminer.protocol.pb.shared_pb2 import Params


def relay_cost_upokt(compute_units_per_relay: int, params: Params) -> int:
    """The price of one relay.

    Args:
        compute_units_per_relay: of the service at session start; 0 (unknown) counts as 1.
        params: the shared parameters in force at session start.

    Raises:
        AmountError: the granularity is 0.
    """
    if params.compute_unit_cost_granularity == 0:
        raise AmountError("the compute unit cost granularity is 0")
    units = compute_units_per_relay or 1
    return units * params.compute_units_to_tokens_multiplier // params.compute_unit_cost_granularity


def session_budget_upokt(
    stake_upokt: int, num_suppliers: int, params: Params, factor: float | None = None
) -> int:
    """What one supplier may serve of one application in one session.

    Without a factor this is what the chain is sure to pay: the stake, divided among the suppliers
    of a session and among the sessions that can wait for settlement at once.

    Args:
        stake_upokt: the application's stake.
        num_suppliers: the live parameter `num_suppliers_per_session`; 0 counts as 1.
        params: the shared parameters, live while the session runs, at its end afterwards.
        factor: of the whole stake instead; work beyond the budget above may stay unpaid.
    """
    if factor is not None:
        return int(float(stake_upokt) * factor)
    blocks = params.num_blocks_per_session or 1
    pending = -(-(window_blocks(params) or 1) // blocks) + 1
    return stake_upokt // (num_suppliers or 1) // pending
