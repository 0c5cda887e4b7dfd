"""Submitting a batch: one bad message must not take the others down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.chain.errors import (
    ChainUnavailableError,
    SimulationRefusedError,
    TransactionRefusedError,
)
from relayminer.miner.submit import Prepared, Verdict, submit_each
from relayminer.protocol.pb.proof_pb2 import MsgCreateClaim

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Receipt:
    """An accepted transaction."""

    tx_hash: str
    fee_upokt: int


def prepared(count: int) -> list[Prepared]:
    """Messages for sessions `0` to `count - 1`."""
    return [Prepared(str(number), MsgCreateClaim()) for number in range(count)]


class Node:
    """Accepts transactions without bad messages."""

    def __init__(self, bad: set[str], *, says_index: bool) -> None:
        self.bad = bad
        self.says_index = says_index
        self.accepted: list[list[str]] = []
        self.calls = 0

    async def send(self, part: Sequence[Prepared]) -> Receipt:
        """One transaction."""
        self.calls += 1
        for index, item in enumerate(part):
            if item.session_id in self.bad:
                known = index if self.says_index else None
                raise SimulationRefusedError("invalid proof: proof", known)
        self.accepted.append([item.session_id for item in part])
        return Receipt(f"TX{len(self.accepted)}", 10)


async def test_bad_messages_are_isolated() -> None:
    """Every good message of a refused batch goes through, every bad one is refused alone."""
    for says_index in (True, False):
        node = Node({"3", "7"}, says_index=says_index)
        results = await submit_each(prepared(10), node.send)
        refused = {key for key, one in results.items() if one.verdict is Verdict.REFUSED}
        assert refused == {"3", "7"}
        assert sorted(key for part in node.accepted for key in part) == sorted(
            set(results) - refused
        )


async def test_an_index_spares_attempts() -> None:
    """A node that names the message to blame is believed, and the rest goes in one transaction."""
    node = Node({"4"}, says_index=True)
    await submit_each(prepared(30), node.send)
    assert node.calls == 3
    assert len(node.accepted) == 1


async def test_fees_are_shared_out_exactly() -> None:
    """The shares of a transaction's fee add up to the fee."""
    node = Node(set(), says_index=True)
    results = await submit_each(prepared(3), node.send)
    assert [results[key].fee_upokt for key in "012"] == [4, 3, 3]


async def test_trouble_that_is_not_the_messages_defers_all() -> None:
    """Node away, no funds, window not open by its height: nothing is taken apart or blamed."""
    troubles = [
        ChainUnavailableError("away"),
        TransactionRefusedError("sdk", 5, "insufficient funds", "AB"),
        SimulationRefusedError("proof: claim attempted outside of the session's claim window", 0),
    ]
    for trouble in troubles:
        calls = 0

        async def send(part: Sequence[Prepared], trouble: Exception = trouble) -> Receipt:
            nonlocal calls
            calls += 1
            assert part
            raise trouble

        results = await submit_each(prepared(4), send)
        assert calls == 1
        assert {one.verdict for one in results.values()} == {Verdict.DEFERRED}
        assert all(one.reason for one in results.values())


class Purse:
    """A node whose account pays for so many messages, by what the real chain says then."""

    def __init__(self, affordable: int) -> None:
        self.affordable = affordable
        self.accepted: list[str] = []

    async def send(self, part: Sequence[Prepared]) -> Receipt:
        """One transaction."""
        if len(self.accepted) + len(part) > self.affordable:
            raise SimulationRefusedError(
                "failed to execute message; message index: 0: spendable balance 10upokt is smaller"
                " than 1000upokt: insufficient funds [x/bank/keeper/send.go:298]",
                0,
            )
        self.accepted += [item.session_id for item in part]
        return Receipt("TX", 10)


async def test_a_short_account_sends_what_it_can_pay_for() -> None:
    """The rest is no fault of the messages: it waits for money and is tried at every block."""
    purse = Purse(5)
    results = await submit_each(prepared(8), purse.send)
    verdicts = [one.verdict for one in results.values()]
    assert verdicts.count(Verdict.ACCEPTED) == len(purse.accepted) == 5
    assert verdicts.count(Verdict.DEFERRED) == 3
    empty = await submit_each(prepared(3), Purse(0).send)
    assert {one.verdict for one in empty.values()} == {Verdict.DEFERRED}
