"""The present height, from the store and from the node."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio
import trio.testing

from relayminer.cache.heights import HeightKeeper
from relayminer.cache.metrics import HeightMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.chain.rpc import Block
from relayminer.protocol.pb.shared_pb2 import Params
from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.leases import Lease
from relayminer.state.names import KeyNames
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.cache.caches import Caches
    from relayminer.chain.blocks import BlockFollower


@attrs.define
class Node:
    """Blocks of our own node, on command."""

    latest: Block | None = None
    send: trio.MemorySendChannel[Block] | None = None
    set_backs: int = 0

    @contextmanager
    def subscribe(self) -> Iterator[trio.MemoryReceiveChannel[Block]]:
        """What `says` is told."""
        self.send, receive = trio.open_memory_channel[Block](10)
        yield receive

    async def says(self, height: int, time_ns: int) -> None:
        """The node has a new block."""
        self.latest = Block(height, bytes(32), time_ns, "pocket")
        await trio.testing.wait_all_tasks_blocked(0.05)
        if self.send is not None:
            await self.send.send(self.latest)
        await trio.testing.wait_all_tasks_blocked(0.05)


class OneCache:
    """The shared parameters."""

    def of(self, name: str) -> OneCache:
        """This one."""
        del name
        return self

    async def get(self, key: str) -> Params:
        """The same always."""
        del key
        await trio.lowlevel.checkpoint()
        return Params(num_blocks_per_session=10, grace_period_end_offset_blocks=1)


async def play(*steps: tuple[str, int, int]) -> list[int]:
    """The height after each step: `published` or `own`, height, time in ns."""
    heights = []
    async with fresh_store() as url, running_gateway(url) as redis:
        names = KeyNames()
        events = BlockEvents(redis, names)
        leader = Lease(redis, names.global_leader_key, names, owner="leader", ttl_seconds=60)
        assert await leader.acquire()
        if steps[0][0] == "stored":
            await events.publish(BlockEvent(steps[0][1], b"", steps[0][2]), leader.fence)
        moment, node = ChainMoment(1.0), Node()
        keeper = HeightKeeper(
            moment,
            cast("Caches", OneCache()),
            events=events,
            follower=cast("BlockFollower", node),
            metrics=HeightMetrics(Metrics(), 1.0),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cast("Any", keeper.run))
            with trio.fail_after(10):
                for source, height, time_ns in steps:
                    if source == "own":
                        await node.says(height, time_ns)
                    elif source == "published":
                        await events.publish(BlockEvent(height, b"", time_ns), leader.fence)
                    else:
                        while not moment.height:  # noqa: ASYNC110 - it is plain data
                            await trio.sleep(0.01)
                    await trio.sleep(0.05)
                    heights.append(moment.height)
            nursery.cancel_scope.cancel()
    return heights


async def test_a_block_left_in_the_store_by_another_chain_is_not_believed() -> None:
    """A higher block that is older than our node's is of a chain that is gone."""
    assert await play(
        ("stored", 500, 1000),
        ("own", 3, 2000),
        ("own", 4, 2001),
        ("published", 500, 1000),
        ("published", 5, 2002),
    ) == [500, 3, 4, 4, 5]


async def test_a_node_that_lags_does_not_set_the_height_back() -> None:
    """Where our node's blocks are lower and older, the fleet knows better."""
    assert await play(
        ("stored", 500, 1000), ("own", 3, 10), ("published", 501, 1001), ("own", 4, 11)
    ) == [500, 500, 501, 501]
