"""A chain that takes blocks back while it is followed; nodes that fail while they are followed."""

from __future__ import annotations

import contextlib
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.chain.blocks import BlockFollower
from relayminer.chain.node_watch import NodeWatch
from relayminer.chain.queries import ChainQueries
from relayminer.chain.rpc import CometRpc
from relayminer.chain.rpc_nodes import RpcNodes
from relayminer.chain.standing import NodeBoard
from relayminer.config.chain import ChainSettings
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from tests.chain.comet_node import CometNode, block_hash
from tests.chain.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.chain.rpc import BlockRpc

WAIT_SECONDS = 30.0


@contextlib.asynccontextmanager
async def following(
    rpc: BlockRpc, settings: ChainSettings, watch: NodeWatch | None = None
) -> AsyncIterator[BlockFollower]:
    """A running follower."""
    follower = BlockFollower(rpc, settings, SystemRandom())
    with trio.fail_after(WAIT_SECONDS):
        async with trio.open_nursery() as nursery:
            if watch is not None:
                await nursery.start(watch.run)
            await nursery.start(follower.run)
            yield follower
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def following_one(node: CometNode) -> AsyncIterator[BlockFollower]:
    """A follower of one node."""
    settings = ChainSettings(rpc_url=node.url, poll_interval_seconds=0.02)
    rpc = CometRpc(node.url, timeout_seconds=2.0)
    async with following(rpc, settings) as follower:
        yield follower
    rpc.close()


async def until(follower: BlockFollower, set_backs: int) -> None:
    """Wait until so many set-backs were noticed."""
    while follower.set_backs < set_backs:
        await follower.wait_changed()


@pytest.mark.parametrize("websocket", [True, False])
async def test_a_block_that_is_rolled_back_is_noticed(node: CometNode, *, websocket: bool) -> None:
    """The newest block is replaced by another one: its hash is not believed any more."""
    node.refuses_websocket = not websocket
    node.height = 9
    async with following_one(node) as follower:
        await follower.wait_for(9)
        assert await follower.block_hash(7) == block_hash(7)
        await node.add_block()
        await follower.wait_for(10)
        node.set_back(10, b"other")
        await until(follower, 1)
        assert (await follower.block_hash(10)) == node.hash(10) != block_hash(10)
        assert follower.common_height == 9
        assert await follower.block_hash(7) == block_hash(7)


async def test_a_rollback_between_two_looks_is_seen_by_the_parent(node: CometNode) -> None:
    """When the new block is already higher, its parent gives it away."""
    node.height = 10
    settings = ChainSettings(rpc_url=node.url, poll_interval_seconds=600.0)
    rpc = CometRpc(node.url, timeout_seconds=2.0)
    async with following(rpc, settings) as follower:
        await follower.wait_for(10)
        while node.subscriptions < 1:
            await node.subscribed.wait()
        node.set_back(9, b"other")
        node.height = 10
        await node.add_block()
        await follower.wait_for(11)
        assert follower.set_backs == 1
        assert await follower.block_hash(9) == node.hash(9)
    rpc.close()


async def test_a_chain_that_starts_over_is_followed_from_there(node: CometNode) -> None:
    """Lower and yet newer: subscribers get the lower heights, and events come again."""
    node.height = 40
    node.refuses_websocket = True
    async with following_one(node) as follower:
        with follower.subscribe() as blocks:
            assert (await blocks.receive()).height == 40
            stream = follower.events(39)
            assert [(await anext(stream))[0] for _ in range(2)] == [39, 40]
            node.seconds_later = 100
            node.set_back(30, b"other")
            assert (await blocks.receive()).height == 30
            # Nothing of what was remembered is in the chain any more.
            assert follower.common_height < 30
            assert (await anext(stream))[0] == follower.common_height + 1
            for height in range(follower.common_height + 2, 31):
                assert (await anext(stream))[0] == height
            await node.add_block()
            assert (await blocks.receive()).height == 31
            assert (await anext(stream))[0] == 31


async def test_a_node_that_lags_is_no_set_back(node: CometNode) -> None:
    """A lower height with the block that we know is an old view of the same chain."""
    node.height = 10
    node.refuses_websocket = True
    async with following_one(node) as follower:
        await follower.wait_for(10)
        node.height = 8
        asked = len(node.asked)
        while len(node.asked) < asked + 5:
            node.called = trio.Event()
            await node.called.wait()
        assert follower.set_backs == 0
        assert follower.latest is not None
        assert follower.latest.height == 10


async def test_the_websocket_moves_to_the_node_that_is_asked(node: CometNode) -> None:
    """A node that stops at a height is left, and blocks are heard from the other one."""
    async with CometNode().serve() as second:
        node.height = second.height = 5
        settings = ChainSettings(
            rpc_urls=(node.url, second.url),
            poll_interval_seconds=0.05,
            node_check_interval_seconds=0.05,
            query_timeout_seconds=2.0,
        )
        rpc = RpcNodes(settings, NodeBoard())
        async with following(rpc, settings, NodeWatch(rpc, [], settings)) as follower:
            await follower.wait_for(5)
            while node.subscriptions < 1:
                await node.subscribed.wait()
            await second.add_block(count=3)
            while second.subscriptions < 1:
                await second.subscribed.wait()
            await second.add_block()
            assert (await follower.wait_for(9)).hash == block_hash(9)
            # Back in step the first one is listened to again.
            before = node.subscriptions
            node.height = 9
            while node.subscriptions == before:
                await node.subscribed.wait()
        rpc.close()


@contextlib.asynccontextmanager
async def three_nodes(home: Path) -> AsyncIterator[tuple[Devnet, list[Proxy], list[Proxy]]]:
    """A devnet whose blocks come by command, behind three addresses for RPC and for gRPC."""
    options = DevnetOptions(
        home=home, rpc_port=0, grpc_port=0, control_port=0, block_time_seconds=None, suppliers=1
    )
    async with trio.open_nursery() as nursery, contextlib.AsyncExitStack() as stack:
        devnet: Devnet = await nursery.start(run_devnet, options)
        info = devnet.info
        rpc = [Proxy(info.rpc_url.removeprefix("http://")) for _ in range(3)]
        grpc = [Proxy(info.grpc_url) for _ in range(3)]
        for proxy in (*rpc, *grpc):
            await stack.enter_async_context(proxy.serve())
        yield devnet, rpc, grpc
        nursery.cancel_scope.cancel()


async def test_killed_and_stalled_nodes_cost_no_block_and_no_answer(tmp_path: Path) -> None:
    """Of three nodes in front of a devnet one is cut, one stalls: blocks and answers go on."""
    async with three_nodes(tmp_path) as (devnet, rpc, grpc):
        settings = ChainSettings(
            chain_id=devnet.info.chain_id,
            rpc_urls=tuple(f"http://{proxy.address}" for proxy in rpc),
            grpc_urls=tuple(proxy.address for proxy in grpc),
            poll_interval_seconds=0.1,
            node_check_interval_seconds=0.2,
            query_timeout_seconds=2.0,
        )
        async with ChainQueries(settings) as queries:
            nodes = RpcNodes(settings, queries.board)
            watch = NodeWatch(nodes, queries.groups, settings)
            async with following(nodes, settings, watch) as follower:
                stream = follower.events(1)
                height = devnet.node.chain.height
                for trouble in ("none", "cut", "stall", "heal", "cut all but the last"):
                    if trouble == "cut":
                        rpc[0].cut()
                        grpc[0].cut()
                    elif trouble == "stall":
                        rpc[1].stall()
                        grpc[1].stall()
                    elif trouble == "heal":
                        for proxy in (*rpc, *grpc):
                            proxy.heal()
                    elif trouble != "none":
                        for proxy in (*rpc[:2], *grpc[:2]):
                            proxy.cut()
                    for _ in range(2):
                        height += 1
                        await devnet.node.step()
                        assert (await follower.wait_for(height)).height == height
                        params = await queries.shared_params()
                        assert params.num_blocks_per_session > 0
                seen = 0
                while seen < height:
                    seen_now = (await anext(stream))[0]
                    assert seen_now == seen + 1
                    seen = seen_now
            nodes.close()
