"""Relays that wait on disk while the store is away (DESIGN 11.1).

All relays that arrive while one sync is under way are written and synced together by the next one,
in a worker thread; each is answered when its own sync is done. What is spooled is bounded, and
survives this process: its successor in the same home replays it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio
from attrs import define, field

from relayminer.errors import RelayMinerError
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.spool_file import SegmentWriter, parse_segment
from relayminer.relayer.spool_home import SpoolDirectory, dead_directories, own_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relayminer.relayer.spool_file import SpoolRecord
    from relayminer.relayer.spool_metrics import SpoolMetrics

SEGMENT_BYTES: Final = 8_388_608
ADOPT_SECONDS: Final = 1.0
"""How often to look for what other processes of the home left behind when they died."""

T = TypeVar("T")
_NS = 1_000_000_000


class SpoolError(RelayMinerError):
    """A relay could not be spooled."""


class SpoolFullError(SpoolError):
    """The spool has no room."""


class SpoolWriteError(SpoolError):
    """The disk refused a write or a sync."""


@define(eq=False)
class Segment:
    """A file of the spool and what is in it."""

    path: Path
    directory: SpoolDirectory
    relays: int = 0
    size_bytes: int = 0
    first_at_ns: int = 0
    claim_opens: Counter[int] = field(factory=Counter)
    """Of what was taken over from the dead: relays by the height at which their session may have
    been sealed."""


class _Batch:
    """What one write and one sync will cover."""

    __slots__ = ("error", "first_at_ns", "parts", "synced")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.first_at_ns = 0
        self.error: OSError | None = None
        self.synced = trio.Event()


class Spool:
    """The spool of this process.

    Args:
        home: data directory.
        max_bytes: on disk, what was taken over from dead processes included.
        metrics: gauges and counters.
        segment_bytes: a larger file is closed and the next one begun.
        now_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        home: Path,
        *,
        max_bytes: int,
        metrics: SpoolMetrics,
        segment_bytes: int = SEGMENT_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._home = home.expanduser().absolute()
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._metrics = metrics
        self._now_ns = now_ns
        self._own: SpoolDirectory | None = None
        self._writer: SegmentWriter | None = None
        self._active: Segment | None = None
        self._sealed: deque[Segment] = deque()
        self._unreadable: set[Path] = set()
        self._batch = _Batch()
        self._work = trio.Event()
        # The file belongs to whoever has this: the sync under way, or the one who seals.
        self._file_lock = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._queued_bytes = 0
        self._last_bytes = 0
        self._log = structlog.get_logger("relayminer.relayer")
        self.filled = trio.Event()
        """Set while there is something to replay."""
        metrics.depth.read = lambda: self.relays
        metrics.size.read = lambda: self.size_bytes
        metrics.age.read = lambda: self.oldest_age_seconds

    @property
    def relays(self) -> int:
        """Relays on disk."""
        return sum(segment.relays for segment in self._segments())

    @property
    def size_bytes(self) -> int:
        """Bytes on disk or on their way there."""
        return self._queued_bytes + sum(segment.size_bytes for segment in self._segments())

    @property
    def oldest_age_seconds(self) -> float:
        """How long the oldest relay has waited; 0 without any."""
        first = min((one.first_at_ns for one in self._segments()), default=0)
        return max(0.0, (self._now_ns() - first) / _NS) if first else 0.0

    @property
    def is_full(self) -> bool:
        """Whether another relay like the last one would be refused."""
        return self.size_bytes + self._last_bytes > self._max_bytes

    def _segments(self) -> list[Segment]:
        active = self._active
        if active is not None and active.relays:
            return [*self._sealed, active]
        return list(self._sealed)

    async def append(self, record: SpoolRecord) -> None:
        """Returns when the record is on the disk.

        Raises:
            SpoolFullError: there is no room.
            SpoolWriteError: the disk did not take it.
        """
        data = record.encode()
        self._last_bytes = len(data)
        if self.size_bytes + len(data) > self._max_bytes:
            self._metrics.full.value += 1
            raise SpoolFullError(f"the spool has its {self._max_bytes} bytes")
        batch = self._batch
        if not batch.parts:
            batch.first_at_ns = record.spooled_at_ns
            self._work.set()
        batch.parts.append(data)
        self._queued_bytes += len(data)
        await batch.synced.wait()
        if batch.error is not None:
            self._metrics.failed.value += 1
            raise SpoolWriteError(f"the spool cannot be written: {batch.error}") from batch.error

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Writes what is appended, and takes over what dead processes left, until cancelled.

        Raises:
            RelayerConfigurationError: the directory cannot be used.
        """
        try:
            await self._open()
            await self.adopt()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._adopt_now_and_then)
                task_status.started()
                await self._write_batches()
        finally:
            with trio.CancelScope(shield=True):
                await self._close()

    async def _open(self) -> None:
        try:
            self._own = await self._in_thread(lambda: own_directory(self._home))
        except OSError as error:
            raise RelayerConfigurationError(
                f"cannot spool in {self._home}: {error}; choose another data directory with "
                "--home, or set relayer.when_store_away: refuse"
            ) from error

    async def _write_batches(self) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            batch, self._batch = self._batch, _Batch()
            async with self._file_lock:
                await self._write(batch)

    async def _write(self, batch: _Batch) -> None:
        data = b"".join(batch.parts)
        try:
            with trio.CancelScope(shield=True):
                segment, writer = await self._open_segment()
                await self._in_thread(lambda: writer.write(data))
            segment.relays += len(batch.parts)
            segment.size_bytes += len(data)
            segment.first_at_ns = segment.first_at_ns or batch.first_at_ns
            self._metrics.written.value += len(batch.parts)
            self.filled.set()
        except OSError as error:
            self._log.error("spool_write_failed", reason=str(error), relays=len(batch.parts))
            batch.error = error
            # After a failed sync nobody knows what the system kept of the file's last pages.
            self._seal_active()
        finally:
            self._queued_bytes -= len(data)
            batch.synced.set()

    async def _open_segment(self) -> tuple[Segment, SegmentWriter]:
        if self._active is not None and self._active.size_bytes >= self._segment_bytes:
            self._seal_active()
        if self._active is None or self._writer is None:
            directory = self._own
            if directory is None:
                raise OSError("the spool is not open")
            path = directory.new_segment()
            self._writer = await self._in_thread(lambda: SegmentWriter(path))
            self._active = Segment(path, directory)
        return self._active, self._writer

    def _seal_active(self) -> None:
        if self._active is None or self._writer is None:
            return
        self._writer.close()
        self._sealed.append(self._active)
        self._active = self._writer = None

    async def oldest(self) -> Segment | None:
        """The segment to replay next; nothing is written to it any more. None when all is done."""
        if not self._sealed:
            async with self._file_lock:
                if not self._sealed:
                    self._seal_active()
        if not self._sealed:
            self.filled = trio.Event()
            return None
        return min(self._sealed, key=lambda segment: segment.first_at_ns)

    async def read(self, segment: Segment) -> list[SpoolRecord]:
        """The segment's relays, in the order in which they were spooled.

        Raises:
            OSError: it cannot be read.
        """
        contents = await self._in_thread(lambda: parse_segment(segment.path.read_bytes()))
        if contents.damaged_bytes:
            self._metrics.damaged_bytes.value += contents.damaged_bytes
            self._log.error(
                "spool_damaged", path=str(segment.path), lost_bytes=contents.damaged_bytes
            )
            name = f".damaged-{segment.directory.path.name}-{segment.path.name}"
            kept = self._home / "spool" / name
            await self._in_thread(lambda: kept.write_bytes(segment.path.read_bytes()))
        return list(contents.records)

    async def done(self, segment: Segment) -> None:
        """All relays of the segment are in the log: remove it."""
        await self._in_thread(lambda: segment.path.unlink(missing_ok=True))
        if segment in self._sealed:
            self._sealed.remove(segment)
        directory = segment.directory
        if directory is not self._own and not any(
            one.directory is directory for one in self._sealed
        ):
            await self._in_thread(lambda: _close_quietly(directory))

    async def _adopt_now_and_then(self) -> None:
        while True:
            await trio.sleep(ADOPT_SECONDS)
            await self.adopt()

    async def adopt(self) -> list[Segment]:
        """Take over what dead processes of the home left, and say what that is."""
        try:
            found = await self._in_thread(self._survey)
        except OSError as error:
            self._log.warning("spool_not_adopted", reason=str(error))
            return []
        for segment in found:
            self._sealed.append(segment)
            self.filled.set()
        if found:
            self._log.info(
                "spool_adopted", segments=len(found), relays=sum(one.relays for one in found)
            )
        return found

    async def give_up(self) -> None:
        """Leave what was taken over to others, as it is; for a spool that does not `run`."""
        with trio.CancelScope(shield=True):
            await self._close()

    def _survey(self) -> list[Segment]:
        found: list[Segment] = []
        for directory in dead_directories(self._home):
            before = len(found)
            for path in directory.segments():
                try:
                    data = path.read_bytes()
                except OSError as error:
                    # It stays; that is no reason to leave the others, whose locks we have now.
                    if path not in self._unreadable:
                        self._unreadable.add(path)
                        self._log.error("spool_not_readable", path=str(path), reason=str(error))
                    continue
                records = parse_segment(data).records
                first_at_ns = records[0].spooled_at_ns if records else self._now_ns()
                opens = Counter(one.claim_open_height for one in records)
                found.append(Segment(path, directory, len(records), len(data), first_at_ns, opens))
            if len(found) == before:
                # Nothing of it is in hand: whoever can read it one day finds it unlocked.
                _close_quietly(directory)
        return found

    async def _close(self) -> None:
        self._seal_active()
        batch, self._batch = self._batch, _Batch()
        if batch.parts:
            batch.error = OSError("the relayer is stopping")
            batch.synced.set()
        if self._sealed:
            self._log.warning(
                "spool_left", relays=self.relays, home=str(self._home), next="replayed at the start"
            )
        directories = {one.directory: None for one in self._sealed}
        if self._own is not None:
            directories[self._own] = None
        for directory in directories:
            await self._in_thread(lambda: _close_quietly(directory))  # noqa: B023 - awaited at once

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _close_quietly(directory: SpoolDirectory) -> None:
    try:
        directory.close()
    except OSError as error:
        structlog.get_logger("relayminer.relayer").warning(
            "spool_not_removed", path=str(directory.path), reason=str(error)
        )
