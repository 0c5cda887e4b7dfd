"""What dead processes of a home left in its spool: logged before anything is sealed, and told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from structlog.testing import capture_logs

from relayminer.cache.moment import ChainMoment
from relayminer.config.settings import Settings
from relayminer.relayer.spool_file import SegmentWriter, SpoolRecord
from relayminer.relayer.spool_home import own_directory
from relayminer.relayer.spool_left import LeftSpools
from relayminer.state.relay_log import RelayLog
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store
from relayminer.watchdog import Watchdog
from tests.miner.harness import rig, session_ids
from tests.spool.test_spool import drained, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.miner.harness import Rig

A, B = session_ids(2)


@asynccontextmanager
async def rig_on_a_store() -> AsyncIterator[Rig]:
    """A miner's rig."""
    async with fresh_store() as url, rig(url) as mine:
        yield mine


async def leave(home: Path, mine: Rig, session: str, numbers: range, claim_open: int) -> None:
    """Have a process die with relays in its spool."""
    async with running(home) as spool:
        for number in numbers:
            entry = mine.relay(session, number)
            await spool.append(SpoolRecord(entry, 1_000 + number, claim_open, 7))


@asynccontextmanager
async def saving(home: Path, mine: Rig, height: int) -> AsyncIterator[None]:
    """What a miner's process starts before it mines, started."""
    metrics = Metrics()
    moment = ChainMoment(1.0)
    moment.observe(height)
    service = LeftSpools(
        Settings().relayer,
        home,
        store=mine.redis,
        names=mine.names,
        moment=moment,
        metrics=metrics,
        loops=Watchdog(metrics),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_miner_that_starts_saves_what_its_relayer_left_before_it_seals(
    tmp_path: Path,
) -> None:
    """The claim window is open already: relays on disk are in the claim beside those in the log."""
    async with rig_on_a_store() as mine:
        await mine.log(A, 20)
        async with mine.mining():
            await mine.counted(A, 20)
        await leave(tmp_path, mine, A, range(20, 30), claim_open=12)
        mine.chain.advance(11)
        async with saving(tmp_path, mine, 12):
            assert await RelayLog(mine.redis, mine.names).length(mine.supplier) == 10
            async with mine.mining():
                await mine.step_to(21)
        assert mine.claimed_counts() == {A: 30}
        assert not list((tmp_path / "spool").iterdir())


async def test_it_is_told_how_much_there_is_and_until_when_it_can_be_saved(tmp_path: Path) -> None:
    """Relays by the height that seals their session, and those that may come too late."""
    async with rig_on_a_store() as mine:
        await leave(tmp_path, mine, A, range(3), claim_open=12)
        await leave(tmp_path, mine, B, range(5), claim_open=22)
        with capture_logs() as lines:
            async with saving(tmp_path, mine, 15):
                pass
        (told,) = [line for line in lines if line["event"] == "spool_left_by_the_dead"]
        assert (told["relays"], told["late"], told["log_level"]) == (8, 3, "warning")
        assert told["to_be_saved_before"] == {"22": 5}


async def test_what_a_relayer_leaves_later_is_saved_while_others_of_its_home_live(
    tmp_path: Path,
) -> None:
    """It dies after we have started: nobody has to start it again."""
    async with rig_on_a_store() as mine, saving(tmp_path, mine, 5):
        log = RelayLog(mine.redis, mine.names)
        await leave(tmp_path, mine, A, range(4), claim_open=12)
        with trio.fail_after(30):
            while await log.length(mine.supplier) < 4:  # noqa: ASYNC110 - the store has no event
                await trio.sleep(0.02)


async def test_a_store_that_is_away_delays_no_start(tmp_path: Path) -> None:
    """What cannot be logged stays on disk for the next one, in the same files."""
    async with rig_on_a_store() as mine:
        await leave(tmp_path, mine, A, range(4), claim_open=12)
        mine.redis.pressure = "the store is full"
        async with saving(tmp_path, mine, 5):
            pass
        async with running(tmp_path) as spool:
            assert spool.relays == 4


async def test_a_file_that_cannot_be_read_keeps_no_other_back(tmp_path: Path) -> None:
    """It is told and stays; what lies beside it, before and behind, is taken over."""
    directory = own_directory(tmp_path)
    for number in range(3):
        path = directory.new_segment()
        if number == 1:
            # Root reads every file, but not a directory.
            path.mkdir()
            continue
        writer = SegmentWriter(path)
        writer.write(SpoolRecord(b"%d" % number, 1_000, 40, 7).encode())
        writer.close()
    directory._lock.close()
    async with running(tmp_path) as spool:
        assert await drained(spool) == [b"0", b"2"]
