"""Beside a Go fleet on one store: its commands, as state.md has them, against ours."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.errors import FencedError
from relayminer.state.leases import Lease
from relayminer.state.living import LivingMiners
from relayminer.state.log_reader import LogReader
from relayminer.state.meter import MeterMeta, MeterStore
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot
from relayminer.state.subscription import Gap, Message

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()
GO = "miner-host-1"
OURS = "miner-host-1-abcd"
SUPPLIER = "pokt1supplier"
CLAIM = NAMES.miner_claim_key(SUPPLIER)


class GoMiner:
    """What a Go miner sends for its leases, its register and the leader's lock (state.md 5)."""

    IF_OURS = "if redis.call('GET', KEYS[1]) == ARGV[1] then return "
    RENEW = f"{IF_OURS} redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"
    RELEASE = f"{IF_OURS} redis.call('DEL', KEYS[1]) end return 0"
    ELECT = (
        "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end "
        "redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) return 1"
    )

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def claim(self, key: str = CLAIM) -> bool:
        """SET NX; a lease that is its own already is prolonged."""
        if await self._redis.command("SET", key, GO, "NX", "EX", 90):
            return True
        owned = await self._redis.command("GET", key) == GO.encode()
        return owned and bool(await self._redis.command("EXPIRE", key, 90))

    async def renew(self, key: str = CLAIM) -> str:
        """What its renewal loop makes of a lease."""
        value = await self._redis.command("GET", key)
        if value is None:
            return "missing"
        return "own" if value == GO.encode() else "foreign"

    async def release(self, key: str = CLAIM) -> int:
        """Compare and delete."""
        return int(await self._redis.command("EVAL", self.RELEASE, 1, key, GO))

    async def lead(self) -> bool:
        """Election, and heartbeat of the elected one."""
        key = NAMES.global_leader_key
        if await self._redis.command("EVAL", self.RENEW, 1, key, GO, 30):
            return True
        return bool(await self._redis.command("EVAL", self.ELECT, 1, key, GO, 30))

    async def beat(self) -> list[str]:
        """Heartbeat; members without one are taken off; who is left."""
        active = NAMES.miner_active_set_key
        await self._redis.command("SET", NAMES.miner_instance_key(GO), time.time_ns(), "EX", 90)
        await self._redis.command("SADD", active, GO)
        members = [one.decode() for one in await self._redis.command("SMEMBERS", active)]
        for one in members:
            if not await self._redis.command("EXISTS", NAMES.miner_instance_key(one)):
                await self._redis.command("SREM", active, one)
        return sorted(one.decode() for one in await self._redis.command("SMEMBERS", active))


def lease(redis: Redis, key: str = CLAIM, ttl_seconds: float = 60) -> Lease:
    """Ours."""
    return Lease(redis, key, NAMES, owner=OURS, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize("key", [CLAIM, NAMES.global_leader_key])
async def test_a_go_owner_is_respected(redis: Redis, key: str) -> None:
    """Its lease keeps us off as long as it lives, whether it is claimed, renewed or given up."""
    go, ours = GoMiner(redis), lease(redis, key)
    assert await (go.claim(key) if key == CLAIM else go.lead())
    assert not await ours.acquire()
    assert ours.other is not None
    assert (ours.other.owner, ours.held) == (GO, False)
    assert await (go.claim(key) if key == CLAIM else go.lead())
    assert not await ours.renew()
    assert not await ours.release()
    assert await go.renew(key) == "own"
    assert await go.release(key) == 1
    assert await ours.acquire()


@pytest.mark.parametrize("key", [CLAIM, NAMES.global_leader_key])
async def test_a_go_miner_respects_us(redis: Redis, key: str) -> None:
    """Whatever it tries, our lease stays; it sees a foreign owner with a life that ends."""
    go, ours = GoMiner(redis), lease(redis, key)
    assert await ours.acquire()
    assert not await go.claim(key)
    assert not await go.lead() or key == CLAIM
    assert await go.renew(key) == "foreign"
    assert await go.release(key) == 0
    assert await redis.command("GET", key) == OURS.encode()
    assert 0 < await redis.command("PTTL", key) <= 60_000
    assert await ours.renew()
    assert await ours.release()
    assert await (go.claim(key) if key == CLAIM else go.lead())


async def test_a_go_miner_that_took_over_is_not_disturbed(redis: Redis) -> None:
    """When our lease has run out and a Go miner has it, nothing of ours changes the session."""
    ours = lease(redis)
    assert await ours.acquire()
    store = SessionStore(redis, NAMES, ttl_seconds=100)
    snapshot = Snapshot(
        session_id="one",
        supplier_operator_address=SUPPLIER,
        service_id="svc",
        application_address="app",
        session_start_height=1,
        session_end_height=10,
    )
    assert await store.create_if_absent(ours.fence, snapshot)
    fence = ours.fence
    # As if it had run out while we stood still.
    await redis.command("DEL", CLAIM)
    assert await GoMiner(redis).claim()
    with pytest.raises(FencedError, match=GO):
        await store.update_state(fence, SUPPLIER, "one", "claiming")
    assert not await ours.renew()
    assert await GoMiner(redis).renew() == "own"


async def test_both_count_each_other(redis: Redis) -> None:
    """Fair shares are right: each finds the other in the register, and neither buries the other."""
    go, ours = GoMiner(redis), LivingMiners(redis, NAMES)
    assert await go.beat() == [GO]
    assert set(await ours.meet(OURS, 60, [SUPPLIER])) == {GO, OURS}
    assert (await ours.meet(OURS, 60, [SUPPLIER]))[GO] is None
    assert await go.beat() == [GO, OURS]
    written = await redis.command("GET", NAMES.miner_instance_key(OURS))
    assert abs(int(written) - time.time_ns()) < 60 * 10**9
    await ours.leave(OURS)
    assert await go.beat() == [GO]


async def test_one_log_for_both(redis: Redis) -> None:
    """What a Go relayer logs we read, what we log a Go miner reads, and neither gets it twice."""
    reader, key = LogReader(redis, NAMES, OURS), NAMES.stream_key(SUPPLIER)
    await redis.command("XADD", key, "*", "data", b"of a Go relayer")
    await redis.command("EXPIRE", key, 7200)
    await redis.command("XGROUP", "CREATE", key, "ha-miners", "0", "MKSTREAM")
    await reader.ensure_group([SUPPLIER])
    # The end of life that a Go relayer gives the whole stream, and never prolongs, is gone.
    assert await redis.command("TTL", key) == -1
    await RelayLog(redis, NAMES).append(SUPPLIER, b"ours")
    async with redis.dedicated() as connection:
        read = await reader.read_new(connection, [SUPPLIER], count=1, block_seconds=1)
    assert [entry.data for entry in read[SUPPLIER]] == [b"of a Go relayer"]
    go = ("XREADGROUP", "GROUP", "ha-miners", GO, "COUNT", 1000, "STREAMS", key, ">")
    ((_, entries),) = await redis.command(*go)
    assert [fields for _, fields in entries] == [[b"data", b"ours"]]
    # It died with that entry in hand, as Go miners do: nothing of it is lost.
    taken = await reader.take_over(SUPPLIER, count=10)
    assert [entry.data for entry in taken] == [b"ours"]
    await reader.acknowledge(SUPPLIER, [entry.id for entry in (*read[SUPPLIER], *taken)])
    assert await redis.command("XLEN", key) == 0


async def test_block_events_go_both_ways(redis: Redis) -> None:
    """The message has Go's form to the byte, and its own is read, with or without a hash."""
    events = BlockEvents(redis, NAMES)
    channel = NAMES.block_event_channel
    leading = lease(redis, NAMES.global_leader_key)
    assert await leading.acquire()
    with trio.fail_after(10):
        async with redis.subscribe([channel]) as heard:
            assert await anext(heard) == Gap()
            await events.publish(
                BlockEvent(7, b"\1" * 32, 1_766_000_000_123_456_789), leading.fence
            )
            message = await anext(heard)
            assert isinstance(message, Message)
            assert message.payload == (
                b'{"height":7,"hash":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",'
                b'"timestamp":"2025-12-17T19:33:20.123456789Z"}'
            )
        async with events.listen() as blocks:
            assert (await anext(blocks)).height == 7
            text = {"height": 8, "timestamp": "2025-12-17T20:33:20.5+01:00"}
            await redis.command("PUBLISH", channel, json.dumps(text))
            assert await anext(blocks) == BlockEvent(8, b"", 1_766_000_000_500_000_000)


async def test_one_budget_for_both(redis: Redis) -> None:
    """What a Go relayer consumes is missing in our grants, and it sees what we took."""
    store = MeterStore(redis, NAMES, ttl_seconds=7200)
    consumed = NAMES.meter_consumed_key("one", SUPPLIER)
    meta: dict[str, Any] = {
        "session_id": "one",
        "app_address": "app",
        "service_id": "svc",
        "supplier_address": SUPPLIER,
        "session_end_height": 10,
        "max_stake_upokt": 1_000,
        "created_at": 1_766_000_000,
        "created_with_app_stake": 5_000,
        "created_with_factor": 0,
    }
    key = NAMES.meter_meta_key("one", SUPPLIER)
    await redis.command("SET", key, json.dumps(meta), "NX", "EX", 7200)
    await redis.command("SET", consumed, 0, "EX", 7200)
    assert await redis.command("INCRBY", consumed, 300) == 300
    ours = MeterMeta(**{**meta, "max_stake_upokt": 77})
    assert (await store.open(ours)).max_stake_upokt == 1_000
    grant = await store.take("one", SUPPLIER, cost_upokt=100, relays=50, max_upokt=1_000)
    assert (grant.relays, grant.consumed_upokt) == (7, 1_000)
    # Its check: one more is beyond the budget, and is taken back.
    assert await redis.command("INCRBY", consumed, 100) > meta["max_stake_upokt"]
    await redis.command("DECRBY", consumed, 100)
    assert await store.give_back("one", SUPPLIER, 600) == 400
