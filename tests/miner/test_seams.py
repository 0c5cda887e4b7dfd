"""Where two parts meet: sealing and relays in flight, drains and the feed, old and new chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio
import trio.testing

from relayminer.miner.appetite import Appetite
from relayminer.miner.claim_rules import seal_wait_seconds
from relayminer.miner.ingest import WAITING_BATCHES, Ingest
from relayminer.state.log_reader import LogEntry
from relayminer.telemetry.metrics import Counter
from tests.miner.harness import WAIT_SECONDS, Rig, session_ids, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.miner.accumulate import Accumulator
    from relayminer.miner.store import SupplierStore

A, B = session_ids(2)
CLAIM_OPEN = 12


async def test_a_relay_in_flight_when_the_claim_window_opens_is_counted(mine: Rig) -> None:
    """What a relayer let through just before it heard of the block is in the sealed trie."""
    mine.block_time_seconds = 10.0
    await mine.log(A, 3)
    async with mine.mining():
        await mine.counted(A, 3)
        await mine.step_to(CLAIM_OPEN - 1)
        mine.chain.advance()
        with trio.fail_after(WAIT_SECONDS):
            while True:
                if await mine.state(A) == "claiming":
                    break
                await trio.sleep(0.01)
        await mine.log(A, 2, first=3)
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 5}
    assert "late" not in await mine.steps(A)


def test_sealing_waits_only_in_the_first_block_of_the_window() -> None:
    """Later, and where blocks are fast, nothing is in flight any more."""
    assert seal_wait_seconds(12, 12, 30.0) == 2.0
    assert seal_wait_seconds(12, 12, 1.0) == 0.1
    assert seal_wait_seconds(13, 12, 30.0) == 0.0


async def test_claims_do_not_wait_for_a_log_that_never_falls_silent(mine: Rig) -> None:
    """Relays of later sessions keep coming all the time; the claim is made in its first block."""
    await mine.log(A, 3)
    async with mine.mining(), trio.open_nursery() as nursery:
        await mine.counted(A, 3)

        async def keep_coming() -> None:
            number = 0
            while True:
                later = {"session_start_height": 11, "session_end_height": 20}
                await mine.log(B, 1, first=number, **later)
                number += 1

        for _ in range(3):
            nursery.start_soon(keep_coming)
        await mine.step_to(CLAIM_OPEN)
        assert [sent.height for sent in mine.chain.sent] == [CLAIM_OPEN]
        nursery.cancel_scope.cancel()


class QuietStore:
    """A log with nothing in it."""

    async def ensure_log(self) -> None:
        """It is there."""

    async def own_pending(self, after: bytes, count: int) -> Sequence[LogEntry]:
        """Nothing."""
        del after, count
        await trio.lowlevel.checkpoint()
        return []

    async def take_over(self, *, idle_seconds: float, count: int) -> Sequence[LogEntry]:
        """Nothing."""
        del idle_seconds
        return await self.own_pending(b"0", count)


async def test_entries_that_find_no_room_stay_pending(mine: Rig) -> None:
    """Drains may fill a consumer's queue while a read is underway; the feed outlives that."""
    ingest = Ingest(
        mine.supplier,
        cast("SupplierStore", QuietStore()),
        cast("Accumulator", None),
        appetite=Appetite(bytes_max=1 << 20, entries_max=10),
        take_over_seconds=1,
        taken_over=Counter(),
    )
    assert ingest.has_room
    async with trio.open_nursery() as nursery:
        for _ in range(WAITING_BATCHES + 2):
            nursery.start_soon(ingest.drain, 5.0)
        await trio.testing.wait_all_tasks_blocked()
        ingest.offer([LogEntry(b"1-0", b"")])
        nursery.cancel_scope.cancel()


async def test_a_settled_height_that_makes_no_sense_is_not_believed(mine: Rig) -> None:
    """Garbage, and heights of a chain that was set back, neither stop a supplier nor blind it."""
    key = f"{mine.names.base}:relayminer:settled_heights"
    for text in ("garbage", "123456", "-7"):
        await mine.redis.command("HSET", key, mine.supplier, text)
        async with mine.mining():
            await until(lambda: mine.driven() == mine.chain.height)
            # After the first of them it is followed for sure, so the second one is recorded.
            await mine.step(2)
            assert int(await mine.redis.command("HGET", key, mine.supplier)) == mine.chain.height


async def test_a_node_that_lags_does_not_decide_that_a_claim_is_lost(mine: Rig) -> None:
    """Where queries come from a state before the end of the window, the verdict waits."""
    await mine.log(A, 3)
    async with mine.mining():
        await mine.counted(A, 3)
        await mine.step_to(CLAIM_OPEN)
        mine.chain.lags = 3
        await mine.step_to(mine.chain.windows(10).claim_close_height + 1)
        assert await mine.state(A) == "claiming"
        mine.chain.lags = 0
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 3}
    assert mine.chain.slashed == []


async def test_events_that_cannot_be_read_do_not_stop_the_miner(mine: Rig) -> None:
    """What a node should not have sent is left out; the events beside it are recorded."""
    await mine.log(A, 2)
    async with mine.mining():
        await mine.counted(A, 2)
        nonsense: list[Any] = ["text", None, 7, {"type": []}, {"type": "x", "attributes": [1]}]
        deep = "[" * 200_000
        for height in range(2, 24):
            mine.chain.block_events[height] = [*nonsense, {"attributes": None}]
            kind = "pocket.tokenomics.EventClaimSettled"
            pair = {"key": "reward_distribution", "value": deep}
            mine.chain.block_events[height].append({"type": kind, "attributes": [pair]})
        await mine.step_to(22)
    assert (await mine.steps(A)).count("settled") == 1


async def test_a_batch_that_fails_in_its_block_is_sent_apart(mine: Rig) -> None:
    """A message that only the block refuses takes its company down once, not for ever."""
    for session in (A, B):
        await mine.log(session, 2)
    mine.chain.refuse_in_block = lambda message: message.session_header.session_id == B
    async with mine.mining():
        for session in (A, B):
            await mine.counted(session, 2)
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 2}
    assert await mine.state(B) == "claim_window_closed"


async def test_an_intent_without_a_broadcast_is_not_waited_for_past_the_window(mine: Rig) -> None:
    """Who died before sending leaves an intent; in the last block of the window it is sent."""
    close_height = mine.chain.windows(10).claim_close_height
    await mine.log(A, 2)
    async with mine.mortal() as redis:
        await mine.counted(A, 2)
        mine.chain.away = True
        mine.chain.advance(close_height - 2 - mine.chain.height)

        def die() -> bool:
            redis.die()
            return True

        mine.chain.before_submit = die
        mine.chain.away = False
        mine.chain.advance(0)
        await redis.crashed.wait()
    assert mine.chain.sent == []
    mine.chain.before_submit = lambda: None
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 2}


async def test_an_unreadable_session_record_is_replaced(mine: Rig) -> None:
    """Garbage in a session's record costs neither its relays nor the claims of other sessions."""
    await mine.log(A, 3)
    await mine.log(B, 2)
    async with mine.mining():
        await mine.counted(A, 3)
        await mine.counted(B, 2)
    key = mine.names.miner_session_key(mine.supplier, A)
    await mine.redis.command("HSET", key, "session_end_height", "garbage", "relay_count", "\xff")
    await mine.log(A, 1, first=3)
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 4, B: 2}
    assert [sent.height for sent in mine.chain.sent][:1] == [CLAIM_OPEN]


async def test_garbage_beside_a_suppliers_sessions_does_not_stop_it(mine: Rig) -> None:
    """Names that are no text and broken messages cost what they name; a record is made again."""
    await mine.log(A, 3)
    await mine.log(B, 1)
    async with mine.mining():
        await mine.counted(A, 3)
        await mine.counted(B, 1)
    names, redis = mine.names, mine.redis
    await redis.command("SADD", names.miner_sessions_index_key(mine.supplier), b"\xff\xfe", "gone")
    await redis.command("HSET", names.miner_session_key(mine.supplier, B), "state", "dreaming")
    for phase in ("claim", "proof"):
        key = names.rebroadcast_key(phase, mine.supplier, 10)
        await redis.command("HSET", key, b"\xff", "{}", A, "[" * 100_000)
    async with mine.mining():
        await mine.step_to(22)
    assert mine.claimed_counts() == {A: 3, B: 1}
