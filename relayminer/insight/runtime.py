"""The interpreter's own figures, where it has the same facts as the Go runtime.

Collections of the oldest generation are Go's cycles: they look at everything. A pause is one of any
generation: nothing else runs meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

_THREADS: Final = "/proc/self/task"


class Runtime:
    """Shows threads, memory blocks and garbage collection; a `Service`."""

    name = "runtime"

    def __init__(self, metrics: Metrics) -> None:
        self._pause_ns = 0
        self._began_ns = 0
        self._last_unix_seconds = 0.0
        for name, text, read in (
            ("threads", "Threads of the process", _threads),
            ("heap_objects", "Memory blocks that the interpreter has handed out", _blocks),
            (
                "gc_completed_total",
                "Garbage collections of everything, not only of what is young",
                _full_collections,
            ),
            (
                "gc_pause_total_nanoseconds",
                "What garbage collections took, of all generations",
                lambda: self._pause_ns,
            ),
            (
                "last_gc_timestamp_seconds",
                "When the last garbage collection ended, Unix time; 0 before the first",
                lambda: self._last_unix_seconds,
            ),
            (
                "gc_cpu_fraction",
                "Share of garbage collections in the process's CPU time",
                lambda: self._pause_ns / max(1, time.process_time_ns()),
            ),
        ):
            metrics.gauge(f"ha_runtime_{name}", text).bind().read = read

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen to the garbage collector until cancelled."""
        gc.callbacks.append(self._collected)
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        elif self._began_ns:
            self._pause_ns += time.perf_counter_ns() - self._began_ns
            self._last_unix_seconds = time.time()


def _threads() -> int:
    try:
        return len(os.listdir(_THREADS))  # noqa: PTH208 - a count, of a place that is no file
    except OSError:
        return threading.active_count()


def _blocks() -> int:
    return sys.getallocatedblocks()


def _full_collections() -> int:
    return int(gc.get_stats()[-1]["collections"])
