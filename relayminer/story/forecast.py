"""What open sessions would earn if they ended with what is in their tries now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog
from attrs import frozen

from relayminer.chain.errors import ChainError
from relayminer.protocol.errors import AmountError
from relayminer.protocol.reward import claimed_upokt, root_count, root_sum
from relayminer.protocol.windows import session_windows
from relayminer.state.sessions import SessionStore
from relayminer.state.tries import TrieStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.protocol.pb import service_pb2, shared_pb2
    from relayminer.protocol.windows import SessionWindows
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.state.snapshots import Snapshot

_DIGEST_LENGTH = 32

_log = structlog.get_logger("relayminer.story")


class PriceChain(Protocol):
    """What has to be asked of the chain to put a price on compute units."""

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """Shared parameters in force at `height`."""
        ...

    async def difficulty_at(
        self, service_id: str, height: int
    ) -> service_pb2.RelayMiningDifficulty:
        """The relay mining difficulty of a service at `height`."""
        ...


class Prices:
    """Prices and windows, each asked for once; None where the chain does not say."""

    def __init__(self, chain: PriceChain | None) -> None:
        self._chain = chain
        self._params: dict[int, shared_pb2.Params | None] = {}
        self._targets: dict[tuple[str, int], bytes | None] = {}

    async def upokt(self, service_id: str, start_height: int, compute_units: int) -> int | None:
        """What compute units of a session are worth."""
        params = await self._params_at(start_height)
        target = await self._target(service_id, start_height)
        if params is None or target is None:
            return None
        root = bytes(_DIGEST_LENGTH) + compute_units.to_bytes(8) + bytes(8)
        try:
            return claimed_upokt(root, target, params)
        except AmountError:
            return None

    async def windows(self, end_height: int) -> SessionWindows | None:
        """The windows of sessions that end at `end_height`."""
        params = await self._params_at(end_height)
        return None if params is None else session_windows(params, end_height)

    async def _params_at(self, height: int) -> shared_pb2.Params | None:
        if height not in self._params:
            self._params[height] = None
            if self._chain is not None:
                try:
                    self._params[height] = await self._chain.shared_params_at(height)
                except ChainError as error:
                    _log.debug("params not known", height=height, error=str(error))
        return self._params[height]

    async def _target(self, service_id: str, height: int) -> bytes | None:
        key = (service_id, height)
        if key not in self._targets:
            self._targets[key] = None
            if self._chain is not None:
                try:
                    difficulty = await self._chain.difficulty_at(service_id, height)
                    self._targets[key] = difficulty.target_hash
                except ChainError as error:
                    _log.debug("difficulty not known", service_id=service_id, error=str(error))
        return self._targets[key]


@frozen
class Expected:
    """An open session.

    Attributes:
        upokt: what it would earn; None when the chain could not be asked.
    """

    supplier: str
    session_id: str
    service_id: str
    application_address: str
    session_end_height: int
    state: str
    relays: int
    compute_units: int
    upokt: int | None


async def open_sessions(
    redis: Redis, names: KeyNames, suppliers: Sequence[str], prices: Prices
) -> list[Expected]:
    """Every session that may still earn something, by supplier and end.

    Raises:
        StateError: the store does not answer.
    """
    sessions = SessionStore(redis, names, ttl_seconds=1)
    tries = TrieStore(redis, names, ttl_seconds=1, session_ttl_seconds=1)
    found = [
        await _expected(snapshot, tries, prices)
        for supplier in suppliers
        for snapshot in (await sessions.load_all(supplier)).sessions
        if not snapshot.is_terminal
    ]
    return sorted(found, key=lambda one: (one.supplier, one.session_end_height, one.session_id))


async def _expected(snapshot: Snapshot, tries: TrieStore, prices: Prices) -> Expected:
    relays, units = snapshot.relay_count, snapshot.total_compute_units
    roots = await tries.roots(snapshot.supplier_operator_address, snapshot.session_id)
    root = roots.sealed or roots.live
    if root is not None:
        relays, units = root_count(root), root_sum(root)
    amount = await prices.upokt(snapshot.service_id, snapshot.session_start_height, units)
    return Expected(
        snapshot.supplier_operator_address,
        snapshot.session_id,
        snapshot.service_id,
        snapshot.application_address,
        snapshot.session_end_height,
        snapshot.state,
        relays,
        units,
        amount,
    )
