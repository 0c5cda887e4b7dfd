"""Work that goes on after the answer: bounded, and finished before the relayer stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.telemetry.metrics import Counter, Gauge


class Background:
    """A few tasks that take jobs from a bounded queue.

    Args:
        max_jobs: that may wait; the next one is done by its owner instead, before the answer.
        workers: tasks.
        waiting: shows how many wait.
        accidents: counts jobs that failed.
    """

    def __init__(self, max_jobs: int, workers: int, waiting: Gauge, accidents: Counter) -> None:
        self._accidents = accidents
        self._sender, self._receiver = trio.open_memory_channel["Callable[[], Awaitable[None]]"](
            max_jobs
        )
        self._workers = workers
        self._log = structlog.get_logger("relayminer.relayer")
        waiting.read = lambda: self._sender.statistics().current_buffer_used

    def submit(self, job: Callable[[], Awaitable[None]]) -> bool:
        """Have `job` done soon; False when too many wait, or the relayer is stopping."""
        try:
            self._sender.send_nowait(job)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            return False
        return True

    async def run(self) -> None:
        """Do jobs until `finish` was called and none is left."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._workers):
                nursery.start_soon(self._work)

    def finish(self) -> None:
        """No more jobs: `run` ends when those that wait are done."""
        self._sender.close()

    async def _work(self) -> None:
        async for job in self._receiver.clone():
            try:
                await job()
            except Exception:  # noqa: BLE001 - one relay's accident must not stop the others' accounting
                self._accidents.value += 1
                self._log.exception("background_relay_failed")
