"""From the log into tries: once, whatever happens on the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio

from relayminer.miner import accumulate
from relayminer.miner.accumulate import AHEAD_BLOCKS_MAX
from relayminer.state.dead_letters import DeadLetters
from relayminer.state.errors import StoreAwayError
from relayminer.state.gateway import Redis
from relayminer.state.log_reader import LogReader
from relayminer.state.relay_log import RelayLog
from tests.miner.chain import COMPUTE_UNITS
from tests.miner.harness import WAIT_SECONDS, Rig, session_ids, until

if TYPE_CHECKING:
    import pytest

A, B = session_ids(2)


async def backlog(mine: Rig) -> int:
    """Entries in the supplier's log."""
    return await RelayLog(mine.redis, mine.names).length(mine.supplier)


async def log_is_empty(mine: Rig) -> None:
    """Wait until every entry was acknowledged."""
    with trio.fail_after(WAIT_SECONDS):
        while True:
            if not await backlog(mine):
                return
            await trio.sleep(0.01)


async def dead_letters(mine: Rig) -> list[dict[bytes, bytes]]:
    """What is in the dead-letter stream."""
    rows = await mine.redis.command("XRANGE", mine.names.dead_letter_key(mine.supplier), "-", "+")
    return [dict(zip(words[::2], words[1::2], strict=True)) for _, words in rows]


async def test_duplicates_count_once(mine: Rig) -> None:
    """The same relay in many entries, in one batch or in several, is one leaf."""
    for _ in range(3):
        await mine.log(A, 5)
    async with mine.mining():
        await mine.counted(A, 5)
        await mine.log(A, 5)
        await mine.log(A, 1, first=5)
        await mine.counted(A, 6)
        await log_is_empty(mine)
        record = await mine.record(A)
        assert record is not None
        assert (record.relay_count, record.total_compute_units) == (6, 6 * COMPUTE_UNITS)


async def test_poison_goes_to_the_dead_letters(mine: Rig) -> None:
    """Entries that cannot be used are kept apart with their reason; the rest is counted."""
    await mine.log(A, 2)
    log = RelayLog(mine.redis, mine.names)
    await log.append(mine.supplier, b"\xff\xff")
    await log.append(mine.supplier, mine.relay(A, 7, supplier_operator_address="pokt1other"))
    await log.append(mine.supplier, mine.relay(A, 8, session_end_height=12))
    await log.append(mine.supplier, mine.relay(A, 9, compute_units_per_relay=3))
    await mine.log(A, 1, first=2)
    async with mine.mining():
        await mine.counted(A, 3)
        await log_is_empty(mine)
        letters = await dead_letters(mine)
        reasons = sorted(letter[b"reason"].decode() for letter in letters)
        assert len(reasons) == 4
        assert reasons[0] == "not a mined relay message"
        assert "session heights differ" in reasons[1]
        assert "supplier" in reasons[2]
        assert "compute units" in reasons[3]
        assert all(letter[b"data"] for letter in letters)


async def test_late_relays_are_told(mine: Rig) -> None:
    """A relay logged after the seal is acknowledged and written down; a known one is no news."""
    await mine.log(A, 3)
    async with mine.mining():
        await mine.step_to(13)
        await mine.log(A, 1, first=0)
        await mine.log(A, 2, first=3)
        await log_is_empty(mine)
        late = [line for line in await mine.ledger() if line["step"] == "late"]
        assert sum(line["relays"] for line in late) == 2
        assert late[0]["compute_units"] == late[0]["relays"] * COMPUTE_UNITS
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 3}


async def test_entries_of_a_dead_consumer_are_taken_over(mine: Rig) -> None:
    """What another consumer was given and never acknowledged is counted by the next owner."""
    await mine.log(A, 6)
    dead = LogReader(mine.redis, mine.names, "a-miner-that-died")
    await dead.ensure_group([mine.supplier])
    async with mine.redis.dedicated() as connection:
        await dead.read_new(connection, [mine.supplier], count=4, block_seconds=0.01)
    async with mine.mining():
        await mine.counted(A, 6)
        await log_is_empty(mine)


async def test_a_failed_checkpoint_is_repeated(mine: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While checkpoints fail nothing is acknowledged; when they work again nothing is missing."""
    original = Redis.script
    failures = 0

    async def failing(self: Redis, script: Any, keys: Any, arguments: Any = (), **more: Any) -> Any:
        nonlocal failures
        if b":live_root" in str(keys).encode() and failures < 5:
            failures += 1
            if failures % 2:
                # It was executed, and nobody learned of it.
                await original(self, script, keys, arguments, **more)
            raise StoreAwayError("no answer", maybe_executed=True)
        return await original(self, script, keys, arguments, **more)

    monkeypatch.setattr(Redis, "script", failing)
    await mine.log(A, 10)
    async with mine.mining():
        await until(lambda: failures == 5)
        await mine.counted(A, 10)
        await log_is_empty(mine)
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 10}


async def test_resumed_tries_go_on_where_they_were(mine: Rig) -> None:
    """A miner that finds a trie of a thousand leaves loads of it what it needs, and adds to it."""
    await mine.log(A, 300)
    async with mine.mining():
        await mine.counted(A, 300)
    await mine.log(A, 40, first=300)
    async with mine.mining():
        await mine.counted(A, 340)
        await mine.step_to(22)
        assert mine.claimed_counts() == {A: 340}


async def test_sessions_of_another_time_are_refused(mine: Rig) -> None:
    """A session far ahead of the chain is not opened; when its time has come it is replayed."""
    log = RelayLog(mine.redis, mine.names)
    ahead = AHEAD_BLOCKS_MAX + 5
    entry = mine.relay(B, 0, session_start_height=ahead, session_end_height=ahead + 9)
    async with mine.mining():
        await log.append(mine.supplier, entry)
        await mine.log(A, 1)
        await mine.counted(A, 1)
        await log_is_empty(mine)
        assert await mine.record(B) is None
        letters = DeadLetters(mine.redis, mine.names)
        (letter,) = [one async for one in letters.read(mine.supplier)]
        assert "the chain is at" in letter.reason
        await mine.step_to(6)
        assert await letters.replay(mine.supplier, [letter.id]) == 1
        await mine.counted(B, 1)


async def test_sessions_of_a_supplier_are_bounded(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions entries speak of, only so many are opened; the rest is kept apart."""
    monkeypatch.setattr(accumulate, "SESSIONS_MAX", 3)
    log = RelayLog(mine.redis, mine.names)
    for session in session_ids(8):
        await log.append(mine.supplier, mine.relay(session, 0))
    async with mine.mining():
        await log_is_empty(mine)
        assert await DeadLetters(mine.redis, mine.names).count(mine.supplier) == 5
        records = [await mine.record(session) for session in session_ids(8)]
        assert sum(record is not None for record in records) == 3


async def test_a_record_of_the_old_form_goes_on(mine: Rig) -> None:
    """A session that an older Go miner left as one JSON text takes relays and is claimed."""
    await mine.log(A, 3)
    async with mine.mining():
        await mine.counted(A, 3)
        await log_is_empty(mine)
    key = mine.names.miner_session_key(mine.supplier, A)
    words = await mine.redis.command("HGETALL", key)
    fields = {
        name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=True)
    }
    numbers = {"session_start_height", "session_end_height", "relay_count", "total_compute_units"}
    record = {name: int(text) if name in numbers else text for name, text in fields.items()}
    await mine.redis.command("DEL", key)
    await mine.redis.command("SET", key, json.dumps(record))
    await mine.log(A, 2, first=3)
    async with mine.mining():
        await log_is_empty(mine)
        assert await mine.redis.command("TYPE", key) == b"hash"
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 5}


async def test_a_record_that_ran_out_is_made_again(mine: Rig) -> None:
    """A session whose record and index are gone under a running miner is claimed all the same."""
    await mine.log(A, 3)
    async with mine.mining():
        await mine.counted(A, 3)
        await log_is_empty(mine)
        await mine.redis.command("DEL", mine.names.miner_session_key(mine.supplier, A))
        await mine.log(A, 2, first=3)
        await log_is_empty(mine)
        await mine.step_to(12)
        await mine.redis.command("DEL", mine.names.miner_session_key(mine.supplier, A))
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 5}
    assert mine.chain.slashed == []
