"""Governance, staking, delegation, services: what a control surface can change."""

from __future__ import annotations

from typing import Any

import pytest
from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin

from relayminer.devnet.chain import GenesisError
from relayminer.devnet.chain.accounts import GOV_ADDRESS
from relayminer.devnet.chain.tables import APPLICATIONS, BALANCES, SUPPLIERS
from relayminer.protocol.pb import (
    application_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from tests.devnet.chain.settling import held, supply
from tests.devnet.chain.world import SERVICE, Miner, World


@pytest.fixture
def world() -> World:
    """A chain in its first session."""
    made = World.make()
    made.advance(3)
    return made


def shared_at(world: World, height: int) -> shared_pb2.Params:
    """Shared parameters at a height."""
    request = shared_pb2.QueryParamsAtHeightRequest(height=height)
    found: shared_pb2.Params = world.chain.query(
        "/pocket.shared.Query/ParamsAtHeight", request
    ).params
    return found


def live_shared(world: World) -> shared_pb2.Params:
    """Live shared parameters."""
    request = shared_pb2.QueryParamsRequest()
    found: shared_pb2.Params = world.chain.query("/pocket.shared.Query/Params", request).params
    return found


def govern_shared(world: World, name: str, value: int) -> None:
    """Change one shared parameter in the next block."""
    world.chain.govern(shared_pb2.MsgUpdateParam(authority=GOV_ADDRESS, name=name, as_uint64=value))
    world.block()


def test_session_length_changes_with_the_next_session(world: World) -> None:
    """A new session length must hold from the next session on, with the grid anchored there."""
    govern_shared(world, "num_blocks_per_session", 20)
    assert live_shared(world).num_blocks_per_session == 10
    assert shared_at(world, 10).num_blocks_per_session == 10
    later = shared_at(world, 11)
    assert later.num_blocks_per_session == 20
    assert later.session_grid_anchor_height == 11
    assert later.session_number_at_anchor == 2
    world.advance(11)
    assert live_shared(world).num_blocks_per_session == 20
    session = world.session(11)
    assert (session.header.session_end_block_height, session.session_number) == (30, 2)
    assert world.session(3).header.session_end_block_height == 10


def test_price_changes_at_once_but_not_for_running_sessions(world: World) -> None:
    """A price change must be live at once while sessions keep the price of their start."""
    govern_shared(world, "compute_units_to_tokens_multiplier", 200)
    assert live_shared(world).compute_units_to_tokens_multiplier == 200
    assert shared_at(world, 10).compute_units_to_tokens_multiplier == 100
    assert shared_at(world, 11).compute_units_to_tokens_multiplier == 200


def test_governance_refuses_what_the_chain_refuses(world: World) -> None:
    """Parameters that break a rule, and a wrong authority, must change nothing."""
    before = live_shared(world)
    govern_shared(world, "grace_period_end_offset_blocks", 10)
    assert live_shared(world) == before
    message = shared_pb2.MsgUpdateParams(authority=world.address("dao"), params=before)
    result = world.run([message], world.key("dao"))
    assert "PermissionDenied desc = invalid authority; expected " in result.log
    with pytest.raises(GenesisError, match="no message"):
        world.chain.govern(Coin())


def test_session_params_history(world: World) -> None:
    """Fewer suppliers per session must hold from the next session on."""
    params = session_pb2.Params(num_suppliers_per_session=2)
    world.chain.govern(session_pb2.MsgUpdateParams(authority=GOV_ADDRESS, params=params))
    world.advance(11)
    assert len(world.session(3).suppliers) == 3
    assert len(world.session(11).suppliers) == 2


def test_proof_params_change_at_once(world: World) -> None:
    """A new proof parameter must be live with the next block."""
    world.chain.govern(
        proof_pb2.MsgUpdateParam(
            authority=GOV_ADDRESS, name="proof_request_probability", as_float=0.5
        )
    )
    world.block()
    params = world.chain.query("/pocket.proof.Query/Params", proof_pb2.QueryParamsRequest()).params
    assert params.proof_request_probability == 0.5


def test_undelegated_gateway_stays_in_running_rings(world: World) -> None:
    """A gateway must remain a ring member for the session in which it was undelegated."""
    world.advance(5)
    message = application_pb2.MsgUndelegateFromGateway(
        app_address=world.address("app1"), gateway_address=world.address("gateway1")
    )
    assert world.run([message], world.key("app1")).ok
    application = world.chain.store.get(APPLICATIONS, world.address("app1"))
    assert application is not None
    assert list(application.pending_undelegations) == [10]
    miner = Miner(world, "supplier1", world.session(1)).mine(2)
    world.advance(11)
    assert miner.run(miner.claim()).ok
    world.advance(19)
    assert miner.run(miner.proof()).ok
    events = world.chain.block_results().finalize_block_events
    (checked,) = (each for each in events if each.type.endswith("EventProofValidityChecked"))
    assert checked.value("failure_reason") == '""'


def test_delegation_rules(world: World) -> None:
    """Delegating twice, to a stranger, or undelegating nobody must be refused."""

    def delegation(kind: Any, gateway: str) -> str:
        message = kind(app_address=world.address("app1"), gateway_address=world.address(gateway))
        return world.run([message], world.key("app1")).log

    delegate, undelegate = (
        application_pb2.MsgDelegateToGateway,
        application_pb2.MsgUndelegateFromGateway,
    )
    assert "AlreadyExists" in delegation(delegate, "gateway1")
    assert "gateway not found" in delegation(delegate, "dao")
    assert "not delegated to gateway" in delegation(undelegate, "dao")


def supplier_stake(
    world: World, name: str, amount: int, *services: str
) -> supplier_pb2.MsgStakeSupplier:
    """A stake of a supplier that is its own owner."""
    address = world.address(name)
    configs = [
        shared_pb2.SupplierServiceConfig(
            service_id=service,
            endpoints=[
                shared_pb2.SupplierEndpoint(url="http://127.0.0.1:1", rpc_type=shared_pb2.JSON_RPC)
            ],
            rev_share=[shared_pb2.ServiceRevenueShare(address=address, rev_share_percentage=100)],
        )
        for service in services
    ]
    return supplier_pb2.MsgStakeSupplier(
        signer=address,
        owner_address=address,
        operator_address=address,
        stake=Coin(denom="upokt", amount=str(amount)),
        services=configs,
    )


def test_new_supplier_joins_the_next_session(world: World) -> None:
    """A newly staked supplier must serve from the next session on, for its fee and its stake."""
    before = world.balance(world.address("dao"))
    result = world.run([supplier_stake(world, "dao", 5_000_000, SERVICE)], world.key("dao"))
    assert result.ok, result.log
    assert world.balance(world.address("dao")) == before - 5_000_000 - 1_000_000 - 2000
    world.advance(11)
    members = [each.operator_address for each in world.session(10).suppliers]
    assert world.address("dao") not in members
    members = [each.operator_address for each in world.session(11).suppliers]
    assert world.address("dao") in members


def test_unstaked_supplier_gets_its_stake_back(world: World) -> None:
    """An unstaked supplier must finish its session and get its stake when unbonding ends."""
    address = world.address("supplier1")
    message = supplier_pb2.MsgUnstakeSupplier(signer=address, operator_address=address)
    assert world.run([message], world.key("supplier1")).ok
    assert address in [each.operator_address for each in world.session(4).suppliers]
    world.advance(11)
    assert address not in [each.operator_address for each in world.session(11).suppliers]
    before = world.balance(address)
    world.advance(210)
    assert world.chain.store.get(SUPPLIERS, address) is None
    assert world.balance(address) == before + 2_000_000
    assert held(world) == supply(world)


def test_supplier_stake_rules(world: World) -> None:
    """Too little stake, unknown services and broken configurations must be refused."""
    low = world.run([supplier_stake(world, "dao", 999_999, SERVICE)], world.key("dao"))
    assert "must stake at least 1000000upokt: invalid supplier stake" in low.log
    unknown = world.run([supplier_stake(world, "dao", 5_000_000, "nope")], world.key("dao"))
    assert 'service "nope" does not exist' in unknown.log
    broken = supplier_stake(world, "dao", 5_000_000, SERVICE)
    broken.services[0].rev_share[0].rev_share_percentage = 50
    refused = world.run([broken], world.key("dao"))
    assert (refused.codespace, refused.code) == ("supplier", 1104)


def test_unstaked_application_loses_its_sessions(world: World) -> None:
    """An unstaked application must have no session after its last, and get its stake back."""
    address = world.address("app1")
    message = application_pb2.MsgUnstakeApplication(address=address)
    assert world.run([message], world.key("app1")).ok
    world.advance(11)
    with pytest.raises(Exception, match="is not active for session"):
        world.session(11)
    before = world.balance(address)
    world.advance(30)
    assert world.balance(address) == before + 10_000_000_000
    assert world.chain.store.get(APPLICATIONS, address) is None


def test_application_changes_its_service_with_the_next_session(world: World) -> None:
    """Another service of an application must hold from the next session on."""
    message = application_pb2.MsgStakeApplication(
        address=world.address("app1"),
        stake=Coin(denom="upokt", amount="10000000001"),
        services=[shared_pb2.ApplicationServiceConfig(service_id="develop-grpc")],
    )
    assert world.run([message], world.key("app1")).ok
    assert world.session(4).header.service_id == SERVICE
    world.advance(11)
    assert world.session(11, service="develop-grpc").header.service_id == "develop-grpc"


def test_compute_units_change_with_the_next_session(world: World) -> None:
    """Changed compute units must leave the running session alone."""
    owner = world.address("source_owner")
    service = shared_pb2.Service(
        id=SERVICE, name=SERVICE, compute_units_per_relay=7, owner_address=owner
    )
    message = service_pb2.MsgAddService(owner_address=owner, service=service)
    assert world.run([message], world.key("source_owner")).ok

    def units(height: int) -> int:
        request = service_pb2.QueryComputeUnitsPerRelayAtHeightRequest(
            serviceId=SERVICE, blockHeight=height
        )
        method = "/pocket.service.Query/ComputeUnitsPerRelayAtHeight"
        found: int = world.chain.query(method, request).computeUnitsPerRelay
        return found

    assert (units(1), units(10), units(11)) == (1000, 1000, 7)


def test_new_service_costs_its_fee(world: World) -> None:
    """A new service must cost the fee, of which the owner must hold more than just that."""
    owner = world.address("dao")
    service = shared_pb2.Service(id="svc", compute_units_per_relay=1, owner_address=owner)
    message = service_pb2.MsgAddService(owner_address=owner, service=service)
    world.chain.store.set(BALANCES, (owner, "upokt"), 1_000_000_000 + 2000)
    assert "not enough funds to add service" in world.run([message], world.key("dao")).log
    world.chain.store.set(BALANCES, (owner, "upokt"), 1_000_000_001 + 2000)
    assert world.run([message], world.key("dao")).ok
    assert world.balance(owner) == 1
