"""A cluster of real servers: keys find their nodes, nodes may die, slots may move."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from redis.crc import key_slot

from relayminer.config.settings import RedisSettings
from relayminer.state.cluster import slot_of
from relayminer.state.errors import StoreAwayError, StoreReplyError
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.state.subscription import Gap, Message
from relayminer.testing.store import running_gateway
from tests.miner.harness import Rig, suppliers, until
from tests.state.servers import HOST, ServerProcess, cluster_servers, until_true

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

NAMES = KeyNames(hash_tags=True)
SETTINGS = RedisSettings(command_timeout_seconds=10.0, reconnect_backoff_max_seconds=0.2)


def url_of(servers: Sequence[ServerProcess]) -> str:
    """For `redis.url`."""
    return f"redis-cluster://{','.join(f'{HOST}:{server.port}' for server in servers)}"


Cluster = tuple[tuple[ServerProcess, ...], Redis]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[tuple[ServerProcess, ...]]:
    """Three nodes; whoever moves slots works on the map that the next test finds."""
    with cluster_servers() as servers:
        yield servers


@pytest.fixture
async def cluster(three_nodes: tuple[ServerProcess, ...]) -> AsyncIterator[Cluster]:
    """The nodes and a gateway to them."""
    async with running_gateway(url_of(three_nodes[:1]), SETTINGS) as redis:
        yield three_nodes, redis


@pytest.fixture
def six_nodes() -> Iterator[tuple[ServerProcess, ...]]:
    """Three primaries and three replicas."""
    with cluster_servers(replicas=True) as servers:
        yield servers


def owner_of(key: str) -> int:
    """Which of three nodes had the key's slot in the beginning."""
    return int(key_slot(key.encode())) // 5462


async def test_commands_find_their_nodes(cluster: Cluster) -> None:
    """Keys of all slots can be used, alone, in pipelines, in scripts and in transactions."""
    _, redis = cluster
    keys = [f"k{number}" for number in range(100)]
    for number, key in enumerate(keys):
        await redis.command("SET", key, number)
    assert await redis.get_many([*keys, "none"]) == [*(str(n).encode() for n in range(100)), None]
    assert sorted([key async for page in redis.scan("k*") for key in page]) == sorted(
        key.encode() for key in keys
    )
    replies = await redis.pipeline([*(("INCR", key) for key in keys[:9]), ("PUBLISH", "c", "x")])
    assert replies == [*range(1, 10), 0]
    assert await redis.transaction([("INCR", "{t}a"), ("INCR", "{t}b")]) == [1, 1]
    with pytest.raises(StoreReplyError, match="CROSSSLOT"):
        await redis.transaction([("INCR", "k0"), ("INCR", "k1")])
    with pytest.raises(StoreReplyError):
        await redis.pipeline([("LPUSH", "k0", "x"), ("SET", "k1", "still done")])
    assert await redis.command("GET", "k1") == b"still done"
    assert redis.is_connected
    assert redis.waiting == 0


async def test_moving_slots_are_followed(cluster: Cluster) -> None:
    """While a slot moves and after it has, every command finds the key, and is executed once."""
    servers, redis = cluster
    key = "moving"
    slot = key_slot(key.encode())
    source = servers[owner_of(key)]
    target = servers[(owner_of(key) + 1) % 3]
    await redis.command("SET", key, 1)
    source_id, target_id = [(await one.ask("CLUSTER", "MYID")).decode() for one in (source, target)]
    await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    assert await redis.command("INCR", key) == 2
    assert await redis.pipeline([("INCR", f"{{{key}}}new"), ("INCR", key)]) == [1, 3]
    await source.ask("MIGRATE", HOST, target.port, key, 0, 5000)
    assert await redis.command("INCR", key) == 4
    async with trio.open_nursery() as nursery:
        # Nobody can say ASKING inside a transaction: it waits until the slot has arrived.
        nursery.start_soon(redis.transaction, [("INCR", key), ("INCR", f"{{{key}}}new")])
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        for server in servers:
            await server.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
    assert await redis.get_many([key, f"{{{key}}}new"]) == [b"5", b"2"]
    assert await redis.transaction([("INCR", key), ("INCR", f"{{{key}}}new")]) == [6, 3]


async def test_messages_cross_the_cluster(cluster: Cluster) -> None:
    """A subscriber hears what is published at any node."""
    servers, redis = cluster
    with trio.fail_after(30):
        async with redis.subscribe(["c"]) as events:
            assert await anext(events) == Gap()
            await until_true(partial(_heard, servers[0]))
            for server in servers:
                await server.ask("PUBLISH", "c", "x")
                assert await anext(events) == Message("c", b"x")


async def _heard(server: ServerProcess) -> bool:
    # The cluster's bus knows no answer: a subscription is known when messages pass.
    return "cluster_state:ok" in (await server.ask("CLUSTER", "INFO")).decode()


async def test_a_killed_node_is_replaced(six_nodes: tuple[ServerProcess, ...]) -> None:
    """What was confirmed after a replica took over is there; other nodes serve on meanwhile."""
    servers = six_nodes
    async with running_gateway(url_of(servers), SETTINGS) as redis:
        key = "log"
        victim = servers[owner_of(key)]
        other = next(name for name in ("a", "b", "c", "d") if owner_of(name) != owner_of(key))
        confirmed: list[int] = []
        failed: list[StoreAwayError] = []
        before = 0

        async def write() -> None:
            number = 0
            while len(confirmed) < before + 50 or not before:
                number += 1
                try:
                    await redis.command("RPUSH", key, number)
                except StoreAwayError as error:
                    failed.append(error)
                else:
                    confirmed.append(number)
                await trio.sleep(0.001)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await until(lambda: len(confirmed) >= 50)
                before = len(confirmed) + 1_000_000
                victim.kill()
                # Other nodes serve on meanwhile.
                assert await redis.command("INCR", other) == 1
                seen = len(confirmed)
                await until(lambda: len(confirmed) > seen + 1)
                before = len(confirmed)
            stored = {int(one) for one in await redis.command("LRANGE", key, 0, -1)}
            assert set(confirmed[-50:]) <= stored
            assert len(stored) == len(set(stored))
            # Only what was in flight when the node died has an unknown fate.
            assert len([error for error in failed if error.maybe_executed]) <= 1
            await redis.wait_connected()


async def test_a_miner_works_on_a_cluster(cluster: Cluster) -> None:
    """With hash tags every script of the miner finds its keys in one slot."""
    servers, redis = cluster
    rig = Rig(url_of(servers), redis, names=NAMES, keys=suppliers(4))
    sessions = {f"session {number}": key.address for number, key in enumerate(rig.keys)}
    async with rig.mining():
        for session, supplier in sessions.items():
            await rig.log(session, 5, supplier_operator_address=supplier)
        for session, supplier in sessions.items():
            await rig.counted(session, 5, supplier)
        await rig.step_to(40)
    assert rig.claimed_counts() == dict.fromkeys(sessions, 5)


def test_names_that_meet_have_one_tag() -> None:
    """Every name with a supplier in it is in the supplier's slot, whoever adds one."""
    untagged = {"supplier_state_key", "suppliers_registry_key"}
    slots: dict[str, Any] = {}
    for name, method in inspect.getmembers(NAMES, inspect.ismethod):
        parameters = inspect.signature(method).parameters
        if "supplier" not in parameters or name in untagged:
            continue
        arguments = [1 if "height" in one else f"<{one}>" for one in parameters if one != "prefix"]
        slots[name] = slot_of(("GET", method(*arguments)))
    assert len(slots) > 15
    assert set(slots.values()) == {slot_of(("GET", "{<supplier>}"))}
    assert slot_of(("GET", NAMES.global_leader_key)) == slot_of(
        ("GET", NAMES.fence_key(NAMES.global_leader_key))
    )
    assert slot_of(("GET", NAMES.suppliers_registry_index_key)) == slot_of(
        ("GET", NAMES.suppliers_registry_key("a"))
    )


def test_tags_change_nothing_else() -> None:
    """Without the braces of tags the names are those of a fleet without a cluster."""
    plain = attrs.evolve(NAMES, hash_tags=False)
    for name in ("stream_key", "ledger_key", "miner_claim_key", "dead_letter_key"):
        tagged = getattr(NAMES, name)("a")
        assert tagged.replace("{", "").replace("}", "") == getattr(plain, name)("a")
