"""Reading new entries of all relay logs of a process with one blocking read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio

from relayminer.miner.ingest import RETRY_SECONDS
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.miner.appetite import Appetite
    from relayminer.miner.ingest import Ingest
    from relayminer.state.log_reader import LogEntry
    from relayminer.telemetry.metrics import CounterFamily
    from relayminer.watchdog import Pulse

BUSY_BLOCK_SECONDS: Final = 0.02
"""How long a read blocks while some supplier's consumer has no room: it will have soon."""
GATHER_SECONDS: Final = 0.05
"""Pause between reads that come back half empty: relays gathered for that long share a commit and
a checkpoint. Nothing waits for them, and in the log they are safe."""

READ_ERROR: Final = "read_error"

_log = structlog.get_logger("relayminer.miner.feed")


class LogSource(Protocol):
    """Reads new entries of many streams at once."""

    async def read_new(
        self, suppliers: Sequence[str], *, count: int, block_seconds: float
    ) -> Mapping[str, Sequence[LogEntry]]:
        """Up to `count` new entries of each supplier, waiting for the first one."""
        ...


class Feed:
    """Reads new entries for all suppliers of this process and hands them to their consumers."""

    def __init__(
        self,
        source: LogSource,
        *,
        appetite: Appetite,
        block_seconds: float,
        errors: CounterFamily,
    ) -> None:
        self._source = source
        self._appetite = appetite
        self._block_seconds = block_seconds
        self._errors = errors
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

    async def run(self, pulse: Pulse) -> None:
        """Read until cancelled."""
        failures = 0
        while True:
            if not self._consumers:
                self._changed = trio.Event()
                pulse.idle()
                await self._changed.wait()
            pulse.got_on()
            try:
                await self._read_once()
                failures = 0
            except StateError as error:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                for supplier in self._consumers:
                    self._errors.bind(supplier, READ_ERROR).value += 1
                _log.warning("the relay logs cannot be read", error=str(error), pause=pause)
                await trio.sleep(pause)

    async def _read_once(self) -> None:
        ready = [name for name, consumer in self._consumers.items() if consumer.has_room]
        if not ready:
            await trio.sleep(BUSY_BLOCK_SECONDS)
            return
        everybody = len(ready) == len(self._consumers)
        count = self._appetite.entries(len(ready))
        batches = await self._source.read_new(
            ready,
            count=count,
            block_seconds=self._block_seconds if everybody else BUSY_BLOCK_SECONDS,
        )
        self._appetite.learn(entry for entries in batches.values() for entry in entries)
        full = False
        for supplier, entries in batches.items():
            full = full or len(entries) >= count
            consumer = self._consumers.get(supplier)
            # Of a supplier that has left in the meantime the entries stay pending for the next one.
            if consumer is not None and entries:
                consumer.offer(entries)
        if batches and not full:
            await trio.sleep(GATHER_SECONDS)
