"""How late the loop is: whoever blocks it delays every relay at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 0.25
_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopDelay:
    """Measures how much later than asked for the loop wakes; a `Service`."""

    name = "loop delay"

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "relayminer_event_loop_delay_seconds",
            "How much later than it asked for a task was woken",
            (),
            _BOUNDS,
        ).bind()
        tasks = metrics.gauge("relayminer_tasks", "Trio tasks alive").bind()
        tasks.read = lambda: trio.lowlevel.current_statistics().tasks_living

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Measure until cancelled."""
        task_status.started()
        while True:
            due = trio.current_time() + LOOK_SECONDS
            await trio.sleep_until(due)
            self._seconds.observe(trio.current_time() - due)
