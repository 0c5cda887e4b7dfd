"""What relayers are told about suppliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from relayminer.miner.registry import Staking, staking_of
from relayminer.protocol.pb.shared_pb2 import (
    COMET_BFT,
    JSON_RPC,
    WEBSOCKET,
    RPCType,
    ServiceConfigUpdate,
    Supplier,
    SupplierEndpoint,
    SupplierServiceConfig,
)
from relayminer.state.suppliers import (
    StakedEndpoint,
    SupplierRegistry,
    SupplierState,
    SupplierStates,
)

if TYPE_CHECKING:
    from tests.miner.harness import Rig


def config(service: str, *types: RPCType) -> SupplierServiceConfig:
    """A service with endpoints of these types."""
    endpoints = [SupplierEndpoint(rpc_type=one) for one in types]
    return SupplierServiceConfig(service_id=service, endpoints=endpoints)


HISTORY = [
    ServiceConfigUpdate(
        service=config("old", JSON_RPC), activation_height=1, deactivation_height=10
    ),
    ServiceConfigUpdate(service=config("now", WEBSOCKET, COMET_BFT), activation_height=10),
    ServiceConfigUpdate(service=config("later", JSON_RPC), activation_height=20),
]


@pytest.mark.parametrize(
    ("height", "services"),
    [(1, ("old",)), (9, ("old",)), (10, ("now",)), (19, ("now",)), (20, ("later", "now"))],
)
def test_services_follow_the_history(height: int, services: tuple[str, ...]) -> None:
    """A service counts from its activation height to the block before its deactivation."""
    supplier = Supplier(services=[config("flat")], service_config_history=HISTORY)
    assert staking_of(supplier, height).services == services


def test_the_flat_list_counts_without_height_or_history() -> None:
    """At an unknown height, and for a record without history, the flat list is all there is."""
    supplier = Supplier(services=[config("flat", JSON_RPC)], service_config_history=HISTORY)
    assert staking_of(supplier, 0).services == ("flat",)
    assert staking_of(Supplier(services=[config("flat")]), 5).services == ("flat",)


def test_status_and_endpoints() -> None:
    """An unstake height makes a supplier unstaking; RPC types have the names relayers use."""
    supplier = Supplier(
        services=[config("b", COMET_BFT, JSON_RPC), config("a", WEBSOCKET)],
        unstake_session_end_height=30,
        owner_address="pokt1owner",
    )
    assert staking_of(supplier, 5) == Staking(
        "unstaking",
        ("a", "b"),
        (("a", "websocket"), ("b", "cometbft"), ("b", "jsonrpc")),
        30,
        "pokt1owner",
    )


async def until_state(mine: Rig, status: str) -> SupplierState:
    """Wait until relayers read this status."""
    states = SupplierStates(mine.redis, mine.names)
    with trio.fail_after(10):
        while True:
            state = await states.get(mine.supplier)
            if state is not None and state.status == status:
                return state
            await trio.sleep(0.01)


async def test_the_state_follows_the_chain(mine: Rig) -> None:
    """Staked, gone, staked again: relayers read it within a reconcile interval."""
    async with mine.mining():
        state = await until_state(mine, "active")
        assert state.staked
        assert state.services == ("svc",)
        assert state.staked_endpoints == (StakedEndpoint("svc", "jsonrpc"),)
        assert state.updated_by.startswith("test-")
        mine.chain.unstaked.add(mine.supplier)
        assert not (await until_state(mine, "not_staked")).staked
        mine.chain.unstaked.clear()
        await until_state(mine, "active")


async def test_services_change_at_their_height(mine: Rig) -> None:
    """A service that was scheduled is served from its block on, without asking the chain again."""
    mine.settings = attrs.evolve(mine.settings, reconcile_interval_seconds=1000)
    states = SupplierStates(mine.redis, mine.names)
    record = Supplier(
        operator_address=mine.supplier,
        services=[config("now", JSON_RPC)],
        service_config_history=[
            ServiceConfigUpdate(
                service=config("now", JSON_RPC), activation_height=1, deactivation_height=13
            ),
            ServiceConfigUpdate(service=config("later", JSON_RPC), activation_height=12),
        ],
    )
    mine.chain.records[mine.supplier] = record
    async with mine.mining():
        assert (await until_state(mine, "active")).services == ("now",)
        await mine.step_to(12)
        await until_services(states, mine.supplier, ("later", "now"))
        await mine.step_to(13)
        await until_services(states, mine.supplier, ("later",))
        [entry] = await SupplierRegistry(mine.redis, mine.names).all()
        assert entry.services == ("later",)


async def until_services(
    states: SupplierStates, supplier: str, services: tuple[str, ...] | None
) -> None:
    """Wait until relayers read these services; None: nothing at all."""
    with trio.fail_after(10):
        while True:
            state = await states.get(supplier)
            if (None if state is None else state.services) == services:
                return
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    "spoilt",
    [
        b"{",
        b'{"status":"active","staked":true,"services":[]}',
        b'{"status":"unstaking","staked":true,"services":["svc"]}',
        None,
    ],
)
async def test_a_spoilt_entry_is_repaired(mine: Rig, spoilt: bytes | None) -> None:
    """Unreadable, saying nothing, another's farewell, gone: it is right again at the next look."""
    states = SupplierStates(mine.redis, mine.names)
    key = mine.names.supplier_state_key(mine.supplier)
    async with mine.mining():
        await until_state(mine, "active")
        family = mine.metrics._families["ha_miner_supplier_states_repaired"]
        await mine.redis.command(*(("DEL", key) if spoilt is None else ("SET", key, spoilt)))
        with trio.fail_after(10):
            while not sum(one.value for one in family._known.values()):  # type: ignore[attr-defined]  # noqa: ASYNC110
                await trio.sleep(0.01)
        state = await states.get(mine.supplier)
        assert state is not None
        assert (state.status, state.services) == ("active", ("svc",))


async def test_an_entry_that_says_nothing_is_never_written(mine: Rig) -> None:
    """A staked supplier none of whose services is active has no entry; readers take it for that."""
    states = SupplierStates(mine.redis, mine.names)
    async with mine.mining():
        await until_state(mine, "active")
        mine.chain.records[mine.supplier] = Supplier(
            operator_address=mine.supplier,
            service_config_history=[
                ServiceConfigUpdate(service=config("later", JSON_RPC), activation_height=1000)
            ],
        )
        await until_services(states, mine.supplier, None)


async def test_applications_and_services_become_known(mine: Rig) -> None:
    """What relays name is in the sets that the cache leader keeps warm."""
    await mine.log("a" * 64, 1)
    async with mine.mining():
        await mine.counted("a" * 64, 1)
        await mine.step()
        names = mine.names
        services = await mine.redis.command("SMEMBERS", names.cache_known_key("services"))
        assert services == [b"svc"]
        assert await mine.redis.command("SCARD", names.cache_known_key("applications")) == 1


async def test_a_silent_chain_changes_nothing(mine: Rig) -> None:
    """While the chain does not answer, what relayers read stays what it was."""
    async with mine.mining():
        before = await until_state(mine, "active")
        mine.chain.away = True
        await trio.sleep(0.5)
        after = await until_state(mine, "active")
        assert after.services == before.services
        assert await mine.redis.command(
            "SISMEMBER", mine.names.suppliers_registry_index_key, mine.supplier
        )
