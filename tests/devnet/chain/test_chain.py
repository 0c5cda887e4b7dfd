"""The chain as a whole: determinism, genesis, history, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nacl.signing import VerifyKey

from relayminer.devnet.chain import (
    Chain,
    GenesisError,
    HeightError,
    StalledError,
    comet,
    load_genesis,
    make_genesis,
)
from relayminer.devnet.chain.store import Store, Table
from relayminer.devnet.chain.tables import BLOCK_HASHES
from relayminer.protocol.address import address_of
from tests.devnet.chain.test_ante import send
from tests.devnet.chain.world import SECOND, Miner, World

NUMBERS: Table[str, int] = Table("numbers")


def story() -> Chain:
    """A few blocks with a claim in them."""
    world = World.make(seed=b"same")
    world.advance(1)
    miner = Miner(world, "supplier1", world.session(1))
    world.advance(11)
    claim = miner.claim()
    claim.root_hash = bytes(32) + (2000).to_bytes(8, "big") + (2).to_bytes(8, "big")
    assert miner.run(claim).ok
    world.advance(40)
    return world.chain


def test_same_inputs_same_chain() -> None:
    """Equal seeds, times and transactions must give equal hashes and events."""
    one, two = story(), story()
    for height in range(1, one.height + 1):
        assert one.block(height) == two.block(height)
        assert one.block_results(height) == two.block_results(height)


def test_blocks_are_chained_and_signed() -> None:
    """Each block must name the one before, whose commit the validator's key has signed."""
    chain = story()
    key = VerifyKey(chain.validator_public_key)
    for height in range(2, chain.height + 1):
        block, before = chain.block(height), chain.block(height - 1)
        assert block.header.last_block_id == before.block_id
        assert block.header.app_hash == chain.block_results(height - 1).app_hash
        assert block.hash == comet.header_hash(block.header)
        (signed,) = block.last_commit.signatures
        message = comet.commit_sign_bytes(
            chain.chain_id, before.height, before.block_id, signed.timestamp_ns
        )
        key.verify(message, signed.signature)
        assert chain.store.get(BLOCK_HASHES, height) == block.hash


def test_heights_outside() -> None:
    """Heights outside the chain must be refused in the RPC server's words."""
    chain = Chain(make_genesis(suppliers=1))
    chain.produce_block(chain.time_ns)
    with pytest.raises(HeightError, match="height must be greater than 0, but got 0"):
        chain.block(0)
    text = "height 2 must be less than or equal to the current blockchain height 1"
    with pytest.raises(HeightError, match=text):
        chain.block(2)


def test_history_is_bounded() -> None:
    """Only the newest blocks must be kept, with their transactions."""
    world = World(Chain(make_genesis(suppliers=1), history_blocks=3))
    world.block()
    assert world.run([send(world)], world.key("app1")).ok
    world.advance(6)
    assert world.chain.base_height == 4
    with pytest.raises(HeightError, match="height 3 is not available, lowest height is 4"):
        world.chain.block(3)
    assert world.chain.search("tx.height > 0") == []


def test_time_never_goes_back() -> None:
    """A block must be later than the one before, whatever time is asked for."""
    chain = Chain(make_genesis(suppliers=1))
    first = chain.produce_block(chain.time_ns + SECOND)
    assert chain.produce_block(0).time_ns == first.time_ns + 1


def test_genesis_keys_fit_the_accounts() -> None:
    """Every account of a made genesis must have its key and its public key on chain."""
    world = World.make(applications=3, gateways=2, services=2)
    keys = world.chain.genesis.keys
    assert {"app3", "gateway2", "supplier3", "source_owner"} <= set(keys.names)
    for name, address in keys.names.items():
        assert address_of(world.key(name).public_key) == address
    assert (
        world.chain.genesis.keys.names.keys()
        == make_genesis(applications=3, gateways=2, services=2, suppliers=3).keys.names.keys()
    )
    assert "secret" not in repr(keys)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"chain_id": ""}, "needs chain_id"),
        ({"genesis_time": "yesterday"}, "is no time"),
        ({"app_state": {"proof": {"params": {"proof_submission_fee": 7}}}}, "does not fit"),
    ],
)
def test_broken_genesis(change: dict[str, Any], problem: str) -> None:
    """A genesis that cannot be started from must be refused with the reason."""
    document = dict(make_genesis(suppliers=1).document)
    with pytest.raises(GenesisError, match=problem):
        load_genesis({**document, **change})


def test_stall_delay_refuse_shuffle() -> None:
    """Each fault must do what it says, and end."""
    world = World.make()
    world.block()
    faults = world.chain.faults
    faults.stalled = True
    with pytest.raises(StalledError):
        world.block()
    faults.stalled = False
    faults.delay_txs(2)
    assert world.chain.broadcast(world.sign([send(world)], world.key("app1"))).ok
    faults.delay_txs(0)
    assert [len(world.block().txs) for _ in range(3)] == [0, 0, 1]
    faults.refuse_txs(1, 1105, "other", "because")
    tx = world.sign([send(world)], world.key("app1"))
    refused = world.chain.broadcast(tx)
    assert (refused.codespace, refused.code, refused.log) == ("other", 1105, "because")
    assert world.chain.broadcast(tx).ok
    world.block()
    faults.shuffle(7)
    txs = [world.sign([send(world, amount)], world.key("app1")) for amount in range(1, 9)]
    for each in txs:
        assert world.chain.broadcast(each).ok
    block = world.block()
    assert sorted(block.txs) == sorted(txs)
    assert list(block.txs) != txs


def test_a_lost_transaction_never_comes_and_may_be_sent_again() -> None:
    """Accepted like any other, in no block, and welcome when it is broadcast again."""
    world = World.make()
    world.block()
    tx = world.sign([send(world)], world.key("app1"))
    world.chain.faults.lose_txs = 1
    assert world.chain.broadcast(tx).ok
    assert [len(world.block().txs) for _ in range(3)] == [0, 0, 0]
    assert world.chain.broadcast(tx).ok
    assert world.block().txs == (tx,)


def test_store_layers() -> None:
    """A branch must read through, hide deletions, and merge only when it is written."""
    root = Store()
    root.set(NUMBERS, "a", 1)
    root.set(NUMBERS, "b", 2)
    branch = root.branch()
    branch.delete(NUMBERS, "a")
    branch.set(NUMBERS, "c", 3)
    upper = branch.branch()
    upper.set(NUMBERS, "a", 9)
    assert root.items(NUMBERS) == [("a", 1), ("b", 2)]
    assert branch.items(NUMBERS) == [("b", 2), ("c", 3)]
    assert upper.items(NUMBERS) == [("a", 9), ("b", 2), ("c", 3)]
    upper.write()
    branch.write()
    assert root.items(NUMBERS) == [("a", 9), ("b", 2), ("c", 3)]


def test_no_file_imports_what_it_must_not() -> None:
    """The simulated chain must share nothing with the relay miner but the protocol."""
    folder = Path(comet.__file__).parent
    forbidden = ("relayer", "miner", "state", "chain", "keys", "config", "net")
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in forbidden:
            assert f"from relayminer.{name}" not in text, path.name
