"""Sending transactions: what is retried, what is remembered, what is never done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from cosmpy.protos.cosmos.tx.v1beta1 import tx_pb2
from hypothesis import given
from hypothesis import strategies as st

from relayminer.chain.accounts import Account
from relayminer.chain.client import TxClient
from relayminer.chain.errors import (
    ChainQueryError,
    ChainUnavailableError,
    GasPriceError,
    SimulationRefusedError,
    TransactionRefusedError,
)
from relayminer.chain.fees import parse_gas_price
from relayminer.chain.queries import Broadcast
from relayminer.chain.transactions import lifetime_for_window, tx_hash
from relayminer.config.settings import TransactionSettings
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from trio.testing import MockClock

KEY = SigningKey.from_seed(b"supplier")
NOW_NS = 1_700_000_000_000_000_000
ACCEPTED = ("", 0, "")


class Node:
    """A chain that a test plays.

    Attributes:
        simulations: gas, or an error, per call; the last one stays.
        broadcasts: `(codespace, code, log)`, or an error, per call; the last one stays.
        received: every transaction that was broadcast.
    """

    def __init__(self) -> None:
        self.number = 7
        self.accounts_asked = 0
        self.simulations: list[int | Exception] = [100_000]
        self.broadcasts: list[tuple[str, int, str] | Exception] = [ACCEPTED]
        self.received: list[bytes] = []

    async def account(self, address: str) -> Account:
        """The account, with a number that may change."""
        await trio.lowlevel.checkpoint()
        self.accounts_asked += 1
        return Account(address, self.number, 0, None)

    async def simulate(self, tx_bytes: bytes) -> int:
        """The next gas."""
        await trio.lowlevel.checkpoint()
        assert tx_bytes
        step = self.simulations.pop(0) if len(self.simulations) > 1 else self.simulations[0]
        if isinstance(step, Exception):
            raise step
        return step

    async def broadcast(self, tx_bytes: bytes) -> Broadcast:
        """The next answer."""
        await trio.lowlevel.checkpoint()
        self.received.append(tx_bytes)
        step = self.broadcasts.pop(0) if len(self.broadcasts) > 1 else self.broadcasts[0]
        if isinstance(step, Exception):
            raise step
        return Broadcast(tx_hash(tx_bytes), *step)


def client_of(node: Node, **settings: object) -> TxClient:
    """A client whose chain's clock stands still."""
    return TxClient(node, TransactionSettings(**settings), "pocket", lambda: NOW_NS)  # type: ignore[arg-type]  # test data


def claim(number: int = 0) -> proof_pb2.MsgCreateClaim:
    """A claim unlike others."""
    return proof_pb2.MsgCreateClaim(
        supplier_operator_address=KEY.address, root_hash=number.to_bytes(48, "big")
    )


def body_of(tx_bytes: bytes) -> tx_pb2.TxBody:
    """The body of a transaction."""
    return tx_pb2.TxBody.FromString(tx_pb2.TxRaw.FromString(tx_bytes).body_bytes)


async def test_gas_is_simulated_adjusted_and_paid() -> None:
    """Gas is what simulation took times the adjustment, the fee its price rounded up."""
    node = Node()
    submitted = await client_of(node).submit([claim()], KEY, 120)
    assert (submitted.gas, submitted.fee_upokt, submitted.code) == (170_000, 1, 0)
    assert submitted.tx_hash == tx_hash(node.received[0])
    raw = tx_pb2.TxRaw.FromString(node.received[0])
    info = tx_pb2.AuthInfo.FromString(raw.auth_info_bytes)
    assert info.fee.gas_limit == 170_000
    assert [(coin.denom, coin.amount) for coin in info.fee.amount] == [("upokt", "1")]


async def test_a_node_that_cannot_simulate_gets_the_fallback_gas() -> None:
    """A simulation that fails for other reasons than the messages does not stop a submission."""
    for error in (
        ChainUnavailableError("away"),
        ChainQueryError("no such method", "UNIMPLEMENTED"),
        ChainQueryError("broken", "INTERNAL"),
    ):
        node = Node()
        node.simulations = [error]
        submitted = await client_of(node).submit([claim(), claim(1)], KEY, 120)
        assert submitted.gas == 400_000


async def test_messages_that_would_fail_are_not_sent() -> None:
    """A refused simulation costs nothing and names the message."""
    node = Node()
    text = "failed to execute message; message index: 1: rpc error: desc = claim window"
    node.simulations = [ChainQueryError(text, "UNKNOWN")]
    with pytest.raises(SimulationRefusedError) as refused:
        await client_of(node).submit([claim(), claim(1)], KEY, 120)
    assert refused.value.message_index == 1
    assert node.received == []


async def test_a_given_gas_limit_is_taken_without_simulation() -> None:
    """Settings or caller can fix the gas."""
    node = Node()
    node.simulations = [AssertionError("never asked")]
    assert (await client_of(node, gas_limit=5).submit([claim()], KEY, 9)).gas == 5
    assert (await client_of(node).submit([claim()], KEY, 9, gas_limit=6)).gas == 6


async def test_the_same_bytes_again_are_accepted() -> None:
    """Code 19 says that the mempool has the transaction: that is what was wanted."""
    node = Node()
    node.broadcasts = [("sdk", 19, "")]
    assert (await client_of(node).submit([claim()], KEY, 120)).code == 19


async def test_an_unanswered_broadcast_is_repeated_with_the_same_bytes(
    autojump_clock: MockClock,
) -> None:
    """Not knowing whether the node has it, we send what can only count once."""
    node = Node()
    node.broadcasts = [ChainUnavailableError("a"), ChainUnavailableError("b"), ("sdk", 19, "")]
    submitted = await client_of(node).submit([claim()], KEY, 120)
    assert submitted.code == 19
    assert len(node.received) == 3
    assert len(set(node.received)) == 1
    assert autojump_clock.current_time() < 10


async def test_a_node_that_stays_away_is_told(autojump_clock: MockClock) -> None:
    """After the last attempt the caller learns that it is not known."""
    node = Node()
    node.broadcasts = [ChainUnavailableError("away")]
    with pytest.raises(ChainUnavailableError):
        await client_of(node).submit([claim()], KEY, 120)
    assert len(node.received) == 3
    assert autojump_clock.current_time() < 10


async def test_a_refusal_carries_what_the_node_said() -> None:
    """Codespace, code and log reach the caller, other codespaces' 19 included."""
    for answer in (("sdk", 13, "insufficient fee"), ("proof", 19, "other")):
        node = Node()
        node.broadcasts = [answer]
        with pytest.raises(TransactionRefusedError) as refused:
            await client_of(node).submit([claim()], KEY, 120)
        error = refused.value
        assert (error.codespace, error.code, error.raw_log) == answer
        assert error.tx_hash == tx_hash(node.received[0])


async def test_a_changed_account_number_is_learned_from_a_bad_signature() -> None:
    """The number is cached, and asked for again when the chain does not accept a signature."""
    node = Node()
    client = client_of(node)
    await client.submit([claim()], KEY, 120)
    await client.submit([claim(1)], KEY, 120)
    assert node.accounts_asked == 1
    node.number = 8
    node.broadcasts = [("sdk", 4, "signature verification failed"), ACCEPTED]
    assert (await client.submit([claim(2)], KEY, 120)).code == 0
    assert node.accounts_asked == 2


async def test_a_bad_signature_with_the_right_account_number_is_a_refusal() -> None:
    """There is no second attempt when nothing would be different."""
    node = Node()
    node.broadcasts = [("sdk", 4, "signature verification failed")]
    with pytest.raises(TransactionRefusedError):
        await client_of(node).submit([claim()], KEY, 120)
    assert len(node.received) == 1


async def test_timestamps_of_one_supplier_are_unique_and_in_bounds() -> None:
    """Under one block time, many transactions, equal or not, never share a timestamp."""
    node = Node()
    client = client_of(node)
    sent = [await client.submit([claim(n % 5)], KEY, 9999) for n in range(40)]
    stamps = [one.timeout_timestamp_ns for one in sent]
    assert len(set(stamps)) == 40
    for stamp, tx_bytes in zip(stamps, node.received, strict=True):
        assert 590 * 10**9 <= stamp - NOW_NS < 590.1 * 10**9
        told = body_of(tx_bytes).timeout_timestamp
        assert told.seconds * 10**9 + told.nanos == stamp
    assert len({one.tx_hash for one in sent}) == 40


async def test_two_processes_do_not_meet_on_a_timestamp() -> None:
    """After a takeover at the same block, other messages have another timestamp."""
    first = await client_of(Node()).submit([claim(1)], KEY, 120)
    second = await client_of(Node()).submit([claim(2)], KEY, 120)
    again = await client_of(Node()).submit([claim(1)], KEY, 120)
    assert first.timeout_timestamp_ns != second.timeout_timestamp_ns
    # The same messages make the very same transaction, which counts once.
    assert again.tx_hash == first.tx_hash


async def test_remembered_timestamps_are_forgotten_when_they_have_passed() -> None:
    """Memory does not grow with the life of the process."""
    now = NOW_NS

    def clock() -> int:
        return now

    client = TxClient(Node(), TransactionSettings(), "pocket", clock)
    for _ in range(50):
        await client.submit([claim()], KEY, 120)
        now += 60 * 10**9
    assert len(client._taken[KEY.address]) <= 3


async def test_no_messages_is_a_mistake_of_the_caller() -> None:
    """An empty transaction is never built."""
    with pytest.raises(ValueError, match="at least one message"):
        await client_of(Node()).submit([], KEY, 120)


@given(window=st.floats(-10, 10_000), most=st.floats(1, 599))
def test_a_lifetime_is_in_its_bounds(window: float, most: float) -> None:
    """Never longer than allowed, and never shorter than two minutes unless it has to be."""
    life = lifetime_for_window(window, max_seconds=most)
    assert min(120, most) <= life <= most


@given(price=st.integers(0, 10**24), gas=st.integers(0, 10**12))
def test_a_fee_is_the_exact_product_rounded_up(price: int, gas: int) -> None:
    """Decimal arithmetic, never floating point."""
    text = f"{price // 10**18}.{price % 10**18:018d}upokt"
    fee = parse_gas_price(text).fee(gas)
    amount = fee.amount if fee else 0
    assert amount * 10**18 >= price * gas > (amount - 1) * 10**18 or amount == price * gas == 0


@pytest.mark.parametrize(
    "text", ["", "upokt", "1", "-1upokt", "1,5upokt", "1.upokt", "0.0000000000000000001upokt", "1u"]
)
def test_a_price_that_is_none_is_refused(text: str) -> None:
    """What the chain's own parser refuses is refused here."""
    with pytest.raises(GasPriceError):
        parse_gas_price(text)
