"""The relay logs of all suppliers of a process, over connections that may block."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from relayminer.state.connection import DedicatedConnection
    from relayminer.state.gateway import Redis
    from relayminer.state.log_reader import LogEntry, LogReader

NOT_WAITING_SECONDS: Final = 0.001
"""The shortest time that a read may block: there is no way to say "not at all"."""


class RelayLogs:
    """Reads new entries: of many suppliers at once as they come, of one right now.

    The two have connections of their own, so that a drain before a claim does not wait for the
    blocking read, and neither holds up the commands of everybody else.
    """

    def __init__(
        self, reader: LogReader, feed: DedicatedConnection, drain: DedicatedConnection
    ) -> None:
        self.reader = reader
        self._feed = feed
        self._drain = drain
        self._drain_lock = trio.Lock()

    async def read_new(
        self, suppliers: Sequence[str], *, count: int, block_seconds: float
    ) -> Mapping[str, Sequence[LogEntry]]:
        """Up to `count` new entries of each supplier, waiting for the first one. For one task."""
        return await self.reader.read_new(
            self._feed, suppliers, count=count, block_seconds=block_seconds
        )

    async def read_now(self, supplier: str, *, count: int) -> Sequence[LogEntry]:
        """Up to `count` new entries of one supplier, without waiting for any."""
        async with self._drain_lock:
            found = await self.reader.read_new(
                self._drain, [supplier], count=count, block_seconds=NOT_WAITING_SECONDS
            )
        return found.get(supplier, [])


@asynccontextmanager
async def open_logs(redis: Redis, reader: LogReader) -> AsyncIterator[RelayLogs]:
    """The logs, with connections that are closed at the end."""
    async with redis.dedicated() as feed, redis.dedicated() as drain:
        yield RelayLogs(reader, feed, drain)
