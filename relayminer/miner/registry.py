"""Telling relayers who may serve what: the supplier registry, reconciled with the chain.

For every supplier that we own the chain is asked for its record; what it says becomes the state
that relayers gate on. Only the chain's explicit "not found" makes a supplier unstaked: a node that
does not answer changes nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, frozen

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.protocol.pb import shared_pb2
from relayminer.state.errors import StateError, UnreadableValueError
from relayminer.state.suppliers import (
    ACTIVE,
    NOT_STAKED,
    UNSTAKING,
    StakedEndpoint,
    SupplierState,
)

if TYPE_CHECKING:
    from relayminer.miner.interfaces import BlockSource, ChainReader
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.state.suppliers import SupplierRegistry, SupplierStates
    from relayminer.watchdog import Pulse

QUERIES_AT_ONCE: Final = 8
RETRY_SECONDS: Final = 2.0
"""Pause before suppliers that could not be asked about are asked about again."""

UPDATED: Final = "update"
CHAIN_ERROR, STORE_ERROR, NO_SERVICES = "chain_error", "store_error", "no_services"
"""Why a state was not written, in the metrics."""

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


@define
class _Watched:
    """A supplier that is compared."""

    due: float
    """When the chain is to be asked again, on Trio's clock."""
    record: shared_pb2.Supplier | None = None
    """What the chain said; None before that, and when it said that there is none."""
    known: Staking | None = None
    """What that meant the last time that it was written."""


class Registry:
    """Keeps the states of this process's suppliers in the store equal to the chain's.

    The chain is asked at every interval. What a record means is looked at again at every block,
    because services begin and end at heights that were fixed before. What is in the store is
    compared as well: an entry that somebody else has spoilt is written again.

    Args:
        chain: Where suppliers are staked.
        blocks: Tells the height.
        states: Where relayers look.
        register: Where others see who is mined for.
        metrics: Count what is written, and what is not.
        miner_id: Written into each entry.
        interval_seconds: Time between two comparisons.
    """

    def __init__(
        self,
        chain: ChainReader,
        blocks: BlockSource,
        states: SupplierStates,
        register: SupplierRegistry,
        *,
        metrics: MinerMetrics,
        miner_id: str,
        interval_seconds: float,
    ) -> None:
        self._chain = chain
        self._blocks = blocks
        self._states = states
        self._register = register
        self._metrics = metrics
        self._miner_id = miner_id
        self._interval_seconds = interval_seconds
        self._watched: dict[str, _Watched] = {}
        self._changed = trio.Event()

    def add(self, supplier: str) -> None:
        """Compare this supplier from now on, the first time at once."""
        self._watched[supplier] = _Watched(trio.current_time())
        self._changed.set()

    def remove(self, supplier: str) -> None:
        """Leave this supplier to others."""
        self._watched.pop(supplier, None)

    def may_send(self, supplier: str) -> bool:
        """Whether transactions may be sent for a supplier; only a known "not staked" forbids."""
        watched = self._watched.get(supplier)
        known = None if watched is None else watched.known
        return known is None or known.status != NOT_STAKED

    async def run(self, pulse: Pulse) -> None:
        """Compare until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_heights)
            while True:
                pulse.got_on()
                self._changed = trio.Event()
                await self._reconcile(pulse)
                pulse.idle()
                due = [watched.due for watched in self._watched.values()]
                with trio.move_on_at(min(due, default=inf)):
                    await self._changed.wait()

    async def _follow_heights(self) -> None:
        with self._blocks.subscribe() as blocks:
            while True:
                await blocks.receive()
                if any(self._is_outdated(watched) for watched in self._watched.values()):
                    self._changed.set()

    def _is_outdated(self, watched: _Watched) -> bool:
        """Whether the record means something else at the present height."""
        return (
            watched.record is not None
            and watched.known is not None
            and self._meaning(watched.record) != watched.known
        )

    async def _reconcile(self, pulse: Pulse) -> None:
        """One comparison of all suppliers that are due or outdated."""
        limit = trio.CapacityLimiter(QUERIES_AT_ONCE)
        now = trio.current_time()
        async with trio.open_nursery() as nursery:
            for supplier, watched in self._watched.items():
                if watched.due <= now or self._is_outdated(watched):
                    nursery.start_soon(self._compare, supplier, watched, limit, pulse)

    async def _compare(
        self, supplier: str, watched: _Watched, limit: trio.CapacityLimiter, pulse: Pulse
    ) -> None:
        async with limit:
            try:
                if watched.record is None or watched.due <= trio.current_time():
                    await self._ask(supplier, watched)
                staking = UNSTAKED if watched.record is None else self._meaning(watched.record)
                await self._publish(supplier, watched, staking)
            except (ChainError, StateError) as error:
                reason = CHAIN_ERROR if isinstance(error, ChainError) else STORE_ERROR
                self._metrics.states_unwritten.bind(reason).value += 1
                _log.warning("supplier not reconciled", supplier=supplier, error=str(error))
                watched.due = trio.current_time() + RETRY_SECONDS
            pulse.got_on()

    async def _ask(self, supplier: str, watched: _Watched) -> None:
        try:
            watched.record = await self._chain.supplier(supplier)
        except NotFoundError:
            watched.record = None
        watched.due = trio.current_time() + self._interval_seconds

    def _meaning(self, record: shared_pb2.Supplier) -> Staking:
        block = self._blocks.latest
        return staking_of(record, 0 if block is None else block.height)

    async def _publish(self, supplier: str, watched: _Watched, staking: Staking) -> None:
        says_nothing = staking.status == ACTIVE and not staking.services
        if says_nothing and self._blocks.latest is None:
            # At an unknown height an empty list means nothing, and relayers would believe it.
            self._metrics.states_unwritten.bind(NO_SERVICES).value += 1
            return
        stored, readable = await self._stored(supplier)
        wanted = SupplierState(
            status=staking.status,
            staked=staking.status != NOT_STAKED,
            services=staking.services,
            staked_endpoints=tuple(StakedEndpoint(*pair) for pair in staking.endpoints),
            unstake_session_end_height=staking.unstake_session_end_height,
            operator_address=supplier,
            owner_address=staking.owner_address,
            last_updated=stored.last_updated if stored else 0,
            updated_by=self._miner_id,
        )
        spoilt = not readable or (stored is not None and stored.is_contaminated)
        if watched.known == staking and stored != (None if says_nothing else wanted):
            spoilt = True
        if spoilt:
            self._metrics.states_repaired.value += 1
            _log.warning("supplier state repaired", supplier=supplier, found=str(stored))
        if says_nothing:
            # Readers take such an entry for none, and other implementations stumble over it.
            if stored is not None or not readable:
                await self._states.delete(supplier)
        elif stored != wanted:
            await self._states.put(wanted)
        await self._tell(supplier, watched, staking)
        watched.known = staking

    async def _stored(self, supplier: str) -> tuple[SupplierState | None, bool]:
        """What the store says, and whether it can be read."""
        try:
            return await self._states.get(supplier), True
        except UnreadableValueError:
            return None, False

    async def _tell(self, supplier: str, watched: _Watched, staking: Staking) -> None:
        """Say in the log what has changed, and in the register which services there are."""
        if watched.known == staking:
            return
        _log.info(
            "supplier", supplier=supplier, status=staking.status, services=list(staking.services)
        )
        if watched.known is None or watched.known.services != staking.services:
            await self._register.update(supplier, staking.services)
            self._metrics.registry_updates.bind(UPDATED).value += 1
