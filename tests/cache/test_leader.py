"""The cache leader over a real store: one leads, blocks are published, caches are refreshed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.cache import leader as leading
from relayminer.cache.factors import FactorPublisher
from relayminer.cache.leader import CacheLeader
from relayminer.cache.metrics import LeaderMetrics
from relayminer.chain.rpc import Block
from relayminer.config.settings import CacheSettings
from relayminer.state.block_events import BlockEvents
from relayminer.state.service_factors import ServiceFactorStore
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway
from relayminer.watchdog import Pulse, Watchdog
from tests.cache.test_tiers import NAMES, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from relayminer.state.gateway import Redis

SETTINGS = CacheSettings(lease_ttl_seconds=0.5, lease_renew_seconds=0.1)


class Blocks:
    """A follower whose blocks come from the test."""

    def __init__(self) -> None:
        self.latest: Block | None = None
        self.changed = trio.Event()

    def add(self, height: int) -> None:
        """A new block."""
        self.latest = Block(height=height, hash=b"\x01" * 32, time_ns=10**18, chain_id="devnet")
        self.changed.set()
        self.changed = trio.Event()

    @contextmanager
    def subscribe(self) -> Iterator[Newest]:
        """The newest ones."""
        yield Newest(self)


class Newest:
    """What a subscriber sees."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._seen: Block | None = None

    async def receive(self) -> Block:
        """The newest block that was not received yet."""
        await trio.lowlevel.checkpoint()
        while self._blocks.latest is None or self._blocks.latest is self._seen:
            await self._blocks.changed.wait()
        self._seen = self._blocks.latest
        return self._seen

    def __aiter__(self) -> Newest:
        return self

    async def __anext__(self) -> Block:
        return await self.receive()


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
        watchdog=Watchdog(Metrics()),
        metrics=LeaderMetrics(Metrics(), owner),
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


async def test_who_sees_no_block_does_not_lead(redis: Redis) -> None:
    """Before the chain's first block nobody is elected, and nothing is published."""
    world, blocks = World(redis), Blocks()
    one = leader(redis, world, blocks, "one")
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        await trio.sleep(0.3)
        assert await redis.command("GET", NAMES.global_leader_key) is None
        blocks.add(1)
        await until(lambda: one.is_leading)
        nursery.cancel_scope.cancel()


async def test_who_sees_no_more_blocks_resigns(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader whose node has stopped makes room for one whose node has not."""
    monkeypatch.setattr(leading, "STALE_SECONDS", 0.4)
    world, stopped, running = World(redis), Blocks(), Blocks()
    world.moment.block_seconds = 0.1
    first = leader(redis, world, stopped, "first")
    second = leader(redis, world, running, "second")
    async with trio.open_nursery() as nursery:

        async def go_on() -> None:
            height = 21
            while True:
                height += 1
                running.add(height)
                await trio.sleep(0.05)

        nursery.start_soon(first.run)
        stopped.add(21)
        await until(lambda: first.is_leading)
        nursery.start_soon(second.run)
        nursery.start_soon(go_on)
        await until(lambda: second.is_leading)
        assert not first.is_leading
        stopped.add(22)
        await trio.sleep(0.5)
        assert second.is_leading
        nursery.cancel_scope.cancel()


async def test_a_deposed_leader_stops_at_once(redis: Redis) -> None:
    """Its lease in other hands, it publishes nothing more and stands again."""
    world, blocks = World(redis), Blocks()
    one = leader(redis, world, blocks, "one")
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        blocks.add(21)
        await until(lambda: one.refreshed_height == 21)
        await redis.command("SET", NAMES.global_leader_key, "a-go-miner", "PX", 700)
        blocks.add(22)
        await until(lambda: not one.is_leading)
        last = await BlockEvents(redis, NAMES).last()
        assert last is not None
        assert last.height == 21
        await until(lambda: one.is_leading)
        nursery.cancel_scope.cancel()


async def test_a_hand_over_is_heard_of(redis: Redis) -> None:
    """A standby that looks every ten seconds takes over at once when the leader ends in order."""
    world, blocks = World(redis), Blocks()
    blocks.add(21)
    first = leader(redis, world, blocks, "first")
    second = leader(redis, world, blocks, "second")
    second._settings = CacheSettings(lease_ttl_seconds=30, lease_renew_seconds=10)
    scope = trio.CancelScope()

    async def run_first() -> None:
        with scope:
            await first.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        await until(lambda: first.is_leading)
        # Renewed for as long as the test takes: only the news can be what wakes the other one.
        await redis.command("PEXPIRE", NAMES.global_leader_key, 60_000)
        nursery.start_soon(second.run)
        await until(lambda: second._lease.other is not None)
        scope.cancel()
        await until(lambda: second.is_leading)
        nursery.cancel_scope.cancel()


async def test_factors_are_published_by_the_leader(redis: Redis) -> None:
    """They are in the store while somebody leads, and come back when they were lost."""
    store = ServiceFactorStore(redis, NAMES, ttl_seconds=60)
    publisher = FactorPublisher(store, 0.5, {"svc": 0.9, "none": 0.0})
    pulse = Pulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run, pulse)
        with trio.fail_after(5):
            while await store.read("svc") is None:  # noqa: ASYNC110 - another's entry
                await trio.sleep(0.01)
        assert await store.read("svc") == 0.9
        assert await store.read("none") == 0.5
        nursery.cancel_scope.cancel()
