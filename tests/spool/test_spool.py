"""The spool: synced before answered, bounded, taken over from the dead."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.spool import Spool, SpoolFullError, SpoolWriteError
from relayminer.relayer.spool_file import SegmentWriter, SpoolRecord, parse_segment
from relayminer.relayer.spool_home import dead_directories, own_directory
from relayminer.relayer.spool_metrics import SpoolMetrics
from relayminer.telemetry.metrics import Metrics
from tests.cli.command import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BIG = 1_000_000


def record(number: int, size: int = 100) -> SpoolRecord:
    """A record that is told from others by its number."""
    return SpoolRecord(b"%08d" % number + b"x" * size, 1_000 + number, 40, 7)


@asynccontextmanager
async def running(home: Path, **changes: Any) -> AsyncIterator[Spool]:
    """A spool that runs while the block does."""
    options: dict[str, Any] = {"max_bytes": BIG, "metrics": SpoolMetrics(Metrics())} | changes
    async with trio.open_nursery() as nursery:
        spool = Spool(home, **options)
        await nursery.start(spool.run)
        yield spool
        nursery.cancel_scope.cancel()


async def drained(spool: Spool) -> list[bytes]:
    """Everything in the spool, which is empty then."""
    entries = []
    while (segment := await spool.oldest()) is not None:
        entries += [one.entry for one in await spool.read(segment)]
        await spool.done(segment)
    return entries


async def test_what_was_appended_is_on_the_disk(tmp_path: Path) -> None:
    """When `append` returns, the record can be read from the file, whoever reads it."""
    async with running(tmp_path) as spool:
        await spool.append(record(1))
        (path,) = (tmp_path / "spool").glob("*/*.seg")
        assert parse_segment(path.read_bytes()).records == [record(1)]
        assert spool.relays == 1
        assert spool.oldest_age_seconds > 0


async def test_relays_that_come_together_are_synced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred relays at once cost a sync or two, not a hundred."""
    writes = []
    write = SegmentWriter.write

    def counted(self: SegmentWriter, data: bytes) -> None:
        writes.append(len(data))
        write(self, data)

    monkeypatch.setattr(SegmentWriter, "write", counted)
    async with running(tmp_path) as spool:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(spool.append, record(number))
        assert spool.relays == 100
        assert len(writes) <= 3


async def test_a_full_spool_refuses_and_takes_again_when_emptied(tmp_path: Path) -> None:
    """The bound is in bytes and holds for what waits too; replay makes room."""
    size = len(record(1).encode())
    async with running(tmp_path, max_bytes=3 * size) as spool:
        refused = []

        async def append(number: int) -> None:
            try:
                await spool.append(record(number))
            except SpoolFullError:
                refused.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(append, number)
        assert len(refused) == 7
        assert spool.is_full
        assert len(await drained(spool)) == 3
        await spool.append(record(11))
        assert spool.relays == 1


async def test_order_is_kept_over_many_segments(tmp_path: Path) -> None:
    """Small segments, many of them: read back in the order of writing, files removed."""
    async with running(tmp_path, segment_bytes=500) as spool:
        for number in range(50):
            await spool.append(record(number))
        assert len(list((tmp_path / "spool").glob("*/*.seg"))) > 5
        assert await drained(spool) == [record(number).entry for number in range(50)]
        assert spool.relays == spool.size_bytes == 0
        assert list((tmp_path / "spool").glob("*/*.seg")) == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_disk_that_fails_refuses_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write or sync error is no answer; the next relay goes into a file of its own."""
    write = SegmentWriter.write

    def failing(_self: SegmentWriter, _data: bytes) -> None:
        raise OSError(28, "no space left on device")

    async with running(tmp_path) as spool:
        await spool.append(record(1))
        monkeypatch.setattr(SegmentWriter, "write", failing)
        with pytest.raises(SpoolWriteError, match="no space left"):
            await spool.append(record(2))
        monkeypatch.setattr(SegmentWriter, "write", write)
        await spool.append(record(3))
        assert await drained(spool) == [record(1).entry, record(3).entry]


async def test_what_is_left_at_the_end_is_taken_over_by_the_next(tmp_path: Path) -> None:
    """An orderly end with relays in the spool: the next process of the home has them."""
    async with running(tmp_path) as spool:
        for number in range(5):
            await spool.append(record(number))
    async with running(tmp_path) as spool:
        assert spool.relays == 5
        await spool.append(record(5))
        assert await drained(spool) == [record(number).entry for number in range(6)]
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_living_process_keeps_its_spool(tmp_path: Path) -> None:
    """Nobody takes the directory of a process that lives, however many look."""
    async with running(tmp_path) as first:
        await first.append(record(1))
        async with running(tmp_path) as second:
            assert second.relays == 0
            assert list(dead_directories(tmp_path)) == []


CRASH = """
import sys, trio, os
from pathlib import Path
from relayminer.relayer.spool import Spool
from relayminer.relayer.spool_file import SpoolRecord
from relayminer.relayer.spool_metrics import SpoolMetrics
from relayminer.telemetry.metrics import Metrics

async def main():
    async with trio.open_nursery() as nursery:
        spool = Spool(Path(sys.argv[1]), max_bytes=10**9, metrics=SpoolMetrics(Metrics()))
        await nursery.start(spool.run)
        async def write(first):
            number = first
            while True:
                await spool.append(SpoolRecord(b"%08d" % number + b"x" * 500, 1, 40, 7))
                os.write(1, b"%08d\\n" % number)
                number += 20
        for first in range(20):
            nursery.start_soon(write, first)

trio.run(main)
"""


def test_kill_9_loses_nothing_that_was_confirmed(tmp_path: Path, soak: bool) -> None:
    """A process that spools as fast as it can is killed: all it said it had is taken over."""
    for attempt in range(20 if soak else 2):
        home = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", CRASH, str(home)], stdout=subprocess.PIPE, env=ENVIRONMENT
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(200)]
        process.kill()
        said += [line for line in process.stdout if line.endswith(b"\n")]
        process.wait()
        process.stdout.close()

        async def adopt(home: Path = home) -> list[bytes]:
            async with running(home) as spool:
                return await drained(spool)

        found = {entry[:8] for entry in trio.run(adopt)}
        assert {line.strip() for line in said} <= found


async def test_damage_is_told_and_kept(tmp_path: Path) -> None:
    """A record that cannot be read any more is counted, and the file is kept for a look."""
    async with running(tmp_path) as spool:
        for number in range(3):
            await spool.append(record(number))
        (path,) = (tmp_path / "spool").glob("*/*.seg")
        data = bytearray(path.read_bytes())
        data[len(record(0).encode()) + 40] ^= 1
        path.write_bytes(data)
        assert await drained(spool) == [record(0).entry, record(2).entry]
        assert len(list((tmp_path / "spool").glob(".damaged-*"))) == 1


async def test_a_home_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A file where the directory should be: the reason and what to do, not a traceback."""
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path, max_bytes=BIG, metrics=SpoolMetrics(Metrics()))
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(spool.run)
    assert caught.group_contains(RelayerConfigurationError, match="--home")


def test_a_directory_left_empty_is_removed(tmp_path: Path) -> None:
    """What a dead process left without a relay in it does not pile up."""
    directory = own_directory(tmp_path)
    directory._lock.close()
    assert list(dead_directories(tmp_path)) == []
    assert list((tmp_path / "spool").iterdir()) == []
