"""Claims and proofs from the relay to the money, on the simulated chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.protocol.signature import SigningKey
from tests.devnet.chain.world import Miner, World

if TYPE_CHECKING:
    from relayminer.devnet.chain import Event

RELAYS = 20
SESSION_END = 10
CLAIMED = RELAYS * 1000 * 100


def mined(world: World, supplier: str = "supplier1", relays: int = RELAYS, **options: Any) -> Miner:
    """A supplier with a full trie for the first session, at the last block before its window."""
    world.advance(1)
    miner = Miner(world, supplier, world.session(1)).mine(relays, **options)
    world.advance(SESSION_END + 1)
    return miner


def settle_events(world: World, kind: str) -> list[Event]:
    """The events of one kind in the last block."""
    return [each for each in world.chain.block_results().finalize_block_events if each.type == kind]


def test_valid_proof_is_settled_and_paid() -> None:
    """A claim with a valid proof must be settled in the block that the windows name, and paid."""
    world = World.make()
    miner = mined(world)
    assert miner.run(miner.claim()).ok
    windows = world.windows(SESSION_END)
    world.advance(windows.proof_open_height - 1)
    before = world.balance(world.address("supplier1"))
    result = miner.run(miner.proof())
    assert result.ok, result.log
    (checked,) = settle_events(world, "pocket.proof.EventProofValidityChecked")
    assert checked.value("failure_reason") == '""'
    assert checked.value("claim_proof_status_int") == "1"
    world.advance(windows.settlement_height)
    (settled,) = settle_events(world, "pocket.tokenomics.EventClaimSettled")
    assert settled.value("settled_upokt") == f'"{CLAIMED}upokt"'
    fee = 2000 + 1_000_000
    assert world.balance(world.address("supplier1")) == before - fee + CLAIMED * 7 // 10


def test_missing_proof_expires_and_slashes() -> None:
    """A claim that needs a proof and gets none must expire and cost the supplier its penalty."""
    world = World.make()
    miner = mined(world)
    assert miner.run(miner.claim()).ok
    world.advance(world.windows(SESSION_END).settlement_height)
    (expired,) = settle_events(world, "pocket.tokenomics.EventClaimExpired")
    assert expired.value("expiration_reason") == '"PROOF_MISSING"'
    (slashed,) = settle_events(world, "pocket.tokenomics.EventSupplierSlashed")
    assert slashed.value("supplier_stake_after_slash") == '"1750000upokt"'


def test_forged_ring_makes_the_proof_invalid() -> None:
    """A relay signed by a ring of strangers must make the proof invalid and slash the supplier."""
    world = World.make()
    miner = mined(world, ring_key=SigningKey(b"\x05" * 32))
    assert miner.run(miner.claim()).ok
    world.advance(world.windows(SESSION_END).proof_open_height - 1)
    assert miner.run(miner.proof()).ok
    (checked,) = settle_events(world, "pocket.proof.EventProofValidityChecked")
    assert checked.value("claim_proof_status_int") == "2"
    assert "invalid relay request signature" in (checked.value("failure_reason") or "")
    world.advance(world.windows(SESSION_END).settlement_height)
    (expired,) = settle_events(world, "pocket.tokenomics.EventClaimExpired")
    assert expired.value("expiration_reason") == '"PROOF_INVALID"'


def test_wrong_path_makes_the_proof_invalid() -> None:
    """A proof for a path drawn from another block must be judged invalid, naming the path."""
    world = World.make()
    miner = mined(world)
    assert miner.run(miner.claim()).ok
    world.advance(world.windows(SESSION_END).proof_open_height - 1)
    assert miner.run(miner.proof(seed=b"\x01" * 32)).ok
    (checked,) = settle_events(world, "pocket.proof.EventProofValidityChecked")
    assert "does not match one expected by the onchain protocol" in (
        checked.value("failure_reason") or ""
    )
