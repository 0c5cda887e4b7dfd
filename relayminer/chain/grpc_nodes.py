"""gRPC over several nodes: questions to the best one, transactions to all of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from relayminer.chain.asking import ask, most_open
from relayminer.chain.errors import ChainError, ChainUnavailableError
from relayminer.chain.grpc_channel import GrpcChannel, grpc_target
from relayminer.chain.standing import Fault, Kind, Member, NodeBoard, Ranked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType
    from typing import Self

    from google.protobuf.message import Message

    from relayminer.config.chain import ChainSettings

OTHERS_SECONDS: Final = 1.0
"""How long the other nodes have for a transaction once one of them has it."""

Answer = TypeVar("Answer", bound="Message")
Reply = TypeVar("Reply")


class GrpcNodes:
    """The channels to some nodes; an async context manager.

    Args:
        kind: what they are asked for.
        urls: the best first.
        settings: how to ask.
        board: where their standing is kept.
    """

    def __init__(
        self, kind: Kind, urls: Sequence[str], settings: ChainSettings, board: NodeBoard
    ) -> None:
        self.nodes: Ranked[GrpcChannel] = Ranked(board, kind)
        self._seconds = settings.query_timeout_seconds
        self._stack = AsyncExitStack()
        for url in urls:
            self._add(url, settings, board)

    def _add(self, url: str, settings: ChainSettings, board: NodeBoard) -> None:
        def on_height(height: int) -> None:
            board.saw(member.standing, height)

        channel = GrpcChannel(
            url,
            insecure=settings.grpc_insecure,
            timeout_seconds=settings.query_timeout_seconds,
            max_concurrent=settings.max_concurrent_queries,
            on_height=on_height,
        )
        member: Member[GrpcChannel] = self.nodes.add(grpc_target(url), channel)

    @property
    def target(self) -> str:
        """`host:port` of the node that is asked first."""
        return self.nodes.in_order()[0].client.target

    async def __aenter__(self) -> Self:
        for member in self.nodes:
            await self._stack.enter_async_context(member.client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def call(
        self,
        method: str,
        request: Message,
        answer: type[Answer],
        *,
        min_height: int = 0,
    ) -> Answer:
        """Call `/package.Service/Method` of the best node; raises as `GrpcChannel.call`."""

        async def question(channel: GrpcChannel) -> Answer:
            return await channel.call(method, request, answer, min_height=min_height)

        return await ask(self.nodes, question, seconds=self._seconds)

    async def tell_all(
        self,
        send: Callable[[GrpcChannel], Awaitable[Reply]],
        accepted: Callable[[Reply], bool],
    ) -> Reply:
        """Tell every node the same; the best reply: an acceptance, else the best node's word.

        A node that is behind is told as well: it hands on what it hears. Who has not answered
        `OTHERS_SECONDS` after the first acceptance is not waited for.

        Raises:
            ChainError: no node replied; what the best one's trouble was.
        """
        members = self.nodes.in_order()
        if len(members) == 1:
            return await send(members[0].client)
        replies: dict[int, Reply] = {}
        errors: dict[int, ChainError] = {}
        async with trio.open_nursery() as nursery:

            async def tell(place: int, member: Member[GrpcChannel]) -> None:
                try:
                    replies[place] = await self._tell(member, send)
                except ChainError as error:
                    errors[place] = error
                    return
                if accepted(replies[place]):
                    deadline = trio.current_time() + OTHERS_SECONDS
                    scope = nursery.cancel_scope
                    scope.deadline = min(scope.deadline, deadline)

            for place, member in enumerate(members):
                nursery.start_soon(tell, place, member)
        if not replies:
            raise most_open([errors[place] for place in sorted(errors)])
        # An acceptance before a refusal, then the better node.
        return replies[min(replies, key=lambda place: (not accepted(replies[place]), place))]

    async def _tell(
        self, member: Member[GrpcChannel], send: Callable[[GrpcChannel], Awaitable[Reply]]
    ) -> Reply:
        try:
            reply = await send(member.client)
        except ChainUnavailableError as error:
            self.nodes.board.hold_against(member.standing, Fault.AWAY, str(error))
            raise
        self.nodes.board.saw(member.standing)
        return reply
