"""Counts what is logged per supplier and session, and writes the sums to the store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.state.tally import TallyStore

FLUSH_SECONDS: Final = 0.25
MAX_COUNTERS: Final = 100_000

_log = structlog.get_logger("relayminer.relayer")


class Tally:
    """Counts in memory; `run` adds them to the store now and then, `flush` at once."""

    def __init__(self, store: TallyStore) -> None:
        self._store = store
        self._counts: Counter[tuple[str, str]] = Counter()

    def logged(self, supplier: str, session_id: str) -> None:
        """One more relay is logged."""
        if len(self._counts) < MAX_COUNTERS:
            self._counts[supplier, session_id] += 1

    async def run(self) -> None:
        """Flush now and then, until cancelled."""
        while True:
            await trio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Add what was counted to the store; what it does not take is kept for the next time."""
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        try:
            await self._store.add(counts)
        except StateError as error:
            self._counts.update(counts)
            _log.warning("tally_not_written", reason=str(error))
