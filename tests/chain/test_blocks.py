"""Following blocks: no height lost, whatever happens to the connection."""

from __future__ import annotations

import contextlib
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.chain.blocks import BlockFollower
from relayminer.chain.errors import HeightNotReachedError, WrongChainError
from relayminer.chain.rpc import CometRpc
from relayminer.config.chain import ChainSettings
from tests.chain.comet_node import FIRST_TIME_SECONDS, CometNode, block_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAIT_SECONDS = 10.0
NEVER_SECONDS = 600.0


@contextlib.asynccontextmanager
async def following(
    node: CometNode, *, poll_seconds: float = NEVER_SECONDS
) -> AsyncIterator[BlockFollower]:
    """A running follower of `node`."""
    settings = ChainSettings(rpc_url=node.url, poll_interval_seconds=poll_seconds)
    rpc = CometRpc(node.url, timeout_seconds=2.0)
    follower = BlockFollower(rpc, settings, SystemRandom())
    try:
        with trio.fail_after(WAIT_SECONDS):
            async with trio.open_nursery() as nursery:
                await nursery.start(follower.run)
                yield follower
                nursery.cancel_scope.cancel()
    finally:
        rpc.close()


async def until_subscribed(node: CometNode, count: int = 1) -> None:
    """Wait until the node has had `count` subscriptions."""
    while node.subscriptions < count:
        await node.subscribed.wait()


async def test_headers_give_blocks_with_hash_and_time(node: CometNode) -> None:
    """An announced header becomes a block with the hash that `/block` tells."""
    async with following(node) as follower:
        assert follower.latest is None
        await until_subscribed(node)
        await node.add_block()
        block = await follower.wait_for(1)
        assert (block.height, block.hash) == (1, block_hash(1))
        assert block.time_ns == (FIRST_TIME_SECONDS + 1) * 10**9 + 7
        assert follower.websocket_is_up


async def test_a_start_before_the_first_block_waits(node: CometNode) -> None:
    """A chain without blocks is no error; its first block is followed."""
    node.refuses_websocket = True
    async with following(node, poll_seconds=0.02) as follower:
        await node.called.wait()
        assert follower.latest is None
        await node.add_block()
        assert (await follower.wait_for(1)).height == 1


async def test_polling_finds_blocks_while_the_websocket_is_away(node: CometNode) -> None:
    """Without a WebSocket the heights are polled."""
    node.refuses_websocket = True
    async with following(node, poll_seconds=0.02) as follower:
        for height in (1, 2, 3):
            await node.add_block()
            assert (await follower.wait_for(height)).hash == block_hash(height)
        assert not follower.websocket_is_up


async def test_a_dropped_connection_is_replaced_and_subscribed_again(node: CometNode) -> None:
    """After the node closed, headers come over a new connection."""
    async with following(node) as follower:
        await until_subscribed(node)
        await node.add_block()
        await follower.wait_for(1)
        await node.drop_connections()
        await until_subscribed(node, 2)
        await node.add_block()
        assert (await follower.wait_for(2)).height == 2


async def test_a_subscription_that_fell_silent_is_replaced(node: CometNode) -> None:
    """Heights that were polled and never announced end the connection."""
    async with following(node, poll_seconds=0.02) as follower:
        await until_subscribed(node)
        await node.add_block()
        await follower.wait_for(1)
        node.announces = False
        while node.subscriptions < 2:
            await node.add_block()
            await follower.wait_for(node.height)
        node.announces = True


async def test_an_error_of_the_node_ends_the_subscription(node: CometNode) -> None:
    """A slow subscriber that the node cut off subscribes again."""
    async with following(node):
        await until_subscribed(node)
        await node.say({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "slow"}})
        await until_subscribed(node, 2)


@pytest.mark.parametrize("message", [{"id": 1}, {"result": {"data": {}}}, {"result": 1}])
async def test_an_unreadable_message_ends_the_subscription(
    node: CometNode, message: dict[str, object]
) -> None:
    """What is no CometBFT message is not guessed at: the connection is made anew."""
    async with following(node):
        await until_subscribed(node)
        await node.say(message)
        await until_subscribed(node, 2)


async def test_a_block_that_cannot_be_fetched_yet_is_fetched_until_it_is_there(
    node: CometNode,
) -> None:
    """A failing `/block` delays a height and does not lose it."""
    async with following(node) as follower:
        await until_subscribed(node)
        node.blocks_missing.add(1)
        await node.add_block()
        while [method for method, _ in node.asked].count("block") < 2:
            await node.called.wait()
            node.called = trio.Event()
        assert follower.latest is None
        node.blocks_missing.clear()
        assert (await follower.wait_for(1)).hash == block_hash(1)


async def test_a_height_that_never_was_does_not_stop_the_follower(node: CometNode) -> None:
    """An announcement from nowhere is doubted, and the blocks that are there are followed."""
    async with following(node) as follower:
        await until_subscribed(node)
        await node.add_block()
        await follower.wait_for(1)
        await node.announce(10**15)
        while ("status", {}) not in node.asked[1:]:
            await node.called.wait()
            node.called = trio.Event()
        await node.add_block()
        assert (await follower.wait_for(2)).height == 2


async def test_answers_nested_without_end_are_errors(node: CometNode) -> None:
    """JSON too deep to be read is the node's fault, and the node is asked again."""
    node.raw["status"] = node.raw["block"] = b"[" * 200_000
    async with following(node) as follower:
        await until_subscribed(node)
        await node.add_block()
        while [method for method, _ in node.asked].count("block") < 2:
            await node.called.wait()
            node.called = trio.Event()
        node.raw.clear()
        assert (await follower.wait_for(1)).hash == block_hash(1)


async def test_a_subscriber_that_was_slow_gets_the_newest_block(node: CometNode) -> None:
    """Level-triggered consumers never see an old height, and none twice."""
    async with following(node) as follower:
        await until_subscribed(node)
        with follower.subscribe() as blocks:
            await node.add_block()
            assert (await blocks.receive()).height == 1
            await node.add_block(count=5)
            await follower.wait_for(6)
            assert (await blocks.receive()).height == 6
            with trio.move_on_after(0.05) as scope:
                await blocks.receive()
            assert scope.cancelled_caught


async def test_every_height_has_its_events_in_order(node: CometNode) -> None:
    """Pushed events are taken as pushed, missed ones are asked for, none is left out."""
    await node.add_block(count=3)
    async with following(node, poll_seconds=0.05) as follower:
        stream = follower.events(2)
        seen = [await anext(stream) for _ in range(2)]
        await until_subscribed(node, 2)
        await node.add_block()
        await follower.wait_for(4)
        seen.append(await anext(stream))
        node.pushes_events = False
        await node.drop_connections()
        await node.add_block(count=2)
        seen += [await anext(stream) for _ in range(2)]
        assert [height for height, _ in seen] == [2, 3, 4, 5, 6]
        assert [events[0]["type"] for _, events in seen] == [
            "asked_2",
            "asked_3",
            "pushed_4",
            "asked_5",
            "asked_6",
        ]
        assert stream.skipped_heights == 0


async def test_events_that_the_node_does_not_push_in_time_are_asked_for(node: CometNode) -> None:
    """A push that does not come within its grace is replaced by a question."""
    async with following(node) as follower:
        stream = follower.events(1)
        await until_subscribed(node, 2)
        node.pushes_events = False
        await node.add_block()
        height, events = await anext(stream)
        assert (height, events[0]["type"]) == (1, "asked_1")


async def test_pruned_heights_are_counted_and_left_out(node: CometNode) -> None:
    """What the node has thrown away is told, and the rest goes on."""
    await node.add_block(count=6)
    node.lowest_height = 5
    async with following(node) as follower:
        stream = follower.events(1)
        assert (await anext(stream))[0] == 5
        assert stream.skipped_heights == 4


async def test_a_node_of_another_chain_ends_the_service(node: CometNode) -> None:
    """Following the wrong chain would sign for nothing: it is an error with a remedy."""
    node.chain_id = "other"
    await node.add_block()
    settings = ChainSettings(rpc_url=node.url)
    rpc = CometRpc(node.url, timeout_seconds=2)
    follower = BlockFollower(rpc, settings, SystemRandom())
    with (
        trio.fail_after(WAIT_SECONDS),
        pytest.raises(WrongChainError, match=r"set chain\.chain_id"),
    ):
        await follower.run()
    rpc.close()


async def test_hashes_of_old_blocks_are_fetched_and_remembered(node: CometNode) -> None:
    """A hash is asked for once; one ahead of the chain is an error of its own."""
    await node.add_block(count=3)
    async with following(node) as follower:
        await follower.wait_for(3)
        before = len(node.asked)
        assert await follower.block_hash(1) == block_hash(1)
        assert await follower.block_hash(1) == block_hash(1)
        assert len(node.asked) == before + 1
        with pytest.raises(HeightNotReachedError):
            await follower.block_hash(4)


async def test_remembered_hashes_are_bounded(
    node: CometNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not grow with the chain."""
    monkeypatch.setattr("relayminer.chain.history.HASHES_KEPT", 4)
    await node.add_block(count=9)
    async with following(node) as follower:
        await follower.wait_for(9)
        for height in range(1, 10):
            assert await follower.block_hash(height) == block_hash(height)
        assert len(follower._history._hashes) == 4


async def test_a_node_that_is_away_is_waited_for() -> None:
    """A follower that starts before its node finds it when it comes."""
    node = CometNode()
    async with node.serve():
        port = node.port
    settings = ChainSettings(rpc_url=f"http://127.0.0.1:{port}", poll_interval_seconds=0.02)
    rpc = CometRpc(settings.rpc_url, timeout_seconds=1)
    follower = BlockFollower(rpc, settings, SystemRandom())
    with trio.fail_after(WAIT_SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(follower.run)
            (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, node._connection, [listener])
            await node.add_block()
            assert (await follower.wait_for(1)).height == 1
            nursery.cancel_scope.cancel()
    rpc.close()
