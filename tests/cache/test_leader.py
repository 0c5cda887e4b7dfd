"""The cache leader over a real store: one leads, blocks are published, caches are refreshed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.cache.leader import CacheLeader
from relayminer.chain.rpc import Block
from relayminer.config.settings import CacheSettings
from relayminer.state.block_events import BlockEvents
from relayminer.testing.store import fresh_store, running_gateway
from tests.cache.test_tiers import NAMES, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from relayminer.state.gateway import Redis

SETTINGS = CacheSettings(lease_ttl_seconds=0.5, lease_renew_seconds=0.1)


class Blocks:
    """A follower whose blocks come from the test."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Block](100)

    def add(self, height: int) -> None:
        """A new block."""
        self._send.send_nowait(
            Block(height=height, hash=b"\x01" * 32, time_ns=10**18, chain_id="devnet")
        )

    @contextmanager
    def subscribe(self) -> Iterator[AsyncIterator[Block]]:
        """All of them."""
        yield self._receive.clone()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    """A connected gateway to an empty store."""
    async with fresh_store() as url, running_gateway(url) as gateway:
        yield gateway


def leader(redis: Redis, world: World, blocks: Blocks, owner: str) -> CacheLeader:
    """One candidate."""
    return CacheLeader(
        store=redis,
        names=NAMES,
        caches=world.caches,
        moment=world.moment,
        follower=blocks,  # type: ignore[arg-type] # the only part that is used
        events=BlockEvents(redis, NAMES),
        settings=SETTINGS,
        owner=owner,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()` holds."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - the leader has no event to wait for
            await trio.sleep(0.01)


async def test_the_leader_publishes_and_refreshes(redis: Redis) -> None:
    """Parameters, known applications and services are in the store; the unstaked are dropped."""
    world, blocks = World(redis), Blocks()
    known = NAMES.cache_known_key("applications")
    await redis.command("SADD", known, world.application, "pokt1gone")
    one = leader(redis, world, blocks, "one")
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        blocks.add(21)
        await until(lambda: one.refreshed_height == 21)
        last = await BlockEvents(redis, NAMES).last()
        assert last is not None
        assert last.height == 21
        assert await redis.command("GET", NAMES.params_shared_cache_key) is not None
        assert await redis.command("GET", NAMES.params_proof_key) is not None
        assert await redis.command("GET", NAMES.cache_key("application", world.application))
        assert await redis.command("SMEMBERS", known) == [world.application.encode()]
        assert world.moment.learned
        blocks.add(22)
        blocks.add(25)
        await until(lambda: one.refreshed_height == 25)
        nursery.cancel_scope.cancel()
    assert await redis.command("GET", NAMES.global_leader_key) is None


async def test_another_takes_over(redis: Redis) -> None:
    """When the leader stops, the next one publishes."""
    world, first_blocks, second_blocks = World(redis), Blocks(), Blocks()
    first = leader(redis, world, first_blocks, "first")
    second = leader(redis, world, second_blocks, "second")
    scope = trio.CancelScope()

    async def run_first() -> None:
        with scope:
            await first.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        first_blocks.add(21)
        await until(lambda: first.refreshed_height == 21)
        nursery.start_soon(second.run)
        second_blocks.add(22)
        assert second.refreshed_height == 0
        scope.cancel()
        await until(lambda: second.refreshed_height == 22)
        nursery.cancel_scope.cancel()


async def test_a_chain_that_is_away_does_not_end_the_leader(redis: Redis) -> None:
    """The refresh is tried again with the next block."""
    world, blocks = World(redis), Blocks()
    world.chain.available = False
    one = leader(redis, world, blocks, "one")
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        blocks.add(21)
        await until(lambda: "shared_params" in world.chain.asked)
        assert one.refreshed_height == 0
        world.chain.available = True
        world.now += 5
        blocks.add(22)
        await until(lambda: one.refreshed_height == 22)
        nursery.cancel_scope.cancel()
