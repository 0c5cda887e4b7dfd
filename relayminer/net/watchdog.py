"""One task that looks after the deadlines of all wires."""

from __future__ import annotations

import math
from typing import Protocol

import trio


class Expiring(Protocol):
    """Something with a deadline."""

    expires_at: float
    expired: bool

    def expire(self) -> None:
        """The deadline has passed."""
        ...


class Watchdog:
    """Expires what is late, to within `period_seconds`.

    Setting a deadline is one attribute; the sweep over 10,000 idle connections takes a
    millisecond. That is why connections and backend calls do not carry a cancel scope each.
    """

    name = "watchdog"

    def __init__(self, period_seconds: float = 0.1) -> None:
        self._period_seconds = period_seconds
        self._watched: set[Expiring] = set()

    def watch(self, one: Expiring) -> None:
        """Look after `one` until `forget`."""
        self._watched.add(one)

    def forget(self, one: Expiring) -> None:
        """Stop looking after `one`."""
        self._watched.discard(one)

    def __len__(self) -> int:
        return len(self._watched)

    def sweep(self, now: float) -> None:
        """Expire everything whose deadline is before `now` (Trio time, seconds)."""
        for one in [one for one in self._watched if one.expires_at <= now]:
            one.expires_at = math.inf
            one.expire()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sweep until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(self._period_seconds)
            self.sweep(trio.current_time())
