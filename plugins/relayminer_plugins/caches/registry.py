"""What the miners write for the relayers: supplier states and budget factors.

Neither comes from the chain: what the store does not have does not exist.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.plugin import ALL
from relayminer_plugins.caches.common import announced_key, invalidated_key

if TYPE_CHECKING:
    from relayminer.plugin import ChainReader, KeyNames, Moment

ACTIVE = "active"


class SupplierState:
    """What a relayer must know of a supplier.

    Attributes:
        readable: False when the stored text is no such state.
        services: ids that the supplier is staked for.
        endpoints: (service, RPC type) pairs declared on chain; empty means unknown.
        contaminated: an impossible state that must be read as absent.
    """

    __slots__ = ("contaminated", "endpoints", "readable", "services", "staked", "status")

    def __init__(
        self,
        *,
        readable: bool,
        status: str = "",
        staked: bool = False,
        services: frozenset[str] = frozenset(),
        endpoints: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.readable = readable
        self.status = status
        self.staked = staked
        self.services = services
        self.endpoints = endpoints
        self.contaminated = readable and staked and status == ACTIVE and not services


class SupplierCache:
    """Supplier states by operator address."""

    name = "supplier"
    memory_seconds = 60.0
    absent_seconds = 2.0

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry per address."""
        return names.supplier_state_key(key)

    def store_seconds(self, key: str, value: SupplierState, now: Moment) -> float | None:
        """Never written by a reader."""
        del key, value, now
        return 0.0

    def encode(self, value: SupplierState) -> bytes:
        """Never written by a reader."""
        raise TypeError(f"supplier state {value.status!r} is written by miners only")

    def decode(self, data: bytes) -> SupplierState:
        """JSON; a text that cannot be read is a state of its own."""
        try:
            value = json.loads(data)
            return SupplierState(
                readable=True,
                status=str(value.get("status", "")),
                staked=bool(value.get("staked", False)),
                services=frozenset(value.get("services") or ()),
                endpoints=frozenset(
                    (one.get("service_id", ""), one["rpc_type"])
                    for one in value.get("staked_endpoints") or ()
                    if one.get("rpc_type")
                ),
            )
        except (ValueError, AttributeError, TypeError):
            return SupplierState(readable=False)

    async def load(self, chain: ChainReader, key: str) -> SupplierState:
        """There is nobody else to ask."""
        del chain
        raise LookupError(f"no miner has registered {key}")

    def channel(self, names: KeyNames) -> str | None:
        """`{"operator_address": "..."}`."""
        return names.event_channel("supplier", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """The address."""
        return invalidated_key(payload, "operator_address")

    def announcement(self, key: str) -> bytes:
        """The same message."""
        return announced_key(key, "operator_address")


class ServiceFactorCache:
    """Budget factors by service id; the default one under the empty text."""

    name = "service_factor"
    memory_seconds = 60.0
    absent_seconds = 30.0

    def store_key(self, names: KeyNames, key: str) -> str | None:
        """One entry per service, and one for all others."""
        return names.service_factor_service_key(key) if key else names.service_factor_default_key

    def store_seconds(self, key: str, value: float, now: Moment) -> float | None:
        """Never written by a reader."""
        del key, value, now
        return 0.0

    def encode(self, value: float) -> bytes:
        """JSON."""
        return json.dumps({"factor": value}).encode()

    def decode(self, data: bytes) -> float:
        """JSON; a factor that is not positive is none."""
        factor = float(json.loads(data)["factor"])
        if factor <= 0:
            raise ValueError(f"a service factor of {factor}")
        return factor

    async def load(self, chain: ChainReader, key: str) -> float:
        """There is nobody else to ask."""
        del chain
        raise LookupError(f"no factor for {key or 'all services'}")

    def channel(self, names: KeyNames) -> str | None:
        """`{"service_id": "..."}`; `{}` means the default one."""
        return names.event_channel("service_factor", "invalidate")

    def invalidated(self, payload: bytes) -> Any:
        """The service id."""
        try:
            value = json.loads(payload)
        except ValueError:
            return ALL
        return value.get("service_id", "") if isinstance(value, dict) else ALL

    def announcement(self, key: str) -> bytes:
        """The same message."""
        return announced_key(key, "service_id") if key else b"{}"
