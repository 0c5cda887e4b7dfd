"""One supplier's consumer: the entries of its log, batch after batch, each until it is durable.

Nothing is acknowledged here. What a failed batch left pending, and what a dead consumer left
behind, is read before anything new, because the oldest relays are the first to miss their window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.miner.appetite import RECOVERIES
from relayminer.miner.entries import entry_order
from relayminer.state.errors import StateError
from relayminer.watchdog import Pulse

if TYPE_CHECKING:
    from relayminer.miner.accumulate import Accumulator
    from relayminer.miner.appetite import Appetite
    from relayminer.miner.store import SupplierStore
    from relayminer.state.log_reader import LogEntry
    from relayminer.telemetry.metrics import Counter

WAITING_BATCHES: Final = 1
"""Batches that wait for one supplier's consumer; its stream is not read while they do."""
RETRY_SECONDS: Final = (0.1, 0.3, 1.0, 3.0)
"""Pauses after failures in a row; the last one repeats."""

_log = structlog.get_logger("relayminer.miner.ingest")


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
        appetite: Appetite,
        take_over_seconds: float,
        taken_over: Counter,
    ) -> None:
        self.supplier = supplier
        self._store = store
        self._accumulator = accumulator
        self._appetite = appetite
        self._take_over_seconds = take_over_seconds
        self._taken_over = taken_over
        self._batches, self._incoming = trio.open_memory_channel[Sequence["LogEntry"] | Drain](
            WAITING_BATCHES + 1
        )
        self._done_through = (0, 0)
        self._failures = 0
        self._recover_at = -math.inf
        self._pulse = Pulse()

    @property
    def has_room(self) -> bool:
        """Whether another batch may be offered."""
        return self._batches.statistics().current_buffer_used < WAITING_BATCHES

    def offer(self, entries: Sequence[LogEntry]) -> None:
        """Hand over entries that were just read.

        Drains may have taken the room that there was when the read began. What finds none is
        pending in our name by now and is processed as such.
        """
        try:
            self._batches.send_nowait(entries)
        except trio.WouldBlock:
            self._recover_at = -math.inf

    async def drain(self, timeout_seconds: float) -> bool:
        """Process everything that is in the log now; False when that did not work in time."""
        wish = Drain()
        with trio.move_on_after(timeout_seconds):
            await self._batches.send(wish)
            await wish.done.wait()
        return wish.complete

    def is_waited_for(self) -> bool:
        """Whether there is something to do."""
        waiting = self._batches.statistics().current_buffer_used > 0
        return waiting or trio.current_time() > self._recover_at

    async def run(self, pulse: Pulse) -> None:
        """Consume until cancelled. Raises LeaseLostError when the supplier is not ours any more."""
        self._pulse = pulse
        await self._store.ensure_log()
        await self._recover(idle_seconds=0.0)
        await self._catch_up()
        while True:
            item: Sequence[LogEntry] | Drain | None = None
            pulse.idle()
            with trio.move_on_at(self._recover_at):
                item = await self._incoming.receive()
            pulse.got_on()
            if isinstance(item, Drain):
                await self._drain(item)
            elif item is not None and not await self._process(item):
                self._recover_at = min(self._recover_at, trio.current_time() + RETRY_SECONDS[0])
            if trio.current_time() >= self._recover_at:
                await self._recover(idle_seconds=self._take_over_seconds)

    async def _drain(self, wish: Drain) -> None:
        """Process every entry that is in the log at this moment.

        New entries first and our own pending ones after that: the process's blocking reader may
        have taken an entry that has not reached us, and such an entry is pending by the time that
        nothing is new.
        """
        try:
            taken = await self._others_pending(idle_seconds=0.0)
            read = await self._new()
            wish.complete = await self._own_pending() and taken and read
        except StateError as error:
            _log.warning("the log cannot be drained", supplier=self.supplier, error=str(error))
        finally:
            if not wish.complete:
                self._recover_at = min(self._recover_at, trio.current_time() + RETRY_SECONDS[0])
            wish.done.set()

    async def _recover(self, idle_seconds: float) -> None:
        """Process our own pending entries and those of dead consumers, and say when to come back.

        What fails does not keep back what follows it: each session is on its own.
        """
        try:
            own = await self._own_pending()
            complete = await self._others_pending(idle_seconds) and own
        except StateError as error:
            _log.warning("pending entries cannot be read", supplier=self.supplier, error=str(error))
            complete = False
        if complete:
            self._failures = 0
            pause = self._take_over_seconds
        else:
            pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
            self._failures += 1
        self._recover_at = trio.current_time() + pause

    async def _new(self) -> bool:
        """Process entries that nobody was given; whether all went well."""
        complete, more = True, True
        while more:
            async with self._appetite.recoveries:
                count = self._count
                entries = await self._store.read_new(count)
                complete = await self._process(entries, again=True) and complete
            # Less than was asked for is all there was; under load the next read is never empty.
            more = len(entries) >= count
        return complete

    async def _catch_up(self) -> None:
        """Process a batch of what is new; the blocking reader looks here a little later."""
        complete = False
        try:
            async with self._appetite.recoveries:
                entries = await self._store.read_new(self._count)
                complete = await self._process(entries, again=True)
        except StateError as error:
            _log.warning("the log cannot be read", supplier=self.supplier, error=str(error))
        if not complete:
            self._recover_at = min(self._recover_at, trio.current_time() + RETRY_SECONDS[0])

    async def _own_pending(self) -> bool:
        """Process entries that were delivered to us and not acknowledged."""
        complete, more, after = True, True, b"0"
        while more:
            async with self._appetite.recoveries:
                count = self._count
                entries = await self._store.own_pending(after, count)
                complete = await self._process(entries, again=True) and complete
            more = len(entries) >= count
            after = entries[-1].id if entries else after
        return complete

    async def _others_pending(self, idle_seconds: float) -> bool:
        """Take over what other consumers left; we own the supplier, so they are dead or gone."""
        complete, more = True, True
        while more:
            async with self._appetite.recoveries:
                entries = await self._store.take_over(idle_seconds=idle_seconds, count=self._count)
                self._taken_over.value += len(entries)
                complete = await self._process(entries, again=True) and complete
            more = bool(entries)
        return complete

    @property
    def _count(self) -> int:
        """Entries of one read of our own."""
        return self._appetite.entries(RECOVERIES)

    async def _process(self, entries: Sequence[LogEntry], *, again: bool = False) -> bool:
        """Accumulate a batch; whether no write failed, so that repeating it would change nothing.

        A batch that was waiting here while its entries were read as pending has been processed:
        what it holds up to the last entry processed then is left out.
        """
        if not again:
            entries = [entry for entry in entries if entry_order(entry.id) > self._done_through]
        if not entries:
            return True
        self._appetite.learn(entries)
        added = await self._accumulator.add(entries)
        self._pulse.got_on()
        if added.failed:
            return False
        self._done_through = max(self._done_through, entry_order(entries[-1].id))
        return True
