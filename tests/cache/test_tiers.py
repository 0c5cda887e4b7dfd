"""Memory, store, chain: who is asked, when, and what happens when somebody is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.cache.caches import Caches
from relayminer.cache.errors import AbsentError, LoadError, UnknownCacheError
from relayminer.cache.metrics import CacheMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.state.gateway import Redis
from relayminer.state.json_forms import parse_session, parse_shared_params
from relayminer.state.names import KeyNames
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway
from tests.relayer.kit import CACHE_TYPES, SERVICE, SmallChain
from tests.state.servers import HOST, one_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.plugin import ChainReader

NAMES = KeyNames()


class World:
    """Caches over a chain, with or without a store, on a clock that the test moves."""

    def __init__(self, store: Redis | None, max_entries: int = 100) -> None:
        self.chain = SmallChain()
        self.now = 1_000.0
        self.moment = ChainMoment(30.0, clock=lambda: self.now)
        self.moment.observe(15)
        self.store = store
        self.caches = Caches(
            {kind.name: kind() for kind in CACHE_TYPES},
            chain=self.chain,
            store=store,
            names=NAMES,
            moment=self.moment,
            max_entries=max_entries,
            metrics=CacheMetrics(Metrics()),
            clock=lambda: self.now,
        )

    @property
    def application(self) -> str:
        """The one that exists."""
        return self.chain.application_key.address


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    """A connected gateway to an empty store."""
    async with fresh_store() as url, running_gateway(url) as gateway:
        yield gateway


async def test_the_chain_is_asked_once(redis: Redis) -> None:
    """Then memory answers; then, in another process, the store."""
    world = World(redis)
    cache = world.caches.of("application")
    assert cache.get_cached(world.application) is None
    value = await cache.get(world.application)
    assert cache.get_cached(world.application) is value
    assert world.chain.asked == [f"application {world.application}"]
    other = World(redis)
    assert await other.caches.of("application").get(world.application) == value
    assert other.chain.asked == []


async def test_values_in_memory_grow_old(redis: Redis) -> None:
    """After its time in memory a value comes from the store again."""
    world = World(redis)
    cache = world.caches.of("application")
    await cache.get(world.application)
    world.now += cache.kind.memory_seconds + 1
    assert cache.get_cached(world.application) is None
    await cache.get(world.application)
    assert len(world.chain.asked) == 1


async def test_encodings_in_the_store_are_the_go_implementations(redis: Redis) -> None:
    """Names and forms of state.md 4.2, with their lives."""
    world = World(redis)
    key = (world.application, SERVICE, 15)
    session = await world.caches.of("session").get(key)
    name = NAMES.session_cache_key(*key)
    assert parse_session(await redis.command("GET", name)) == session
    # 20 end + 1 grace + 2 extra - 15 now = 8 blocks of 30 s, and 10 s.
    assert 249_000 < await redis.command("PTTL", name) <= 250_000
    params = await world.caches.of("shared_params_at").get(11)
    name = NAMES.params_shared_at_key(11)
    assert parse_shared_params(await redis.command("GET", name)) == params
    key_bytes = await world.caches.of("account").get(world.application)
    assert await redis.command("GET", NAMES.cache_key("account", world.application)) == key_bytes
    assert await redis.command("PTTL", NAMES.cache_key("account", world.application)) == -1


async def test_fifty_who_miss_ask_once() -> None:
    """One flight per key; the others wait for it."""
    world = World(None)
    cache = world.caches.of("application")
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(cache.get, world.application)
    assert len(world.chain.asked) == 1


async def test_a_cancelled_flight_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait do not fail because the one who asked went away."""
    world = World(None)
    cache = world.caches.of("application")
    gate = trio.Event()
    load = cache.kind.load

    async def slow(chain: ChainReader, key: str) -> object:
        await gate.wait()
        return await load(chain, key)

    monkeypatch.setattr(cache.kind, "load", slow)
    scope = trio.CancelScope()
    got: list[object] = []

    async def first() -> None:
        with scope:
            await cache.get(world.application)

    async def second() -> None:
        got.append(await cache.get(world.application))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert len(got) == 1


async def test_what_does_not_exist_is_remembered() -> None:
    """For its time, then asked again."""
    world = World(None)
    cache = world.caches.of("application")
    for _ in range(3):
        with pytest.raises(AbsentError):
            await cache.get("pokt1nobody")
    assert len(world.chain.asked) == 1
    world.now += cache.kind.absent_seconds + 1
    with pytest.raises(AbsentError):
        await cache.get("pokt1nobody")
    assert len(world.chain.asked) == 2


async def test_a_chain_that_is_away_is_not_hammered() -> None:
    """A failure is remembered for a moment, and it is no absence."""
    world = World(None)
    world.chain.available = False
    cache = world.caches.of("application")
    for _ in range(3):
        with pytest.raises(LoadError):
            await cache.get(world.application)
    assert len(world.chain.asked) == 1
    world.chain.available = True
    world.now += 2
    await cache.get(world.application)


async def test_unreadable_values_in_the_store_are_misses(redis: Redis) -> None:
    """The chain is asked, and the store corrected."""
    world = World(redis)
    name = NAMES.cache_key("account", world.application)
    await redis.command("SET", name, b"rubbish")
    key = await world.caches.of("account").get(world.application)
    assert len(key) == 33
    assert await redis.command("GET", name) == key


async def test_without_a_store_the_chain_is_asked() -> None:
    """The store being away costs a query, not a relay."""
    gateway = Redis("redis://127.0.0.1:1")
    world = World(gateway)
    assert await world.caches.of("application").get(world.application)


async def test_memory_is_bounded() -> None:
    """Beyond the bound the oldest go."""
    world = World(None, max_entries=3)
    cache = world.caches.of("shared_params_at")
    for height in range(1, 10):
        await cache.get(height)
    assert len(cache) == 3
    assert cache.get_cached(9) is not None
    assert cache.get_cached(1) is None


@pytest.mark.parametrize(
    ("payload", "forgotten"),
    [
        (b'{"address":"APP"}', True),
        (b"{}", True),
        (b'{"address":"pokt1other"}', False),
        (b'{"something":"else"}', False),
        (b"not json", False),
        (b"[]", False),
    ],
)
async def test_invalidations(payload: bytes, *, forgotten: bool) -> None:
    """state.md 4.3: one, all, or nothing."""
    world = World(None)
    cache = world.caches.of("application")
    await cache.get(world.application)
    channel = NAMES.event_channel("application", "invalidate")
    world.caches.handle(channel, payload.replace(b"APP", world.application.encode()))
    assert (cache.get_cached(world.application) is None) == forgotten


async def test_invalidations_arrive_over_the_store(redis: Redis) -> None:
    """A message of another process empties our memory."""
    world = World(redis)
    cache = world.caches.of("application")
    async with trio.open_nursery() as nursery:
        await nursery.start(world.caches.run)
        await cache.get(world.application)
        with trio.fail_after(3):
            while cache.get_cached(world.application) is not None:
                await redis.command(
                    "PUBLISH", NAMES.event_channel("application", "invalidate"), "{}"
                )
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


def test_a_cache_type_that_is_missing_is_named() -> None:
    """The message says what is wanted and what there is."""
    with pytest.raises(UnknownCacheError, match=r"'nonsense' is not installed .* account, "):
        World(None).caches.of("nonsense")


async def test_old_values_are_served_while_the_chain_is_away(redis: Redis) -> None:
    """With their age shown, up to a limit; never one that somebody said has changed."""
    world = World(None)
    cache = world.caches.of("application")
    value = await cache.get(world.application)
    assert world.caches.detail() is None
    world.chain.available = False
    world.now += 100
    assert await cache.get(world.application) is value
    assert cache.age_seconds(world.application) == 100
    assert world.caches.detail() == {
        "application": {"chain_away_seconds": 0.0, "oldest_value_seconds": 100.0}
    }
    # Between two tries the old one is had without any question.
    asked = len(world.chain.asked)
    assert cache.get_cached(world.application) is value
    assert len(world.chain.asked) == asked
    world.now += 2_000
    with pytest.raises(LoadError):
        await cache.get(world.application)
    world.chain.available = True
    world.now += 2
    await cache.get(world.application)
    assert (cache.age_seconds(world.application), world.caches.detail()) == (0, None)
    world.chain.available = False
    cache.forget(world.application)
    with pytest.raises(LoadError):
        await cache.get(world.application)
    # What the store has it gives, and its age shows.
    rich = World(redis)
    await rich.caches.of("application").get(rich.application)
    name = NAMES.cache_key("application", rich.application)
    await redis.command("PEXPIRE", name, 200_000)
    other = World(redis)
    other.chain.available = False
    await other.caches.of("application").get(rich.application)
    age = other.caches.of("application").age_seconds(rich.application)
    assert age is not None
    assert 100 <= age < 105


async def test_an_invalidation_during_a_load_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that was on its way when it changed is not kept."""
    world = World(None)
    cache = world.caches.of("application")
    gate = trio.Event()
    load = cache.kind.load

    async def slow(chain: ChainReader, key: str) -> object:
        value = await load(chain, key)
        await gate.wait()
        return value

    monkeypatch.setattr(cache.kind, "load", slow)
    for name in ("one", "all"):
        gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.get, world.application)
            await trio.testing.wait_all_tasks_blocked()
            if name == "one":
                cache.forget(world.application)
            else:
                cache.forget_all()
            gate.set()
        assert cache.get_cached(world.application) is None


async def test_a_store_that_stands_still_costs_little() -> None:
    """One read waits for it; the others ask the chain at once until it has had its pause."""
    async with one_server() as server, running_gateway(f"redis://{HOST}:{server.port}") as store:
        world = World(store)
        cache = world.caches.of("shared_params_at")
        server.freeze()
        began = trio.current_time()
        for height in range(1, 50):
            await cache.get(height)
        assert trio.current_time() - began < 1.5
        server.thaw()
        world.now += 3
        await cache.get(99)
        assert await store.command("EXISTS", NAMES.params_shared_at_key(99)) == 1


async def test_the_leader_is_told_what_to_keep_fresh(redis: Redis) -> None:
    """Applications and services that were asked for enter the sets that the leader refreshes."""
    world = World(redis)
    await world.caches.of("application").get(world.application)
    await world.caches.of("service").get(SERVICE)
    known = [NAMES.cache_known_key(kind) for kind in ("applications", "services")]
    assert await redis.command("SMEMBERS", known[0]) == [world.application.encode()]
    assert await redis.command("SMEMBERS", known[1]) == [SERVICE.encode()]


@pytest.mark.parametrize("name", ["shared_params", "session_params", "proof_params"])
async def test_live_parameters_are_shared(redis: Redis, name: str) -> None:
    """One process asks the chain, others find them in the store; any word drops them."""
    world, other = World(redis), World(redis)
    value = await world.caches.of(name).get("")
    assert await other.caches.of(name).get("") == value
    assert (len(world.chain.asked), len(other.chain.asked)) == (1, 0)
    other.caches.handle(NAMES.event_channel(name, "invalidate"), b"whatever")
    assert other.caches.of(name).get_cached("") is None
