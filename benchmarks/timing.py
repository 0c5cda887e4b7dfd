"""Timing a function by the CPU time of its thread, which other processes blur least."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHES = 9


def cpu_us(function: Callable[[int], object], calls: int = 200) -> float:
    """Microseconds of CPU time per call in the batch that was disturbed least, after a warm-up.

    Neighbours on a shared machine can only add to it.

    Args:
        function: takes the number of the call, so that inputs can differ.
        calls: per batch.
    """
    for number in range(min(calls, 20)):
        function(number)
    batches = []
    for batch in range(BATCHES):
        started = time.thread_time_ns()
        for number in range(batch * calls, (batch + 1) * calls):
            function(number)
        batches.append((time.thread_time_ns() - started) / calls / 1000)
    return min(batches)
