"""How much of the relay logs is taken into memory at once.

A read is asked for in entries, and memory is taken in bytes: an entry has a kilobyte or ten
megabytes, as the requests are. So reads begin small and follow what came of the last ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.config.settings import MinerSettings
    from relayminer.state.log_reader import LogEntry

FIRST_ENTRY_BYTES: Final = 16_384
"""What an entry is taken for before one was seen."""
FORGET: Final = 0.9
"""How much of the largest average is still believed after another read."""
RECOVERIES: Final = 8
"""Suppliers of a process that read what was left over at the same time."""


class Appetite:
    """Bounds what all suppliers of a process read.

    Attributes:
        recoveries: held by a supplier while it reads and processes entries that it asked for
            itself; those the process reads for all are not meant.
    """

    def __init__(self, *, bytes_max: int, entries_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._entry_bytes = float(FIRST_ENTRY_BYTES)
        self.recoveries = trio.CapacityLimiter(RECOVERIES)

    def entries(self, streams: int) -> int:
        """Entries to ask of each of `streams` logs in one read."""
        fitting = int(self._bytes_max / max(1, streams) / self._entry_bytes)
        return max(1, min(self._entries_max, fitting))

    def learn(self, entries: Iterable[LogEntry]) -> None:
        """Take notice of the size of what was read."""
        sizes = [len(entry.data or b"") for entry in entries]
        if sizes:
            average = max(1.0, sum(sizes) / len(sizes))
            self._entry_bytes = max(average, self._entry_bytes * FORGET)


def appetite_of(settings: MinerSettings) -> Appetite:
    """That of a process."""
    return Appetite(bytes_max=settings.read_bytes_max, entries_max=settings.batch_entries)
