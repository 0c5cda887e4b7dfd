"""Meters, factors, submissions, the ledger and block events in the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve

from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.errors import FencedError
from relayminer.state.leases import Lease
from relayminer.state.ledger import Ledger
from relayminer.state.meter import MeterMeta, MeterStore, parse_cleanup
from relayminer.state.names import KeyNames
from relayminer.state.service_factors import ServiceFactorStore
from relayminer.state.submissions import Submission, SubmissionStore

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()
META = MeterMeta(
    session_id="session",
    app_address="application",
    service_id="service",
    supplier_address="supplier",
    session_end_height=10,
    max_stake_upokt=1000,
)


async def test_budget_is_never_exceeded_by_many_takers(redis: Redis) -> None:
    """However many take at once, what is granted never costs more than the budget."""
    store = MeterStore(redis, NAMES, ttl_seconds=60)
    await store.open(META)
    granted = 0

    async def take() -> None:
        nonlocal granted
        grant = await store.take("session", "supplier", cost_upokt=7, relays=10, max_upokt=1000)
        granted += grant.relays

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(take)
    assert granted == 142
    assert await store.consumed("session", "supplier") == 994
    assert await store.give_back("session", "supplier", 14) == 980
    grant = await store.take("session", "supplier", cost_upokt=7, relays=10, max_upokt=1000)
    assert (grant.relays, grant.consumed_upokt) == (2, 994)
    assert (
        await store.take("session", "supplier", cost_upokt=0, relays=9, max_upokt=0)
    ).relays == 9
    assert (
        await store.take("session", "supplier", cost_upokt=7, relays=9, max_upokt=0)
    ).relays == 0


async def test_a_meter_opens_once_and_keeps_what_is_spent(redis: Redis) -> None:
    """Opening again, or with another budget, changes neither the first budget nor the counter."""
    store = MeterStore(redis, NAMES, ttl_seconds=60)
    first = await store.open(META)
    await store.take("session", "supplier", cost_upokt=10, relays=5, max_upokt=1000)
    assert await store.open(evolve(META, max_stake_upokt=5)) == first
    assert await store.consumed("session", "supplier") == 50
    await store.replace(evolve(first, max_stake_upokt=5))
    read = await store.read("session", "supplier")
    assert read is not None
    assert read.max_stake_upokt == 5
    assert await redis.command("TTL", NAMES.meter_meta_key("session", "supplier")) > 0
    await store.clear("session", "supplier")
    assert await store.read("session", "supplier") is None
    assert await redis.command("EXISTS", NAMES.meter_active_sessions_key) == 0


async def test_a_counter_without_end_gets_one_and_none_goes_below_zero(redis: Redis) -> None:
    """Counters that a Go relayer left without a life get one; giving back stops at zero."""
    store = MeterStore(redis, NAMES, ttl_seconds=60)
    key = NAMES.meter_consumed_key("session", "supplier")
    await redis.command("SET", key, 5)
    await store.take("session", "supplier", cost_upokt=1, relays=1, max_upokt=100)
    assert 0 < await redis.command("TTL", key) <= 60
    assert await store.give_back("session", "supplier", 100) == 0
    await redis.command("DEL", key)
    assert await store.give_back("session", "supplier", 100) == 0
    assert await redis.command("EXISTS", key) == 0


def test_cleanup_messages_need_both_parts() -> None:
    """A message without a session or without a supplier is none."""
    assert parse_cleanup(b"s|a|b") == ("s", "a|b")
    for payload in (b"", b"s", b"s|", b"|a"):
        assert parse_cleanup(payload) is None


async def test_factors(redis: Redis) -> None:
    """A service without a factor has the default one, or none."""
    store = ServiceFactorStore(redis, NAMES, ttl_seconds=60)
    assert await store.read("a") is None
    await store.publish(0, {})
    await store.publish(0, {"a": 0.5})
    assert await store.read("a") == 0.5
    assert await store.read("b") is None
    await store.publish(2, {})
    assert await store.read("b") == 2


async def test_submissions_changed_at_once_keep_both_changes(redis: Redis) -> None:
    """Changes of one record from many tasks are all in it at the end."""
    store = SubmissionStore(redis, NAMES, ttl_seconds=60, now_seconds=lambda: 1795226696.5)
    await store.track_claim(Submission(supplier="s", session_id="i", session_end=10))
    async with trio.open_nursery() as nursery:
        changed: list[dict[str, Any]] = [
            {"claim_on_chain_outcome": "on_chain_found"},
            {"claim_inclusion_height": 12},
            {"proof_rebroadcasts": 3},
        ]
        for changes in changed:
            nursery.start_soon(partial(store.set_outcome, "s", 10, "i", **changes))
    record = await store.load("s", 10, "i")
    assert record is not None
    assert record.claim_on_chain_outcome == "on_chain_found"
    assert (record.claim_inclusion_height, record.proof_rebroadcasts) == (12, 3)
    assert record.claim_submit_time_utc == "2026-11-21T02:04:56Z"
    await store.set_outcome("s", 10, "nobody", claim_inclusion_height=1)
    assert await store.load("s", 10, "nobody") is None


async def test_the_ledger_has_each_record_once(redis: Redis) -> None:
    """However often and by whomever a record is appended, it is there once and in order."""
    ledger = Ledger(redis, NAMES)
    records = [(f"id-{number}", b"%d" % number) for number in range(1200)]
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ledger.append, "s", records)
    assert await ledger.append("s", [*records[:2], ("new", b"x")]) == 1
    assert await ledger.length("s") == 1201
    found = [record async for record in ledger.iterate("s")]
    assert [(record.id, record.data) for record in found] == [*records, ("new", b"x")]
    newest = await ledger.newest("s", count=2)
    assert [record.id for record in newest] == ["new", "id-1199"]
    older = await ledger.newest("s", before=newest[-1].entry_id, count=1)
    assert older[0].id == "id-1198"
    assert [one async for one in ledger.iterate("s", after=found[-1].entry_id)] == []


async def test_a_trimmed_ledger_forgets_ids_with_records(redis: Redis) -> None:
    """What was trimmed can be appended again; what was kept cannot."""
    ledger = Ledger(redis, NAMES)
    await ledger.append("s", [(f"{number}", b"") for number in range(10)])
    assert await ledger.trim("s", keep=4) == 6
    assert await ledger.append("s", [("0", b""), ("9", b"")]) == 1
    assert await redis.command("HLEN", NAMES.ledger_ids_key("s")) == 5


async def test_blocks_reach_those_who_listen_and_those_who_come_later(redis: Redis) -> None:
    """A listener begins with the last block; the stored height never falls."""
    blocks = BlockEvents(redis, NAMES)
    leader = Lease(redis, NAMES.global_leader_key, NAMES, owner="leader", ttl_seconds=60)
    assert await leader.acquire()
    assert await blocks.last() is None
    await blocks.publish(BlockEvent(7, b"\x07" * 32, 7_000_000_001), leader.fence)
    with trio.fail_after(10):
        async with blocks.listen() as events:
            assert (await anext(events)).height == 7
            assert await blocks.publish(BlockEvent(6, b"", 0), leader.fence) == 1
            assert (await anext(events)).height == 6
            await redis.command("PUBLISH", NAMES.block_event_channel, "junk")
            await blocks.publish(BlockEvent(8, b"", 1), leader.fence)
            assert (await anext(events)).height == 8
            await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            assert (await anext(events)).height == 8
    last = await blocks.last()
    assert last == BlockEvent(8, b"", 1)
    deposed = leader.fence
    await redis.command("DEL", leader.key)
    assert await Lease(redis, leader.key, NAMES, owner="next", ttl_seconds=60).acquire()
    with pytest.raises(FencedError):
        await blocks.publish(BlockEvent(9, b"", 2), deposed)
    assert await blocks.last() == last
