"""What the chain says about a session, asked at the height that the protocol pins it to."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar

from relayminer.protocol.windows import SessionWindows, session_windows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from relayminer.miner.interfaces import ChainReader
    from relayminer.protocol.pb import proof_pb2, shared_pb2

FACTS_MAX: Final = 4096
"""Answers kept, over all kinds; the oldest leaves first."""

T = TypeVar("T")


class ChainFacts:
    """Remembers answers that cannot change any more: those about a height in the past.

    Live parameters are remembered for the height they were asked at, so one pass over hundreds of
    sessions asks once.
    """

    def __init__(self, chain: ChainReader) -> None:
        self._chain = chain
        self._known: OrderedDict[Hashable, object] = OrderedDict()

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
                ("shared", at_height), lambda: self._chain.shared_params_at(at_height)
            )
        return await self._once(("live shared", height), self._chain.shared_params)

    async def proof_params(self, height: int) -> proof_pb2.Params:
        """Live proof parameters, asked once per height."""
        return await self._once(("proof", height), self._chain.proof_params)

    async def target(self, service: str, height: int) -> bytes:
        """Difficulty target hash (32 bytes) of a service at a past `height`."""
        difficulty = await self._once(
            ("difficulty", service, height), lambda: self._chain.difficulty_at(service, height)
        )
        return difficulty.target_hash

    async def compute_units(self, service: str, height: int) -> int:
        """Compute units of one relay of a service at a past `height`."""
        return await self._once(
            ("compute units", service, height),
            lambda: self._chain.compute_units_at(service, height),
        )

    async def _once(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        if key in self._known:
            known: T = self._known[key]  # type: ignore[assignment]  # stored under this key below
            return known
        answer = await ask()
        self._known[key] = answer
        if len(self._known) > FACTS_MAX:
            self._known.popitem(last=False)
        return answer
