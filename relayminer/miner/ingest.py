"""Reading the relay logs: one blocking reader per process, one sequential consumer per supplier.

Nothing is acknowledged here. What a failed batch left pending, and what a dead consumer left
behind, is read before anything new, because the oldest relays are the first to miss their window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.miner.accumulate import Accumulator
    from relayminer.miner.store import SupplierStore
    from relayminer.state.log_reader import LogEntry

WAITING_BATCHES: Final = 2
"""Batches that wait for one supplier's consumer; its stream is not read while they do."""
ENTRIES_PER_READ: Final = 20_000
"""Entries that one read of all streams may return: bounds memory, 1 to 2 kB each."""
BUSY_BLOCK_SECONDS: Final = 0.02
"""How long a read blocks while some supplier's consumer has no room: it will have soon."""
GATHER_SECONDS: Final = 0.05
"""Pause between reads that come back half empty: relays gathered for that long share a commit and
a checkpoint. Nothing waits for them, and in the log they are safe."""
RETRY_SECONDS: Final = (0.1, 0.3, 1.0, 3.0)
"""Pauses after failures in a row; the last one repeats."""

_log = structlog.get_logger("relayminer.miner.ingest")


class LogSource(Protocol):
    """Reads new entries of many streams at once."""

    async def read_new(
        self, suppliers: Sequence[str], *, count: int, block_seconds: float
    ) -> Mapping[str, Sequence[LogEntry]]:
        """Up to `count` new entries of each supplier, waiting for the first one."""
        ...


class Drain:
    """A wish to have everything processed that is in the log at this moment."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.complete = False


class Ingest:
    """The consumer of one supplier's log."""

    def __init__(
        self,
        supplier: str,
        store: SupplierStore,
        accumulator: Accumulator,
        *,
        batch_entries: int,
        take_over_seconds: float,
    ) -> None:
        self.supplier = supplier
        self._store = store
        self._accumulator = accumulator
        self._batch_entries = batch_entries
        self._take_over_seconds = take_over_seconds
        self._batches, self._incoming = trio.open_memory_channel[Sequence["LogEntry"] | Drain](
            WAITING_BATCHES + 1
        )
        self._done_through = (0, 0)
        self._behind = False

    @property
    def has_room(self) -> bool:
        """Whether another batch may be offered."""
        return self._batches.statistics().current_buffer_used < WAITING_BATCHES

    def offer(self, entries: Sequence[LogEntry]) -> None:
        """Hand over entries that were just read; only when there is room."""
        self._batches.send_nowait(entries)

    async def drain(self, timeout_seconds: float) -> bool:
        """Process everything that is in the log now; False when that did not work in time."""
        wish = Drain()
        with trio.move_on_after(timeout_seconds):
            await self._batches.send(wish)
            await wish.done.wait()
        return wish.complete

    async def run(self) -> None:
        """Consume until cancelled. Raises LeaseLostError when the supplier is not ours any more."""
        await self._store.ensure_log()
        await self._catch_up(idle_seconds=0.0)
        while True:
            item: Sequence[LogEntry] | Drain | None = None
            with trio.move_on_after(self._take_over_seconds):
                item = await self._incoming.receive()
            if isinstance(item, Drain):
                await self._drain(item)
            elif item is not None:
                self._behind = not await self._process(item) or self._behind
            if item is None or self._behind:
                self._behind = not await self._recover(idle_seconds=self._take_over_seconds)

    async def _drain(self, wish: Drain) -> None:
        try:
            wish.complete = await self._read_everything(idle_seconds=0.0)
        except StateError as error:
            _log.warning("the log cannot be drained", supplier=self.supplier, error=str(error))
        finally:
            wish.done.set()

    async def _catch_up(self, idle_seconds: float) -> None:
        """Recover what is pending, however often that takes."""
        failures = 0
        while not await self._recover(idle_seconds):
            await trio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1

    async def _recover(self, idle_seconds: float) -> bool:
        """Process our own pending entries and those of dead consumers; whether all went well."""
        try:
            return await self._own_pending() and await self._others_pending(idle_seconds)
        except StateError as error:
            _log.warning("pending entries cannot be read", supplier=self.supplier, error=str(error))
            return False

    async def _read_everything(self, idle_seconds: float) -> bool:
        """Process every entry that is in the log at this moment; whether that worked.

        New entries first and our own pending ones after that: the process's blocking reader may
        have taken an entry that has not reached us, and such an entry is pending by the time that
        nothing is new.
        """
        if not await self._others_pending(idle_seconds):
            return False
        while entries := await self._store.read_new(self._batch_entries):
            if not await self._process(entries, again=True):
                return False
        return await self._own_pending()

    async def _own_pending(self) -> bool:
        """Process entries delivered to us and not acknowledged."""
        after = b"0"
        while entries := await self._store.own_pending(after, self._batch_entries):
            if not await self._process(entries, again=True):
                return False
            after = entries[-1].id
        return True

    async def _others_pending(self, idle_seconds: float) -> bool:
        """Take over what other consumers left; we own the supplier, so they are dead or gone."""
        while entries := await self._store.take_over(
            idle_seconds=idle_seconds, count=self._batch_entries
        ):
            if not await self._process(entries, again=True):
                return False
        return True

    async def _process(self, entries: Sequence[LogEntry], *, again: bool = False) -> bool:
        """Accumulate a batch; whether every entry of it was dealt with.

        A batch that was waiting here while its entries were read as pending has been processed:
        what it holds up to the last entry processed then is left out.
        """
        if not again:
            entries = [entry for entry in entries if _order(entry.id) > self._done_through]
        if not entries:
            return True
        try:
            added = await self._accumulator.add(entries)
        except StateError as error:
            _log.warning("a batch is repeated", supplier=self.supplier, error=str(error))
            await trio.sleep(RETRY_SECONDS[0])
            return False
        if added.failed:
            await trio.sleep(RETRY_SECONDS[0])
            return False
        self._done_through = max(self._done_through, _order(entries[-1].id))
        return True


def _order(entry_id: bytes) -> tuple[int, int]:
    """A stream entry id as something that compares: milliseconds and sequence."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or 0)


class Feed:
    """Reads new entries for all suppliers of this process and hands them to their consumers."""

    def __init__(self, source: LogSource, *, batch_entries: int, block_seconds: float) -> None:
        self._source = source
        self._batch_entries = batch_entries
        self._block_seconds = block_seconds
        self._consumers: dict[str, Ingest] = {}
        self._changed = trio.Event()

    def add(self, consumer: Ingest) -> None:
        """Read this supplier's stream from now on."""
        self._consumers[consumer.supplier] = consumer
        self._changed.set()

    def remove(self, consumer: Ingest) -> None:
        """Stop reading this supplier's stream."""
        if self._consumers.get(consumer.supplier) is consumer:
            del self._consumers[consumer.supplier]

    async def run(self) -> None:
        """Read until cancelled."""
        failures = 0
        while True:
            if not self._consumers:
                self._changed = trio.Event()
                await self._changed.wait()
            try:
                await self._read_once()
                failures = 0
            except StateError as error:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                _log.warning("the relay logs cannot be read", error=str(error), pause=pause)
                await trio.sleep(pause)

    async def _read_once(self) -> None:
        ready = [name for name, consumer in self._consumers.items() if consumer.has_room]
        if not ready:
            await trio.sleep(BUSY_BLOCK_SECONDS)
            return
        everybody = len(ready) == len(self._consumers)
        count = max(1, min(self._batch_entries, ENTRIES_PER_READ // len(ready)))
        batches = await self._source.read_new(
            ready,
            count=count,
            block_seconds=self._block_seconds if everybody else BUSY_BLOCK_SECONDS,
        )
        full = False
        for supplier, entries in batches.items():
            full = full or len(entries) >= count
            consumer = self._consumers.get(supplier)
            # Of a supplier that has left in the meantime the entries stay pending for the next one.
            if consumer is not None and entries:
                consumer.offer(entries)
        if batches and not full:
            await trio.sleep(GATHER_SECONDS)
