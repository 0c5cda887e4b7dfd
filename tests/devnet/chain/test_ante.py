"""What CheckTx and blocks make of sequences, nonces, fees, keys and gas."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import pytest
from cosmpy.protos.cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin

from relayminer.devnet.chain import Chain, QueryError, make_genesis
from relayminer.devnet.chain.tables import ACCOUNTS, NONCES
from relayminer.protocol.signature import SigningKey
from tests.devnet.chain.world import SECOND, World


@pytest.fixture
def world() -> World:
    """A chain after its first block."""
    made = World.make()
    made.block()
    return made


def send(world: World, amount: int = 1, sender: str = "app1", to: str = "dao") -> MsgSend:
    """A payment between two actors."""
    return MsgSend(
        from_address=world.address(sender),
        to_address=world.address(to),
        amount=[Coin(denom="upokt", amount=str(amount))],
    )


def check(world: World, **options: Any) -> tuple[str, int]:
    """Codespace and code of CheckTx for a broken payment."""
    key = options.pop("key", world.key("app1"))
    result = world.chain.check_tx(world.sign([send(world)], key, **options))
    return result.codespace, result.code


def test_ordered_transactions_count_sequences(world: World) -> None:
    """Ordered transactions must pass CheckTx one after another before any of them is in a block."""
    key = world.key("app1")
    for sequence in range(3):
        tx = world.sign([send(world)], key, unordered=False, sequence=sequence)
        assert world.chain.broadcast(tx).ok
    late = world.sign([send(world, 2)], key, unordered=False, sequence=1)
    assert world.chain.broadcast(late).code == 32
    world.block()
    assert [each.ok for each in world.chain.block_results().tx_results] == [True] * 3
    account = world.chain.store.get(ACCOUNTS, key.address)
    assert account is not None
    assert account.sequence == 3


def test_unordered_leave_the_sequence_alone(world: World) -> None:
    """Unordered transactions must not move the account's sequence."""
    assert world.run([send(world)], world.key("app1")).ok
    account = world.chain.store.get(ACCOUNTS, world.address("app1"))
    assert account is not None
    assert account.sequence == 0


def test_nonce_is_refused_before_and_after_inclusion(world: World) -> None:
    """One (signer, timeout) pair must be accepted once, in the mempool and on chain."""
    key = world.key("app1")
    timeout_ns = world.chain.time_ns + 60 * SECOND
    first = world.sign([send(world, 1)], key, timeout_ns=timeout_ns)
    second = world.sign([send(world, 2)], key, timeout_ns=timeout_ns)
    assert world.chain.broadcast(first).ok
    refused = world.chain.broadcast(second)
    assert (refused.codespace, refused.code) == ("sdk", 18)
    assert "has already used timeout" in refused.log
    world.block()
    assert world.chain.broadcast(second).code == 18


def test_nonce_is_forgotten_after_its_timeout(world: World) -> None:
    """A nonce must leave the state with the first block after its timeout."""
    assert world.run([send(world)], world.key("app1"), lifetime_ns=10 * SECOND).ok
    assert len(world.chain.store.items(NONCES)) == 1
    world.block(seconds=20)
    assert world.chain.store.items(NONCES) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sequence": 1}, ("sdk", 18)),
        ({"lifetime_ns": 601 * SECOND}, ("sdk", 18)),
        ({"lifetime_ns": -SECOND}, ("sdk", 42)),
        ({"unordered": False, "sequence": 5}, ("sdk", 32)),
        ({"memo": "m" * 257}, ("sdk", 12)),
        ({"chain_id": "other"}, ("sdk", 4)),
        ({"account_number": 99}, ("sdk", 4)),
        ({"gas": 0}, ("sdk", 11)),
        ({"gas": 30_000}, ("sdk", 11)),
        ({"fee": 10**18}, ("sdk", 5)),
        ({"key": SigningKey(b"\x09" * 32)}, ("sdk", 8)),
    ],
)
def test_refusals(world: World, options: dict[str, Any], expected: tuple[str, int]) -> None:
    """Each broken envelope must be refused by its own code."""
    assert check(world, **options) == expected


def test_timeout_height(world: World) -> None:
    """A transaction whose timeout height has passed must be refused."""
    world.advance(5)
    assert check(world, timeout_height=3) == ("sdk", 30)
    assert check(world, timeout_height=5) == ("", 0)


def test_unknown_account(world: World) -> None:
    """A signer that the chain has never seen must be refused as unknown."""
    stranger = SigningKey(b"\x08" * 32)
    message = send(world)
    message.from_address = stranger.address
    result = world.chain.check_tx(world.sign([message], stranger, fee=0))
    assert (result.codespace, result.code) == ("sdk", 9)


def test_minimum_gas_price() -> None:
    """The minimum gas price must bind in CheckTx alone, not in blocks or simulation."""
    chain = Chain(make_genesis(suppliers=1), min_gas_price_upokt=Decimal("0.001"))
    world = World(chain)
    world.block()
    cheap = world.sign([send(world)], world.key("app1"), gas=1_000_001, fee=1000)
    assert chain.check_tx(cheap).code == 13
    assert chain.simulate(cheap).gas_used > 0
    enough = world.sign([send(world)], world.key("app1"), gas=1_000_000, fee=1000)
    assert chain.check_tx(enough).ok


def test_failed_message_keeps_fee_and_nonce(world: World) -> None:
    """A message that fails in a block must cost its fee and its nonce, and nothing else."""
    before = world.balance(world.address("app1"))
    result = world.run([send(world, 1), send(world, 10**17)], world.key("app1"))
    assert (result.codespace, result.code) == ("sdk", 5)
    assert result.log.startswith("failed to execute message; message index: 1: ")
    assert world.balance(world.address("app1")) == before - 2000


def test_public_key_is_published() -> None:
    """An account without a key on chain must have it after its first transaction."""
    world = World.make(public_keys=False)
    world.block()
    assert world.run([send(world)], world.key("app1")).ok
    account = world.chain.store.get(ACCOUNTS, world.address("app1"))
    assert account is not None
    assert account.public_key == world.key("app1").public_key


def test_simulation_changes_nothing(world: World) -> None:
    """A simulation must leave balances, nonces and the CheckTx state as they were."""
    tx = world.sign([send(world)], world.key("app1"), gas=0, fee=0)
    before = world.balance(world.address("app1"))
    first = world.chain.simulate(tx)
    assert world.chain.simulate(tx) == first
    assert world.balance(world.address("app1")) == before
    with pytest.raises(QueryError, match=r"insufficient funds .* with gas used: '[0-9]+'"):
        world.chain.simulate(world.sign([send(world, 10**17)], world.key("app1")))


def test_simulated_gas_is_enough(world: World) -> None:
    """The reference client's gas (simulated, times 1.7) must be enough in a block."""
    used = world.chain.simulate(world.sign([send(world)], world.key("app1"))).gas_used
    assert world.run([send(world)], world.key("app1"), gas=int(used * 1.7)).ok


def test_mempool_cache(world: World) -> None:
    """The same bytes must be answered with code 19 while waiting and after inclusion."""
    tx = world.sign([send(world)], world.key("app1"))
    assert world.chain.broadcast(tx).ok
    assert world.chain.broadcast(tx).code == 19
    world.block()
    assert world.chain.broadcast(tx).code == 19
    assert len(world.chain.mempool) == 0
    assert world.chain.tx(hashlib.sha256(tx).digest()) is not None


def test_mempool_bound() -> None:
    """A full mempool must answer code 20 and take the transaction once it has room."""
    world = World(Chain(make_genesis(suppliers=1), mempool_size=1))
    world.block()
    first, second = (world.sign([send(world, n)], world.key("app1")) for n in (1, 2))
    assert world.chain.broadcast(first).ok
    assert world.chain.broadcast(second).code == 20
    world.block()
    assert world.chain.broadcast(second).ok


def test_refused_transaction_may_come_again(world: World) -> None:
    """A transaction that CheckTx refused must not be remembered as seen."""
    tx = world.sign([send(world)], world.key("app1"), unordered=False, sequence=1)
    assert world.chain.broadcast(tx).code == 32
    first = world.sign([send(world)], world.key("app1"), unordered=False, sequence=0)
    assert world.chain.broadcast(first).ok
    assert world.chain.broadcast(tx).ok
