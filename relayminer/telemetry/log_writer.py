"""Writing logs without waiting: a slow disk or a full pipe must not hold up a relay."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

    from relayminer.telemetry.metrics import Metrics

CLOSE_SECONDS: Final = 2.0
"""How long the last lines may take to be written."""
_BATCH: Final = 1_000


class LogWriter:
    """A stream whose `write` never waits; a thread of its own writes.

    Args:
        out: the real stream.
        max_lines: that may wait; further ones are dropped and counted.
        console: whether people read it, who get a word instead of JSON.
    """

    def __init__(self, out: TextIO, max_lines: int, *, console: bool = False) -> None:
        self._out = out
        self._max_lines = max_lines
        self._console = console
        self._lines: deque[str] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.dropped = 0
        """Lines that nobody will ever read."""
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a line, or count it as dropped."""
        if len(self._lines) >= self._max_lines:
            self.dropped += 1
        else:
            self._lines.append(text)
            if not self._wake.is_set():
                self._wake.set()
        return len(text)

    def flush(self) -> None:
        """Nobody waits for the disk here."""

    def isatty(self) -> bool:
        """Whether the real stream is a terminal."""
        return self._out.isatty()

    def show(self, metrics: Metrics) -> None:
        """Show how many lines wait and how many were dropped."""
        waiting = metrics.gauge("relayminer_log_lines_waiting", "Log lines not yet written").bind()
        waiting.read = lambda: len(self._lines)
        dropped = metrics.gauge(
            "relayminer_log_lines_dropped", "Log lines dropped since the start: nobody read them"
        ).bind()
        dropped.read = lambda: self.dropped

    def close(self) -> None:
        """Write what waits, for a bounded time."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._lines:
                self._put("".join(self._batch()))
            if self.dropped != self._told:
                self._put(self._word_of(self.dropped - self._told))
                self._told = self.dropped
            if self._closing and not self._lines:
                return

    def _batch(self) -> list[str]:
        return [self._lines.popleft() for _ in range(min(len(self._lines), _BATCH))]

    def _put(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            # The reader is gone, or the stream is closed: there is nobody to tell.
            self.dropped += text.count("\n")
            self._told = self.dropped

    def _word_of(self, count: int) -> str:
        if self._console:
            return f"({count} log lines were dropped: whoever reads them is too slow)\n"
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = {
            "event": "log_lines_dropped",
            "level": "warning",
            "count": count,
            "timestamp": moment,
        }
        return json.dumps(line) + "\n"


class Sampling:
    """Lets the first lines of an event in each second through, then one of several.

    Args:
        initial: lines of one event and second that all pass.
        thereafter: of further ones, one of so many passes.
    """

    def __init__(self, initial: int, thereafter: int) -> None:
        self._initial = initial
        self._thereafter = max(1, thereafter)
        self._second = 0
        self._seen: dict[str, int] = {}

    def passes(self, event: str, now_seconds: float) -> bool:
        """Whether this line is written."""
        second = int(now_seconds)
        if second != self._second:
            self._second, self._seen = second, {}
        count = self._seen[event] = self._seen.get(event, 0) + 1
        beyond = count - self._initial
        return beyond <= 0 or beyond % self._thereafter == 0
