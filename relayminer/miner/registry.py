"""Telling relayers who may serve what: the supplier registry, reconciled with the chain.

For every key that is loaded the chain is asked for the supplier's record; what it says becomes the
state that relayers gate on. Only the chain's explicit "not found" makes a supplier unstaked: a node
that does not answer changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import frozen

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.protocol.pb import shared_pb2
from relayminer.state.errors import StateError
from relayminer.state.suppliers import (
    ACTIVE,
    NOT_STAKED,
    UNSTAKING,
    StakedEndpoint,
    SupplierState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.miner.interfaces import BlockSource, ChainReader
    from relayminer.state.suppliers import SupplierStates

RETRY_SECONDS: Final = 2.0
"""Pause before suppliers that could not be asked about are asked about again."""

_RPC_NAMES: Final = {
    shared_pb2.JSON_RPC: "jsonrpc",
    shared_pb2.REST: "rest",
    shared_pb2.WEBSOCKET: "websocket",
    shared_pb2.GRPC: "grpc",
    shared_pb2.COMET_BFT: "cometbft",
}

_log = structlog.get_logger("relayminer.miner.registry")


@frozen
class Staking:
    """What the chain says about a supplier at a height.

    Attributes:
        services: ids of the services that it serves now, sorted.
        endpoints: service id and RPC type name of each staked endpoint.
        unstake_session_end_height: 0 when it is not unstaking.
    """

    status: str
    services: tuple[str, ...]
    endpoints: tuple[tuple[str, str], ...]
    unstake_session_end_height: int
    owner_address: str


UNSTAKED: Final = Staking(NOT_STAKED, (), (), 0, "")


def staking_of(supplier: shared_pb2.Supplier, height: int) -> Staking:
    """What a supplier's record means at `height`.

    Services follow the history of configurations (active from the activation height to before the
    deactivation height); without a history, or at the unknown height 0, the flat list counts.
    """
    configs = list(supplier.services)
    if height > 0 and supplier.service_config_history:
        configs = [
            update.service
            for update in supplier.service_config_history
            if update.activation_height <= height
            and (update.deactivation_height == 0 or height < update.deactivation_height)
        ]
    endpoints = {
        (config.service_id, name)
        for config in configs
        for endpoint in config.endpoints
        if (name := _RPC_NAMES.get(endpoint.rpc_type))
    }
    return Staking(
        UNSTAKING if supplier.unstake_session_end_height else ACTIVE,
        tuple(sorted({config.service_id for config in configs})),
        tuple(sorted(endpoints)),
        supplier.unstake_session_end_height,
        supplier.owner_address,
    )


class Registry:
    """Keeps the suppliers' states in the store equal to the chain's.

    Args:
        chain: Where suppliers are staked.
        blocks: Tells the height.
        states: Where relayers look.
        miner_id: Written into each entry.
        interval_seconds: Time between two comparisons.
    """

    def __init__(
        self,
        chain: ChainReader,
        blocks: BlockSource,
        states: SupplierStates,
        *,
        miner_id: str,
        interval_seconds: float,
    ) -> None:
        self._chain = chain
        self._blocks = blocks
        self._states = states
        self._miner_id = miner_id
        self._interval_seconds = interval_seconds
        self._known: dict[str, Staking] = {}
        self._suppliers: frozenset[str] = frozenset()
        self._changed = trio.Event()

    def watch(self, suppliers: Iterable[str]) -> None:
        """Compare these suppliers from now on, the first time at once."""
        self._suppliers = frozenset(suppliers)
        self._changed.set()

    def may_send(self, supplier: str) -> bool:
        """Whether transactions may be sent for a supplier; only a known "not staked" forbids."""
        known = self._known.get(supplier)
        return known is None or known.status != NOT_STAKED

    async def run(self) -> None:
        """Compare at every interval and whenever the set of suppliers changes."""
        while True:
            self._changed = trio.Event()
            complete = await self.reconcile()
            pause = self._interval_seconds if complete else RETRY_SECONDS
            with trio.move_on_after(pause):
                await self._changed.wait()

    async def reconcile(self) -> bool:
        """One comparison of all suppliers; whether every one of them could be asked about."""
        complete = True
        for supplier in sorted(self._suppliers):
            try:
                staking = await self._ask(supplier)
                await self._publish(supplier, staking)
            except (ChainError, StateError) as error:
                complete = False
                _log.warning("supplier not reconciled", supplier=supplier, error=str(error))
        return complete

    async def _ask(self, supplier: str) -> Staking:
        block = self._blocks.latest
        try:
            record = await self._chain.supplier(supplier)
        except NotFoundError:
            return UNSTAKED
        return staking_of(record, 0 if block is None else block.height)

    async def _publish(self, supplier: str, staking: Staking) -> None:
        if staking.status != NOT_STAKED and not staking.services and self._blocks.latest is None:
            # At an unknown height an empty list means nothing, and relayers would believe it.
            return
        before = self._known.get(supplier)
        if before != staking:
            _log.info(
                "supplier",
                supplier=supplier,
                status=staking.status,
                services=list(staking.services),
            )
        await self._states.put(
            SupplierState(
                status=staking.status,
                staked=staking.status != NOT_STAKED,
                services=staking.services,
                staked_endpoints=tuple(StakedEndpoint(*pair) for pair in staking.endpoints),
                unstake_session_end_height=staking.unstake_session_end_height,
                operator_address=supplier,
                owner_address=staking.owner_address,
                updated_by=self._miner_id,
            )
        )
        self._known[supplier] = staking
