"""What the chain says about a session, asked at the height that the protocol pins it to."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import define, field

from relayminer.chain.errors import ChainError
from relayminer.protocol.windows import SessionWindows, session_windows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.interfaces import ChainReader
    from relayminer.miner.metrics import FactMetrics
    from relayminer.protocol.pb import proof_pb2, session_pb2, shared_pb2

FACTS_MAX: Final = 4096
"""Answers kept, over all kinds; the oldest leaves first."""

SHARED, SHARED_AT, PROOF = "live shared", "shared", "proof"
DIFFICULTY, COMPUTE_UNITS, SESSION = "difficulty", "compute units", "session"
_LABELS: Final = {
    SHARED: ("shared", "params"),
    SHARED_AT: ("shared", "params_at_height"),
    PROOF: ("proof", "params"),
    DIFFICULTY: ("service", "difficulty"),
    COMPUTE_UNITS: ("service", "cupr_at_height"),
    SESSION: ("session", "session"),
}
"""Kinds of questions: the Go implementation's names of the query client and of its cache."""

T = TypeVar("T")


@define(eq=False)
class _Question:
    """One that is on its way, and what came of it if not an answer."""

    over: trio.Event = field(factory=trio.Event)
    error: ChainError | None = None


class ChainFacts:
    """Remembers answers that cannot change any more: those about a height in the past.

    Live parameters are remembered for the height they were asked at, so one pass over hundreds of
    sessions asks once.
    """

    def __init__(self, chain: ChainReader, metrics: FactMetrics) -> None:
        self._chain = chain
        self._metrics = metrics
        self._known: OrderedDict[tuple[str, Hashable], object] = OrderedDict()
        self._asked: dict[tuple[str, Hashable], _Question] = {}
        metrics.size.read_all = self._sizes

    async def windows(self, session_end_height: int, height: int) -> SessionWindows:
        """Windows of the sessions that end at `session_end_height`, seen from `height`.

        The parameters in force at the session's end decide (wire.md 10.2). While that block is not
        committed they are not known for certain and the live ones stand in.
        """
        return session_windows(
            await self.shared_params(session_end_height, height), session_end_height
        )

    async def shared_params(self, at_height: int, height: int) -> shared_pb2.Params:
        """Shared parameters in force at `at_height`, or now while that is in the future."""
        if at_height < height:
            return await self._once(
                (SHARED_AT, at_height), lambda: self._chain.shared_params_at(at_height)
            )
        return await self._once((SHARED, height), self._chain.shared_params)

    async def proof_params(self, height: int) -> proof_pb2.Params:
        """Live proof parameters, asked once per height."""
        return await self._once((PROOF, height), self._chain.proof_params)

    async def target(self, service: str, height: int) -> bytes:
        """Difficulty target hash (32 bytes) of a service at a past `height`."""
        difficulty = await self._once(
            (DIFFICULTY, (service, height)), lambda: self._chain.difficulty_at(service, height)
        )
        return difficulty.target_hash

    async def compute_units(self, service: str, height: int) -> int:
        """Compute units of one relay of a service at a past `height`."""
        return await self._once(
            (COMPUTE_UNITS, (service, height)),
            lambda: self._chain.compute_units_at(service, height),
        )

    async def session_header(self, info: SessionInfo) -> session_pb2.SessionHeader:
        """The header of the chain's session there: one question for all of its suppliers."""
        session = await self._once(
            (SESSION, info.session_id),
            lambda: self._chain.session(
                info.application_address, info.service_id, info.start_height
            ),
        )
        return session.header

    async def _once(self, key: tuple[str, Hashable], ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question; whoever asks while it is on its way waits for that one."""
        labels = _LABELS[key[0]]
        if key in self._known:
            self._metrics.hits.bind(*labels).value += 1
        else:
            self._metrics.misses.bind(*labels).value += 1
        while key not in self._known:
            question = self._asked.get(key)
            if question is None:
                return await self._ask(key, ask)
            await question.over.wait()
            if question.error is not None:
                raise question.error
        known: T = self._known[key]  # type: ignore[assignment]  # stored under this key
        return known

    async def _ask(self, key: tuple[str, Hashable], ask: Callable[[], Awaitable[T]]) -> T:
        question = self._asked[key] = _Question()
        try:
            answer = await ask()
        except ChainError as error:
            # Hundreds may wait for it: each asking anew would take its time one after another.
            question.error = error
            raise
        finally:
            del self._asked[key]
            question.over.set()
        self._known[key] = answer
        if len(self._known) > FACTS_MAX:
            self._known.popitem(last=False)
        return answer

    def _sizes(self) -> dict[tuple[str, ...], float]:
        counts = Counter(kind for kind, _ in self._known)
        return {labels: counts[kind] for kind, labels in _LABELS.items()}
