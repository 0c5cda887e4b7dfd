"""Leases and the register of living miners, each tried from the wrong side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.state.errors import FencedError
from relayminer.state.leases import Lease, owner_id, sweep
from relayminer.state.living import LivingMiners
from relayminer.state.names import KeyNames
from relayminer.state.subscription import Message

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()
SUPPLIER = "supplier"


def lease_of(redis: Redis, owner: str, ttl_seconds: float = 60.0) -> Lease:
    """A lease of the supplier for `owner`, not yet acquired."""
    key = NAMES.miner_claim_key(SUPPLIER)
    return Lease(redis, key, NAMES, owner=owner, ttl_seconds=ttl_seconds)


async def test_a_lease_has_one_holder(redis: Redis) -> None:
    """Only one of two gets a lease, and what the second does to it has no effect."""
    one, other = lease_of(redis, "one"), lease_of(redis, "other")
    assert await one.acquire()
    assert not await other.acquire()
    assert not await other.renew()
    assert not await other.release()
    assert one.held
    assert not other.held
    with pytest.raises(FencedError):
        _ = other.fence
    holder = await other.holder()
    assert holder is not None
    assert holder.owner == "one"
    assert await redis.command("GET", one.key) == b"one"
    assert await one.release()
    assert await other.acquire()


async def test_each_acquisition_has_a_newer_token(redis: Redis) -> None:
    """Tokens only grow, over releases and losses, even for the same owner."""
    tokens = []
    for _ in range(3):
        lease = lease_of(redis, "one")
        assert await lease.acquire()
        tokens.append(lease.fence.token)
        await redis.command("DEL", lease.key)
        assert not await lease.renew()
        assert not lease.held
    assert tokens == sorted(set(tokens))


async def test_one_script_looks_at_all_leases(redis: Redis) -> None:
    """What is held is prolonged, what is wanted and free is taken, of the others we learn whose."""

    def lease(name: str, owner: str = "me") -> Lease:
        return Lease(redis, f"ha:miner:claim:{name}", NAMES, owner=owner, ttl_seconds=60)

    held, free, wanted, foreign, broken, lost = map(
        lease, ("held", "free", "wanted", "foreign", "broken", "lost")
    )
    assert await held.acquire()
    assert await lost.acquire()
    assert await lease("foreign", "other").acquire()
    token = held.fence.token
    await redis.command("PEXPIRE", held.key, 1000)
    await redis.command("DEL", broken.key, lost.key)
    await redis.command("RPUSH", broken.key, "no lease")
    await sweep(redis, [held, free, wanted, foreign, broken, lost], take=[wanted, foreign, broken])
    assert [one.held for one in (held, free, wanted, foreign, broken, lost)] == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert held.fence.token == token
    assert await redis.command("PTTL", held.key) > 1000
    assert free.other is None
    assert foreign.other is not None
    assert foreign.other.owner == "other"
    assert foreign.other.remaining_seconds is not None
    assert 50 < foreign.other.remaining_seconds <= 60
    assert broken.other is not None
    assert "WRONGTYPE" in broken.other.owner


async def test_a_late_answer_revives_no_lease(redis: Redis) -> None:
    """A lease that was given up while a script that prolongs it was on its way stays given up."""
    lease = lease_of(redis, "one")
    assert await lease.acquire()
    wished = lease.wish(take=False)
    assert await lease.release()
    lease.learn(wished, wished, trio.current_time())
    assert not lease.held


async def test_giving_up_a_lease_is_news(redis: Redis) -> None:
    """Who waits for a lease hears of it at once; a release of what is not held is no news."""
    lease = lease_of(redis, "one")
    async with redis.subscribe([NAMES.lease_news_channel]) as news:
        await anext(news)
        assert not await lease.release()
        assert await lease.acquire()
        assert await lease.release()
        with trio.fail_after(10):
            assert await anext(news) == Message(NAMES.lease_news_channel, lease.key.encode())


async def test_a_lease_ends_before_the_server_lets_go(redis: Redis) -> None:
    """Without a renewal the holder stops believing in its lease by its own clock."""
    lease = lease_of(redis, "one", ttl_seconds=0.05)
    assert await lease.acquire()
    assert trio.current_time() < lease.held_until <= trio.current_time() + 0.05
    await trio.sleep_until(lease.held_until)
    assert not lease.held
    with pytest.raises(FencedError):
        _ = lease.fence


async def test_an_old_life_of_the_same_name_is_not_us(redis: Redis) -> None:
    """Two processes of one name have different owner ids, so neither holds the other's lease."""
    assert owner_id("miner") != owner_id("miner")
    assert owner_id("miner", "boot") == "miner-boot"
    assert await lease_of(redis, owner_id("miner")).acquire()
    assert not await lease_of(redis, owner_id("miner")).acquire()


async def test_miners_come_and_go(redis: Redis) -> None:
    """The register shrinks by those who leave and by those whose heartbeat ran out."""
    miners = [LivingMiners(redis, NAMES, now_ns=lambda: 42) for _ in range(3)]
    for one, name in zip(miners, ("a", "b", "c"), strict=True):
        await one.meet(name, 60, [SUPPLIER, name])
    assert await redis.command("GET", NAMES.miner_instance_key("a")) == b"42"
    assert (await miners[2].meet("c", 60, [])).keys() == {"a", "b", "c"}
    await redis.command("DEL", NAMES.miner_instance_key("b"))
    living = await miners[2].meet("c", 60, [])
    assert living == {"a": frozenset({SUPPLIER, "a"}), "c": frozenset()}
    assert await redis.command("SISMEMBER", NAMES.miner_active_set_key, "b") == 0
    assert (await miners[1].meet("b", 60, [])).keys() == {"a", "b", "c"}
    await miners[0].leave("a")
    assert (await miners[2].meet("c", 60, [])).keys() == {"b", "c"}
    assert await redis.command("EXISTS", NAMES.miner_wants_key("a")) == 0


async def test_what_a_miner_wants_is_written_when_it_changes(redis: Redis) -> None:
    """The list is written once, kept alive by every beat, and written again when it was lost."""
    miners = LivingMiners(redis, NAMES)
    key = NAMES.miner_wants_key("a")
    await miners.meet("a", 60, [SUPPLIER])
    await redis.command("SET", key, "somebody's mark", "PX", 1000)
    await miners.meet("a", 60, [SUPPLIER])
    assert await redis.command("GET", key) == b"somebody's mark"
    assert await redis.command("PTTL", key) > 1000
    await redis.command("DEL", key)
    assert await miners.meet("a", 60, [SUPPLIER]) == {"a": None}
    assert await miners.meet("a", 60, [SUPPLIER]) == {"a": frozenset({SUPPLIER})}
    assert await miners.meet("a", 60, []) == {"a": frozenset()}
