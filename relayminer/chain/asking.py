"""Asking one of several nodes: the best first, the next when it fails or takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from relayminer.chain.errors import (
    ChainError,
    ChainQueryError,
    ChainUnavailableError,
    NodeBehindError,
    NotFoundError,
    UnsupportedQueryError,
)
from relayminer.chain.standing import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.chain.standing import Member, Ranked

PATIENCE: Final = 0.25
"""Part of a call's time after which the next node is asked as well."""

T = TypeVar("T")
Answer = TypeVar("Answer")

_TROUBLE_OF_THE_NODE: Final = frozenset(
    {
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "ABORTED",
        "DATA_LOSS",
        "DECODE",
    }
)


def is_of_the_node(error: ChainError) -> bool:
    """Whether an error says something about the node, not about what was asked."""
    if isinstance(error, ChainUnavailableError | UnsupportedQueryError):
        return True
    return isinstance(error, ChainQueryError) and error.status in _TROUBLE_OF_THE_NODE


class _Race(Generic[T, Answer]):
    """One question on its way to one node after another."""

    def __init__(
        self,
        nodes: Ranked[T],
        question: Callable[[T], Awaitable[Answer]],
        is_of_node: Callable[[ChainError], bool],
    ) -> None:
        self._nodes = nodes
        self._question = question
        self._is_of_node = is_of_node
        self._news = trio.Event()
        self.answers: list[Answer] = []
        self.refusals: list[ChainError] = []
        self.failures: list[ChainError] = []
        self.running: list[Member[T]] = []

    @property
    def is_over(self) -> bool:
        """Whether there is an answer, good or bad."""
        return bool(self.answers or self.refusals)

    async def news(self) -> None:
        """Until one more node has answered or failed."""
        self._news = trio.Event()
        await self._news.wait()

    async def run(self, member: Member[T]) -> None:
        """Ask one node."""
        self.running.append(member)
        try:
            self.answers.append(await self._question(member.client))
        except ChainError as error:
            _note(self._nodes, member, error)
            judged = _judged(member, error)
            (self.failures if self._is_of_node(judged) else self.refusals).append(judged)
        else:
            self._nodes.board.saw(member.standing)
        self.running.remove(member)
        self._news.set()


async def ask(
    nodes: Ranked[T],
    question: Callable[[T], Awaitable[Answer]],
    *,
    seconds: float,
    is_of_node: Callable[[ChainError], bool] = is_of_the_node,
) -> Answer:
    """The first answer.

    Args:
        nodes: whom to ask.
        question: asks one node; harmless when several are asked.
        seconds: that one call may take.
        is_of_node: whether after an error the next node is asked; other errors are answers.

    Raises:
        ChainError: an answer that is an error; or no node had an answer, then the one that leaves
            the question open if there is such a one, else the best node's.
    """
    members = nodes.in_order()
    if len(members) == 1:
        return await _ask_only(nodes, members[0], question)
    race = _Race(nodes, question, is_of_node)
    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(race.run, member)
            with trio.move_on_after(seconds * PATIENCE):
                await race.news()
            if race.is_over:
                break
        while race.running and not race.is_over:
            await race.news()
        for slow in race.running:
            nodes.board.outrun(slow.standing)
        nursery.cancel_scope.cancel()
    if race.answers:
        return race.answers[0]
    raise race.refusals[0] if race.refusals else most_open(race.failures)


async def _ask_only(
    nodes: Ranked[T], member: Member[T], question: Callable[[T], Awaitable[Answer]]
) -> Answer:
    try:
        answer = await question(member.client)
    except ChainError as error:
        _note(nodes, member, error)
        raise
    nodes.board.saw(member.standing)
    return answer


def _note(nodes: Ranked[T], member: Member[T], error: ChainError) -> None:
    """What an error says of the node."""
    if isinstance(error, NodeBehindError):
        return
    if isinstance(error, ChainUnavailableError):
        nodes.board.hold_against(member.standing, Fault.AWAY, str(error))
    elif not isinstance(error, ChainQueryError) or error.status not in _TROUBLE_OF_THE_NODE:
        nodes.board.saw(member.standing)


def _judged(member: Member[T], error: ChainError) -> ChainError:
    """The error as it counts: what a node that is behind does not have may well exist."""
    if isinstance(error, NotFoundError) and member.standing.fault is Fault.BEHIND:
        return NodeBehindError(f"{error} ({member.standing.reason})")
    return error


def most_open(errors: list[ChainError]) -> ChainError:
    """Of what several nodes said, what leaves the question open; else the best node's word."""
    for error in errors:
        if isinstance(error, ChainUnavailableError):
            return error
    return errors[0]
