"""Claims put straight into the state, to see what settlement makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.devnet.chain.tables import APPLICATIONS, BALANCES, CLAIMS, SUPPLIERS, SUPPLY
from relayminer.protocol.address import module_address
from relayminer.protocol.pb import proof_pb2
from tests.devnet.chain.world import SERVICE, World

if TYPE_CHECKING:
    from relayminer.devnet.chain import Event

SESSION_END = 10
COMPUTE_UNITS = 1000
UPOKT_PER_RELAY = 100_000


def put_claim(
    world: World,
    supplier: str,
    relays: int,
    *,
    app: str = "app1",
    status: proof_pb2.ClaimProofStatus = proof_pb2.VALIDATED,
    units_per_relay: int = COMPUTE_UNITS,
) -> proof_pb2.Claim:
    """A claim of `relays` for the first session of an application."""
    claim = proof_pb2.Claim(
        supplier_operator_address=world.address(supplier),
        root_hash=bytes(32)
        + (relays * units_per_relay).to_bytes(8, "big")
        + relays.to_bytes(8, "big"),
        proof_validation_status=status,
    )
    claim.session_header.CopyFrom(world.session(1, app=app).header)
    key = (claim.session_header.session_id, claim.supplier_operator_address)
    world.chain.store.set(CLAIMS, key, claim)
    return claim


def settle(world: World) -> list[Event]:
    """Make the block that settles the first session; its end-of-block events."""
    world.advance(world.windows(SESSION_END).settlement_height)
    return [
        event
        for event in world.chain.block_results().finalize_block_events
        if event.value("mode") == "EndBlock"
    ]


def of(events: list[Event], name: str) -> list[Event]:
    """The events of one kind."""
    return [event for event in events if event.type.endswith(f".{name}")]


def upokt(event: Event, key: str) -> int:
    """An amount in an event."""
    return int((event.value(key) or "").strip('"').removesuffix("upokt"))


def supply(world: World) -> int:
    """All upokt there are."""
    return world.chain.store.get(SUPPLY, "upokt") or 0


def held(world: World) -> int:
    """What all balances add up to."""
    return sum(
        amount for (_, denom), amount in world.chain.store.items(BALANCES) if denom == "upokt"
    )


def module_gap(world: World, module: str) -> int:
    """What a module holds beyond the stakes that it keeps."""
    table: Any = APPLICATIONS if module == "application" else SUPPLIERS
    stakes = sum(int(each.stake.amount) for each in world.chain.store.values(table))
    return world.balance(module_address(module)) - stakes


def make(**options: Any) -> World:
    """A world in the middle of its first session."""
    world = World.make(services=[SERVICE], **options)
    world.advance(5)
    return world
