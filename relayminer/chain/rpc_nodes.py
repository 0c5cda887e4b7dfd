"""CometBFT RPC over several nodes, to be used like one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from relayminer.chain.asking import ask
from relayminer.chain.errors import ChainError, ChainUnavailableError, WrongChainError
from relayminer.chain.rpc import CometRpc
from relayminer.chain.standing import Fault, Kind, Member, NodeBoard, Ranked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.chain.rpc import Block, NodeStatus
    from relayminer.config.chain import ChainSettings
    from relayminer.net.url import Origin


T = TypeVar("T")


class OtherChainError(ChainUnavailableError):
    """This node is of another chain; the next one may be of ours."""


class RpcNodes:
    """Asks the best node, and the next one when it fails, takes long, or has not got it (yet).

    Args:
        settings: which nodes, and of which chain.
        board: where their standing is kept.
    """

    def __init__(self, settings: ChainSettings, board: NodeBoard) -> None:
        self.nodes: Ranked[CometRpc] = Ranked(board, Kind.RPC)
        self._seconds = settings.query_timeout_seconds
        self._chain_id = settings.chain_id
        for url in settings.rpc_nodes:
            rpc = CometRpc(url, timeout_seconds=settings.query_timeout_seconds)
            self.nodes.add(rpc.address, rpc)

    @property
    def best(self) -> CometRpc:
        """The node that is asked first, and whose WebSocket is listened to."""
        return self.nodes.in_order()[0].client

    @property
    def address(self) -> str:
        """Host and port of the best node, for messages."""
        return self.best.address

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the best node."""
        return self.best.origin

    @property
    def websocket_path(self) -> str:
        """Where the best node's WebSocket is."""
        return self.best.websocket_path

    @property
    def authorization(self) -> list[tuple[bytes, bytes]]:
        """What the best node wants to be told of who we are."""
        return self.best.authorization

    def close(self) -> None:
        """Close the connections that are not in use."""
        for member in self.nodes:
            member.client.close()

    async def status(self) -> NodeStatus:
        """The best node's status; raises as `CometRpc.status`.

        Of another chain only when all nodes are.
        """

        async def question(rpc: CometRpc) -> NodeStatus:
            status = await rpc.status()
            self.nodes.board.saw(self._member(rpc).standing, status.latest_height)
            if status.chain_id != self._chain_id:
                raise OtherChainError(f"{rpc.address} is of the chain {status.chain_id!r}")
            return status

        try:
            return await self._ask(question)
        except OtherChainError:
            if all(one.standing.fault is Fault.WRONG_CHAIN for one in self.nodes):
                return await self.best.status()
            raise

    async def block(self, height: int | None = None) -> Block:
        """The block at `height`, or the latest, from the best node that has it.

        Raises:
            WrongChainError: no node is of our chain.
            ChainError: as `CometRpc.block`.
        """

        async def question(rpc: CometRpc) -> Block:
            block = await rpc.block(height)
            if block.chain_id != self._chain_id:
                raise OtherChainError(f"{rpc.address} is of the chain {block.chain_id!r}")
            return block

        try:
            return await self._ask(question)
        except OtherChainError:
            if all(one.standing.fault is Fault.WRONG_CHAIN for one in self.nodes):
                rpc = self.best
                found = (await rpc.status()).chain_id
                raise WrongChainError(rpc.address, found, self._chain_id) from None
            raise

    async def finalize_block_events(self, height: int) -> list[dict[str, Any]]:
        """Events of a block's end, from a node that still has them; raises as `CometRpc`'s."""
        # The answer may be large, and its own time is four times that of other calls.
        return await self._ask(
            lambda rpc: rpc.finalize_block_events(height), seconds=self._seconds * 4
        )

    async def _ask(
        self, question: Callable[[CometRpc], Awaitable[T]], seconds: float | None = None
    ) -> T:
        async def noting(rpc: CometRpc) -> T:
            try:
                return await question(rpc)
            except OtherChainError as error:
                standing = self._member(rpc).standing
                self.nodes.board.hold_against(standing, Fault.WRONG_CHAIN, str(error))
                raise

        return await ask(self.nodes, noting, seconds=seconds or self._seconds, is_of_node=_always)

    def _member(self, rpc: CometRpc) -> Member[CometRpc]:
        return next(member for member in self.nodes if member.client is rpc)


def _always(_: ChainError) -> bool:
    """Whatever one node lacks (a block not there yet, one that it has pruned), another may have."""
    return True
