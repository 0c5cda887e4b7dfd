"""Where a stream is cut into batches: no I/O, no clock of its own, not a byte changed.

Source of the limits: relayer.md 5; K-17 is done the better way: the age of what waits is looked at
when it is due, not when the next line comes.
"""

from __future__ import annotations

from typing import Final

MAX_BATCH_BYTES: Final = 102_400
MAX_BATCH_LINES: Final = 100
MAX_AGE_SECONDS: Final = 0.1
_NEWLINE: Final = b"\n"


class Batches:
    """The body of one stream, cut between lines where that is possible.

    A batch is due `MAX_AGE_SECONDS` after the one before it. What is due is cut behind the last
    complete line; a line that is not complete waits for its end, but never longer than that time
    once more. So no byte waits longer than twice `MAX_AGE_SECONDS`, and none is held in more than
    `MAX_BATCH_BYTES` of memory.

    Args:
        now: Trio time at which the stream began.
    """

    __slots__ = ("_lines", "_pending", "due_at")

    def __init__(self, now: float) -> None:
        self._pending = bytearray()
        self._lines = 0
        self.due_at = now + MAX_AGE_SECONDS
        """Trio time at which `due` has something to give, if anything waits."""

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._pending)

    def add(self, data: bytes, now: float) -> list[bytes]:
        """Take in a piece of the body; returns the batches that are full or due."""
        pending = self._pending
        pending += data
        self._lines += data.count(_NEWLINE)
        batches = []
        while self._lines >= MAX_BATCH_LINES or len(pending) >= MAX_BATCH_BYTES:
            batches.append(self._cut(self._full(), now))
        if now >= self.due_at and self._lines:
            batches.append(self._cut(pending.rfind(_NEWLINE) + 1, now))
        return batches

    def due(self, now: float) -> bytes:
        """The batch that is due at `now`; empty when nothing waits."""
        end = self._pending.rfind(_NEWLINE) + 1
        return self._cut(end or len(self._pending), now)

    def rest(self) -> bytes:
        """What waits, at the end of the stream."""
        return self._cut(len(self._pending), self.due_at)

    def _full(self) -> int:
        """Where the next full batch ends."""
        pending = self._pending
        if self._lines < MAX_BATCH_LINES:
            return pending.rfind(_NEWLINE, 0, MAX_BATCH_BYTES) + 1 or MAX_BATCH_BYTES
        end = 0
        for _ in range(MAX_BATCH_LINES):
            found = pending.find(_NEWLINE, end, MAX_BATCH_BYTES) + 1
            if not found:
                return end or MAX_BATCH_BYTES
            end = found
        return end

    def _cut(self, end: int, now: float) -> bytes:
        batch = bytes(self._pending[:end])
        del self._pending[:end]
        self._lines -= batch.count(_NEWLINE)
        self.due_at = now + MAX_AGE_SECONDS
        return batch
