"""The simulated chain's bad days: what is lost, late or unanswered, and what must never happen."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import outcome
import trio
from attrs import define, field

from relayminer.chain.errors import (
    ChainUnavailableError,
    NodeBehindError,
    NotFoundError,
    SimulationRefusedError,
    TransactionRefusedError,
)
from relayminer.protocol.events import CLAIM_SETTLED
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.reward import root_count
from tests.histories.process import HEALING_SECONDS
from tests.miner.chain import TestChain

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from relayminer.protocol.signature import SigningKey
    from tests.histories.process import Process
    from tests.miner.chain import Receipt, Sent


AT_HEIGHT = {"shared_params_at", "block_hash", "difficulty_at", "compute_units_at"}
"""Questions about a block, whose height comes last."""


@define
class HistoryChain(TestChain):
    """A strict chain that also holds transactions back, reorders them, and takes notes."""

    rng: random.Random = field(kw_only=True)
    delayed: list[tuple[int, Sent]] = field(factory=list)
    violations: list[str] = field(factory=list)
    paid: dict[tuple[str, str], int] = field(factory=dict)
    """Relays of each settled claim, by supplier and session."""
    roots: dict[tuple[str, str], bytes] = field(factory=dict)
    """The first root that was sent for a supplier and session."""
    past: dict[int, dict[tuple[str, str], bytes]] = field(factory=dict)
    """The claims after each block, encoded."""

    def go_back(self, blocks: int, ends: Sequence[int]) -> None:
        """Go on from an earlier block, if that leaves every phase of the sessions where it is."""
        height = self.height - blocks
        windows = [self.windows(end) for end in ends]
        borders = [
            border
            for one in windows
            for border in (
                one.session_end_height,
                one.claim_open_height,
                one.claim_close_height,
                one.proof_close_height,
                one.settlement_height,
            )
        ]
        if height not in self.past or any(height < one <= self.height for one in borders):
            return
        self.claims = {
            place: proof_pb2.Claim.FromString(data) for place, data in self.past[height].items()
        }
        self.mempool, self.delayed = [], []
        for later in range(height + 1, self.height + 1):
            self.block_events.pop(later, None)
            self.hashes[later] = self.rng.randbytes(32)
        self.set_back(height)

    def hold_back(self, blocks: int) -> None:
        """Let the transaction that was sent last wait for so many blocks."""
        if self.mempool:
            self.delayed.append((self.height + blocks, self.mempool.pop()))

    def note(self, messages: Sequence[Message], height: int) -> None:
        """Watch what is sent: no second root, and nothing outside of its window."""
        for message in messages:
            if not isinstance(message, proof_pb2.MsgCreateClaim):
                continue
            place = (message.supplier_operator_address, message.session_header.session_id)
            root = self.roots.setdefault(place, message.root_hash)
            if root != message.root_hash:
                self.violations.append(
                    f"two claims for {place}: {root_count(root)} relays, then "
                    f"{root_count(message.root_hash)} at height {height}"
                )

    def sent_more_than_once(self) -> list[str]:
        """Messages that were broadcast again although nothing went wrong."""
        counts = Counter(
            (type(message).__name__, message.session_header.session_id[:8], sent.supplier[:12])  # type: ignore[attr-defined]  # both have one
            for sent in self.sent
            for message in sent.messages
        )
        return [f"{place} sent {count} times" for place, count in counts.items() if count > 1]

    def _commit(self) -> None:
        due = [sent for height, sent in self.delayed if height <= self.height]
        self.delayed = [(height, sent) for height, sent in self.delayed if height > self.height]
        self.mempool += due
        self.rng.shuffle(self.mempool)
        super()._commit()
        self.past[self.height] = {
            place: claim.SerializeToString() for place, claim in self.claims.items()
        }

    def _execute(self, message: Message) -> None:
        if isinstance(message, proof_pb2.MsgCreateClaim):
            place = (message.session_header.session_id, message.supplier_operator_address)
            before = self.claims.get(place)
            if before is not None and root_count(before.root_hash) > root_count(message.root_hash):
                self.violations.append(f"a smaller claim over a larger one: {place}")
        super()._execute(message)

    def _emit(self, kind: str, attributes: dict[str, str], status: int, **more: str) -> None:
        super()._emit(kind, attributes, status, **more)
        if kind == CLAIM_SETTLED:
            place = (attributes["supplier_operator_address"], more["session_id"])
            if place in self.paid:
                self.violations.append(f"settled twice: {place}")
            self.paid[place] = int(attributes["num_relays"])


class NodeView:
    """The chain as one process sees it, through a node that has its own troubles."""

    def __init__(self, chain: HistoryChain, process: Process) -> None:
        self._chain = chain
        self._process = process

    def __getattr__(self, name: str) -> Any:
        """Every query of the chain, as far as the node answers it."""
        query = getattr(self._chain, name)

        async def ask(*arguments: Any, **named: Any) -> Any:
            await self._node()
            height = arguments[-1] if name in AT_HEIGHT else 0
            if height > self._chain.height:
                raise ChainUnavailableError("there is no such block any more")
            return await query(*arguments, **named)

        return ask

    async def _node(self) -> None:
        process = self._process
        await process.outage()
        if process.suffers(process.sky.weather.chain_fault):
            if process.rng.random() < 0.3:
                await trio.sleep(process.rng.uniform(0.1, 5.0))
            raise ChainUnavailableError("the node does not answer")

    async def claims_of(self, supplier: str, min_height: int = 0) -> Any:
        """A supplier's claims, or none of them from a node that is two blocks behind."""
        await self._node()
        process = self._process
        if process.suffers(process.sky.weather.lag_fault):
            if min_height > self._chain.height - 2:
                raise NodeBehindError("the node is not there yet")
            return []
        return await self._chain.claims_of(supplier, min_height)

    async def claim(self, session_id: str, supplier: str) -> Any:
        """A claim; a node that is behind does not know it yet."""
        await self._node()
        process = self._process
        if process.suffers(process.sky.weather.lag_fault):
            raise NotFoundError(session_id)
        return await self._chain.claim(session_id, supplier)

    @property
    def latest(self) -> Any:
        """The last block this process may know of."""
        return self._chain.latest

    @property
    def set_backs(self) -> int:
        """How often the chain was set back."""
        return self._chain.set_backs

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[LateFeed]:
        """New blocks, when they get through."""
        with self._chain.subscribe() as feed:
            yield LateFeed(feed, self._process)

    def events(self, from_height: int) -> LateEvents:
        """Events of every block, when they get through."""
        return LateEvents(self._chain.events(from_height), self._process)

    async def submit(
        self, messages: Sequence[Message], key: SigningKey, lifetime_seconds: float
    ) -> Receipt:
        """Send a transaction, as far as that works."""
        process, chain, weather = self._process, self._chain, self._process.sky.weather
        await self._node()
        kind = "well"
        if process.suffers(weather.send_fault):
            kind = process.rng.choices(
                ("slow", "refused", "unanswered", "evicted", "late", "dies"), weather.send_kinds
            )[0]
        if kind == "refused":
            if process.rng.random() < 0.5:
                raise SimulationRefusedError("out of gas in location: ReadPerByte", None)
            raise TransactionRefusedError("sdk", 20, "mempool is full", "")
        if kind == "slow":
            receipt = await self._slowly(messages, key, lifetime_seconds)
        else:
            chain.note(messages, chain.height)
            receipt = await chain.submit(messages, key, lifetime_seconds)
        if kind == "evicted":
            chain.mempool.pop()
        if kind == "late":
            chain.hold_back(process.rng.randint(1, 3))
        if kind == "dies":
            process.die()
            await trio.sleep_forever()
        if kind == "unanswered":
            raise ChainUnavailableError("the answer was lost")
        return receipt

    async def _slowly(
        self, messages: Sequence[Message], key: SigningKey, lifetime_seconds: float
    ) -> Receipt:
        """Arrive beyond the lease, maybe: whoever owns the supplier then, and lives."""
        process, chain = self._process, self._chain
        arrived = trio.Event()
        answers: list[outcome.Outcome[Receipt]] = []

        async def travel() -> None:
            seconds = process.rng.uniform(0.1, process.sky.weather.longest_pause_seconds)
            arrives_at = trio.current_time() + seconds
            while process.sky.rough and trio.current_time() < arrives_at:  # noqa: ASYNC110 - weather
                await trio.sleep(HEALING_SECONDS)
            chain.note(messages, chain.height)
            answers.append(await outcome.acapture(chain.submit, messages, key, lifetime_seconds))
            arrived.set()

        process.sky.nursery.start_soon(travel)
        await arrived.wait()
        return answers[0].unwrap()


class LateFeed:
    """Blocks for one reader of a process."""

    def __init__(self, feed: Any, process: Process) -> None:
        self._feed = feed
        self._process = process

    async def receive(self) -> Any:
        """The newest block not seen yet."""
        block = await self._feed.receive()
        await self._process.outage()
        return block


class LateEvents:
    """Events of every block for one reader of a process."""

    def __init__(self, events: Any, process: Process) -> None:
        self._events = events
        self._process = process

    def __aiter__(self) -> LateEvents:
        return self

    async def __anext__(self) -> Any:
        found = await anext(self._events)
        await self._process.outage()
        return found
