"""Looking at every node now and then: is it there, of our chain, up to date, of one mind?"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import trio
from cosmpy.protos.cosmos.base.tendermint.v1beta1 import query_pb2 as comet_pb2

from relayminer.chain.errors import ChainError, UnsupportedQueryError
from relayminer.chain.standing import Fault
from relayminer.protocol.pb import shared_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.chain.grpc_channel import GrpcChannel
    from relayminer.chain.grpc_nodes import GrpcNodes
    from relayminer.chain.rpc import CometRpc
    from relayminer.chain.rpc_nodes import RpcNodes
    from relayminer.chain.standing import Member, NodeBoard
    from relayminer.config.chain import ChainSettings


class NodeWatch:
    """A service that keeps the standings of all nodes up to date.

    Args:
        rpc: the RPC nodes.
        grpc: groups of gRPC nodes.
        settings: the chain's id, and what is tolerated.
    """

    name = "nodes"

    def __init__(self, rpc: RpcNodes, grpc: Sequence[GrpcNodes], settings: ChainSettings) -> None:
        self._rpc = rpc.nodes
        self._grpc = [group.nodes for group in grpc]
        self._chain_id = settings.chain_id
        self._interval_seconds = settings.node_check_interval_seconds
        self._max_lag_blocks = settings.max_node_lag_blocks
        self._board: NodeBoard = rpc.nodes.board

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at all nodes until cancelled."""
        task_status.started()
        while True:
            await self.look()
            await trio.sleep(self._interval_seconds)

    async def look(self) -> None:
        """One look at every node, side by side, and a comparison of what was seen."""
        catching_up: set[int] = set()
        async with trio.open_nursery() as nursery:
            for rpc in self._rpc:
                nursery.start_soon(self._look_at_rpc, rpc, catching_up)
            for group in self._grpc:
                for member in group:
                    nursery.start_soon(self._look_at_grpc, member)
        self._compare_heights(catching_up)
        if len(self._rpc) > 1:
            await self._compare_blocks()

    async def _look_at_rpc(self, member: Member[CometRpc], catching_up: set[int]) -> None:
        standing = member.standing
        try:
            status = await member.client.status()
        except ChainError as error:
            self._board.hold_against(standing, Fault.AWAY, str(error))
            return
        if status.chain_id != self._chain_id:
            reason = f"it is of the chain {status.chain_id!r}"
            self._board.hold_against(standing, Fault.WRONG_CHAIN, reason)
            return
        if standing.fault is Fault.WRONG_CHAIN:
            self._board.clear(standing)
        self._board.saw(standing, status.latest_height)
        if status.catching_up:
            catching_up.add(id(standing))
            reason = f"it is still catching up, at height {status.latest_height}"
            self._board.hold_against(standing, Fault.BEHIND, reason)

    async def _look_at_grpc(self, member: Member[GrpcChannel]) -> None:
        standing = member.standing
        try:
            if not standing.is_identified:
                await self._identify(member)
            # Small, and its answer says from which height it is.
            await member.client.call(
                "/pocket.shared.Query/Params",
                shared_pb2.QueryParamsRequest(),
                shared_pb2.QueryParamsResponse,
            )
        except ChainError as error:
            self._board.hold_against(standing, Fault.AWAY, str(error))
        else:
            self._board.saw(standing)

    async def _identify(self, member: Member[GrpcChannel]) -> None:
        """See that a node is of our chain; once, for its newest block comes with the answer."""
        try:
            answer = await member.client.call(
                "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock",
                comet_pb2.GetLatestBlockRequest(),
                comet_pb2.GetLatestBlockResponse,
            )
        except UnsupportedQueryError:
            # A gateway that does not let everything through; what it lets through must do.
            member.standing.is_identified = True
            return
        found = answer.block.header.chain_id
        if found and found != self._chain_id:
            reason = f"it is of the chain {found!r}"
            self._board.hold_against(member.standing, Fault.WRONG_CHAIN, reason)
            return
        member.standing.is_identified = True
        if member.standing.fault is Fault.WRONG_CHAIN:
            self._board.clear(member.standing)

    def _compare_heights(self, catching_up: set[int]) -> None:
        best_height = self._board.best_height
        for standing in self._board:
            if standing.fault not in {None, Fault.BEHIND} or id(standing) in catching_up:
                continue
            lag = best_height - standing.height
            if standing.height and lag > self._max_lag_blocks:
                reason = f"it is {lag} blocks behind, at height {standing.height}"
                self._board.hold_against(standing, Fault.BEHIND, reason)
            elif standing.fault is Fault.BEHIND:
                self._board.clear(standing)

    async def _compare_blocks(self) -> None:
        """Nodes that have another block at one height are not of one mind: some are left."""
        judged = [
            member
            for member in self._rpc
            if member.standing.height and member.standing.fault in {None, Fault.DISAGREES}
        ]
        if len(judged) < 2:  # noqa: PLR2004 - it takes two to disagree
            return
        height = min(member.standing.height for member in judged)
        by_hash: dict[bytes, list[Member[CometRpc]]] = defaultdict(list)

        async def fetch(member: Member[CometRpc]) -> None:
            try:
                block = await member.client.block(height)
            except ChainError:
                # Not there, or pruned: no witness.
                return
            by_hash[block.hash].append(member)

        async with trio.open_nursery() as nursery:
            for member in judged:
                nursery.start_soon(fetch, member)
        self._judge(by_hash, height)

    def _judge(self, by_hash: dict[bytes, list[Member[CometRpc]]], height: int) -> None:
        """Most nodes are believed; of as many on both sides, those with the best rank."""
        if not by_hash:
            return
        believed = min(
            by_hash.values(),
            key=lambda members: (-len(members), min(one.standing.rank for one in members)),
        )
        for members in by_hash.values():
            for member in members:
                if members is not believed:
                    others = ", ".join(one.standing.name for one in believed)
                    reason = f"its block {height} is another one than that of {others}"
                    self._board.hold_against(member.standing, Fault.DISAGREES, reason)
                elif member.standing.fault is Fault.DISAGREES:
                    self._board.clear(member.standing)
