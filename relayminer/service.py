"""A service: a named async function that says when it has started and leaves nothing behind."""

from __future__ import annotations

from typing import Protocol

import trio


class Service(Protocol):
    """One long-running part of a process, started in the nursery of `relayminer.app`.

    `run` reports through `task_status.started()` when others may rely on the service, returns only
    when its work is over, and cleans up when cancelled. An exception that leaves `run` ends the
    process with its reason; what must outlive a failure restarts itself inside.
    """

    @property
    def name(self) -> str:
        """How logs, metrics and the task tree call the service."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        ...
