"""Facts of the chain are asked for once, however many want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field

from relayminer.chain.errors import ChainError, ChainUnavailableError
from relayminer.miner.entries import SessionInfo
from relayminer.miner.facts import ChainFacts
from relayminer.miner.metrics import FactMetrics
from relayminer.protocol.pb import proof_pb2, session_pb2
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from typing import Any

MANY = 50


@define
class Slow:
    """A chain that answers when it is let."""

    asked: int = 0
    let: trio.Event = field(factory=trio.Event)
    is_away: bool = False

    async def proof_params(self) -> proof_pb2.Params:
        """In force now."""
        self.asked += 1
        await self.let.wait()
        if self.is_away:
            raise ChainUnavailableError("away")
        return proof_pb2.Params(proof_request_probability=0.5)

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The session there."""
        del application, service, height
        self.asked += 1
        await trio.lowlevel.checkpoint()
        return session_pb2.Session(header=session_pb2.SessionHeader(session_id="5e55"))


async def ask_all(chain: Slow, facts: ChainFacts) -> list[Any]:
    """What `MANY` tasks are told that ask at the same moment."""
    told: list[Any] = []

    async def ask() -> None:
        try:
            told.append(await facts.proof_params(7))
        except ChainError as error:
            told.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(MANY):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        chain.let.set()
    return told


async def test_many_who_ask_at_once_ask_once() -> None:
    """One question for all of them, and none later."""
    chain = Slow()
    facts = ChainFacts(chain, FactMetrics(Metrics()))  # type: ignore[arg-type]  # as much of it as is asked
    told = await ask_all(chain, facts)
    assert [one.proof_request_probability for one in told] == [0.5] * MANY
    await facts.proof_params(7)
    assert chain.asked == 1


async def test_all_who_waited_hear_of_a_failure_and_the_next_asks_again() -> None:
    """Nobody waits for a node that is away more than once; nothing of it is remembered."""
    chain = Slow(is_away=True)
    facts = ChainFacts(chain, FactMetrics(Metrics()))  # type: ignore[arg-type]  # as above
    assert await ask_all(chain, facts) == ["away"] * MANY
    assert chain.asked == 1
    chain.is_away = False
    assert (await facts.proof_params(7)).proof_request_probability == 0.5
    assert chain.asked == 2


async def test_who_is_cancelled_while_asking_takes_nobody_along() -> None:
    """Another one asks in its place."""
    chain = Slow()
    facts = ChainFacts(chain, FactMetrics(Metrics()))  # type: ignore[arg-type]  # as above
    told: list[float] = []

    async def ask() -> None:
        told.append((await facts.proof_params(7)).proof_request_probability)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            impatient = trio.CancelScope()

            async def ask_first() -> None:
                with impatient:
                    await facts.proof_params(7)

            nursery.start_soon(ask_first)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel()
            await trio.testing.wait_all_tasks_blocked()
            chain.let.set()
    assert (told, chain.asked) == ([0.5], 2)


async def test_one_session_has_one_header_for_all_suppliers() -> None:
    """Its suppliers are many; the chain is asked once."""
    chain = Slow()
    facts = ChainFacts(chain, FactMetrics(Metrics()))  # type: ignore[arg-type]  # as above
    info = SessionInfo("5e55", "svc", "pokt1app", 1, 10)
    for _ in range(MANY):
        assert (await facts.session_header(info)).session_id == "5e55"
    assert chain.asked == 1
