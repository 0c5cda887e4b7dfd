"""What relayers know of suppliers, and the register of suppliers that miners serve."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

ACTIVE: Final = "active"
UNSTAKING: Final = "unstaking"
NOT_STAKED: Final = "not_staked"
DRAINING: Final = "draining"


@attrs.frozen
class StakedEndpoint:
    """A transport that a supplier staked for a service; an empty one is unknown."""

    service_id: str
    rpc_type: str


@attrs.frozen(kw_only=True)
class SupplierState:
    """A supplier as the chain and its miner describe it (state 1.5.3).

    Attributes:
        status: `active`, `unstaking` or `not_staked`.
        services: ids of the services it is staked for; None is Go's null.
        unstake_session_end_height: last block of its last session, 0 when it stays.
        last_updated: seconds since 1970.
    """

    operator_address: str
    status: str
    staked: bool
    services: tuple[str, ...] | None = None
    staked_endpoints: tuple[StakedEndpoint, ...] = ()
    unstake_session_end_height: int = 0
    owner_address: str = ""
    last_updated: int = 0
    last_refresh_session_start: int = 0
    updated_by: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it serves; an unstaking supplier does."""
        return self.staked and self.status != NOT_STAKED

    def serves(self, service_id: str) -> bool:
        """Whether it serves `service_id`."""
        return self.is_active and service_id in (self.services or ())

    @property
    def is_contaminated(self) -> bool:
        """Whether it says nothing: active without any service. Readers treat it as absent."""
        return self.staked and self.status == ACTIVE and not self.services


def supplier_state_json(state: SupplierState) -> bytes:
    """The stored form of a supplier's state."""
    value: dict[str, Any] = {
        "status": state.status,
        "staked": state.staked,
        "services": None if state.services is None else list(state.services),
    }
    if state.staked_endpoints:
        value["staked_endpoints"] = [
            {"service_id": one.service_id, "rpc_type": one.rpc_type}
            for one in state.staked_endpoints
        ]
    value["unstake_session_end_height"] = state.unstake_session_end_height
    value["operator_address"] = state.operator_address
    value["owner_address"] = state.owner_address
    value["last_updated"] = state.last_updated
    if state.last_refresh_session_start:
        value["last_refresh_session_start"] = state.last_refresh_session_start
    if state.updated_by:
        value["updated_by"] = state.updated_by
    return gojson.dumps(value)


def parse_supplier_state(data: bytes) -> SupplierState:
    """A supplier's state from its stored form.

    Raises:
        UnreadableValueError: it has another form.
    """
    value = gojson.loads_object(data)
    try:
        services = value.get("services")
        return SupplierState(
            operator_address=str(value.get("operator_address") or ""),
            status=str(value.get("status") or ""),
            staked=bool(value.get("staked")),
            services=None if services is None else tuple(map(str, services)),
            staked_endpoints=tuple(
                StakedEndpoint(str(one.get("service_id", "")), str(one.get("rpc_type", "")))
                for one in value.get("staked_endpoints") or ()
            ),
            unstake_session_end_height=int(value.get("unstake_session_end_height") or 0),
            owner_address=str(value.get("owner_address") or ""),
            last_updated=int(value.get("last_updated") or 0),
            last_refresh_session_start=int(value.get("last_refresh_session_start") or 0),
            updated_by=str(value.get("updated_by") or ""),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise UnreadableValueError(f"not a supplier state: {error}") from error


@attrs.frozen(kw_only=True)
class RegistryEntry:
    """A supplier in the register of those that are being mined (state 1.5.4)."""

    operator_address: str
    services: tuple[str, ...] | None = None
    status: str = ACTIVE
    updated_at: int = 0


def registry_entry_json(entry: RegistryEntry) -> bytes:
    """The stored form of a registry entry."""
    return gojson.dumps(
        {
            "operator_addr": entry.operator_address,
            "services": None if entry.services is None else list(entry.services),
            "status": entry.status,
            "updated_at": entry.updated_at,
        }
    )


def parse_registry_entry(data: bytes) -> RegistryEntry:
    """A registry entry from its stored form; raises UnreadableValueError."""
    value = gojson.loads_object(data)
    try:
        services = value.get("services")
        return RegistryEntry(
            operator_address=str(value["operator_addr"]),
            services=None if services is None else tuple(map(str, services)),
            status=str(value.get("status") or ""),
            updated_at=int(value.get("updated_at") or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a registry entry: {error}") from error


class SupplierStates:
    """Reads, writes and announces supplier states."""

    def __init__(
        self, redis: Redis, names: KeyNames, *, now_seconds: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._names = names
        self._now_seconds = now_seconds

    async def put(self, state: SupplierState) -> SupplierState:
        """Writes a state, stamped with the time, and tells those who cache it."""
        stamped = attrs.evolve(state, last_updated=int(self._now_seconds()))
        await self._redis.pipeline(
            [
                (
                    "SET",
                    self._names.supplier_state_key(state.operator_address),
                    supplier_state_json(stamped),
                ),
                self._announcement(state.operator_address),
            ]
        )
        return stamped

    async def get(self, supplier: str) -> SupplierState | None:
        """A supplier's state; None when there is none. Raises UnreadableValueError."""
        data = await self._redis.command("GET", self._names.supplier_state_key(supplier))
        return None if data is None else parse_supplier_state(data)

    async def all(self) -> list[SupplierState]:
        """Every readable state, by address."""
        found: dict[str, SupplierState] = {}
        async with aclosing(self._redis.scan(self._names.supplier_state_pattern)) as pages:
            async for keys in pages:
                for data in await self._redis.get_many(keys):
                    if data is not None and (state := _readable(data)) is not None:
                        found[state.operator_address] = state
        return [found[address] for address in sorted(found)]

    async def delete(self, supplier: str) -> None:
        """Removes a state and tells those who cache it."""
        await self._redis.pipeline(
            [
                ("DEL", self._names.supplier_state_key(supplier)),
                self._announcement(supplier),
            ]
        )

    def _announcement(self, supplier: str) -> tuple[str, str, str]:
        # The space after the colon is the Go implementation's.
        return (
            "PUBLISH",
            self._names.event_channel("supplier", "invalidate"),
            f'{{"operator_address": "{supplier}"}}',
        )


def _readable(data: bytes) -> SupplierState | None:
    try:
        return parse_supplier_state(data)
    except UnreadableValueError:
        return None


class SupplierRegistry:
    """The register of suppliers being mined, with its announcements."""

    def __init__(
        self, redis: Redis, names: KeyNames, *, now_seconds: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._names = names
        self._now_seconds = now_seconds

    async def add(self, supplier: str, services: Sequence[str] | None = None) -> None:
        """A miner begins to serve the supplier."""
        await self._write("add", supplier, services, ACTIVE, index=True)

    async def update(self, supplier: str, services: Sequence[str] | None = None) -> None:
        """The supplier's services have changed."""
        await self._write("update", supplier, services, ACTIVE, index=True)

    async def drain(self, supplier: str, services: Sequence[str] | None = None) -> None:
        """Its miner is about to stop serving the supplier."""
        await self._write("draining", supplier, services, DRAINING, index=False)

    async def remove(self, supplier: str, services: Sequence[str] | None = None) -> None:
        """Its miner has stopped serving the supplier."""
        await self._redis.transaction(
            [
                ("DEL", self._names.suppliers_registry_key(supplier)),
                ("SREM", self._names.suppliers_registry_index_key, supplier),
                self._announcement("remove", supplier, services),
            ]
        )

    async def all(self) -> list[RegistryEntry]:
        """Every readable entry that the index names, by address."""
        index = self._names.suppliers_registry_index_key
        members = await self._redis.command("SMEMBERS", index)
        addresses = sorted(item.decode(errors="replace") for item in members)
        keys = [self._names.suppliers_registry_key(address) for address in addresses]
        found = await self._redis.get_many(keys)
        return [parse_registry_entry(data) for data in found if data is not None]

    async def _write(
        self,
        action: str,
        supplier: str,
        services: Sequence[str] | None,
        status: str,
        *,
        index: bool,
    ) -> None:
        entry = RegistryEntry(
            operator_address=supplier,
            services=None if services is None else tuple(services),
            status=status,
            updated_at=int(self._now_seconds()),
        )
        commands: list[Sequence[Any]] = [
            ("SET", self._names.suppliers_registry_key(supplier), registry_entry_json(entry)),
            self._announcement(action, supplier, services),
        ]
        if index:
            commands.insert(1, ("SADD", self._names.suppliers_registry_index_key, supplier))
        await self._redis.transaction(commands)

    def _announcement(
        self, action: str, supplier: str, services: Sequence[str] | None
    ) -> tuple[str, str, bytes]:
        value: dict[str, Any] = {"action": action, "operator_addr": supplier}
        if services:
            value["services"] = list(services)
        return ("PUBLISH", self._names.supplier_update_channel, gojson.dumps(value))
