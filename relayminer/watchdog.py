"""Watching loops: who says nothing while there is work for it is told, and begun again.

A loop that touches money says at every turn that it got on, or that there is nothing to do. Having
said that it got on, it must speak again before its deadline; having said that there is nothing to
do it may be silent for as long as that is true. Otherwise it has stalled: readiness says so, the
log gets the tree of its tasks, and the loop alone is cancelled and run again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 1.0
"""Between two looks at all loops; stalls are noticed that much late."""
STOP_SECONDS: Final = 10.0
"""How long a stalled loop may take to be cancelled before that is told as well."""
RESTART_SECONDS: Final = 0.5
REMEMBER_SECONDS: Final = 60.0
"""How long a stalled loop that nobody has begun again counts against readiness."""
MAX_LINES: Final = 60
"""Of a task tree in the log."""

_log = structlog.get_logger("relayminer.watchdog")


class StalledError(RelayMinerError):
    """A loop was silent for too long while there was work for it; it was cancelled."""


class Pulse:
    """What one loop says of itself.

    Args:
        name: What the loop does, and for whom.
        deadline_seconds: Its longest silence while there is work.
        waiting: Whether there is work for it; asked while it says that there is none.
    """

    def __init__(
        self,
        name: str = "",
        deadline_seconds: float = inf,
        waiting: Callable[[], bool] | None = None,
    ) -> None:
        self.name: Final = name
        self.deadline_seconds: Final = deadline_seconds
        self.has_spoken = False
        self._waiting = waiting
        self._is_idle = False
        self._silent_since: float | None = trio.current_time()

    def got_on(self) -> None:
        """Progress was made; there may be more to do."""
        self._is_idle = False
        self._silent_since = trio.current_time()
        self.has_spoken = True

    def idle(self) -> None:
        """There is nothing to do."""
        self._is_idle = True
        self._silent_since = None
        self.has_spoken = True

    def silent_seconds(self, now: float) -> float:
        """For how long there has been work without a word from the loop."""
        if self._is_idle:
            if self._waiting is None or not self._waiting():
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = now
        return 0.0 if self._silent_since is None else now - self._silent_since


@define(eq=False)
class _Watched:
    """A loop that runs under a pulse."""

    pulse: Pulse
    task: trio.lowlevel.Task
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    stalled_at: float | None = None
    told: bool = False


Loop = Callable[[Pulse], Awaitable[None]]


class Watchdog:
    """Looks at all loops of a process; a `Service`.

    Args:
        metrics: Where stalls are counted.
    """

    name = "watchdog"

    def __init__(self, metrics: Metrics) -> None:
        self._watched: set[_Watched] = set()
        self._stalled: dict[str, float] = {}
        self._stalls = metrics.counter(
            "relayminer_loop_stalls", "Loops that got on no more and were begun again.", ("loop",)
        )

    def problem(self) -> str | None:
        """What is wrong, for readiness; None when every loop gets on."""
        self._forget_recovered()
        return f"stalled: {', '.join(sorted(self._stalled))}" if self._stalled else None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at all loops until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    async def keep(
        self,
        name: str,
        loop: Loop,
        deadline_seconds: float,
        waiting: Callable[[], bool] | None = None,
    ) -> None:
        """Run `loop` until it ends, again whenever it stalls; see `guard`."""
        while True:
            try:
                await self.guard(name, loop, deadline_seconds, waiting)
            except StalledError:
                await trio.sleep(RESTART_SECONDS)
            else:
                return

    async def guard(
        self,
        name: str,
        loop: Loop,
        deadline_seconds: float,
        waiting: Callable[[], bool] | None = None,
    ) -> None:
        """Run `loop` until it ends or stalls.

        Args:
            name: What the loop does and, after a space, for whom.
            loop: Speaks through the pulse that it is given.
            deadline_seconds: Its longest silence while there is work.
            waiting: Whether there is work for it; None: what it says itself is enough.

        Raises:
            StalledError: it was silent for too long and was cancelled.
        """
        pulse = Pulse(name, deadline_seconds, waiting)
        watched = _Watched(pulse, trio.lowlevel.current_task())
        self._watched.add(watched)
        try:
            with watched.scope:
                await loop(pulse)
        finally:
            self._watched.discard(watched)
            if watched.stalled_at is None:
                self._stalled.pop(name, None)
        if watched.stalled_at is not None:
            raise StalledError(f"{name} was silent for more than {deadline_seconds:g} s")

    def look(self) -> None:
        """Cancel what has stalled since the last look."""
        now = trio.current_time()
        for watched in list(self._watched):
            pulse = watched.pulse
            if watched.stalled_at is not None:
                if not watched.told and now - watched.stalled_at > STOP_SECONDS:
                    watched.told = True
                    _log.critical(
                        "stalled loop cannot be stopped",
                        loop=pulse.name,
                        tasks=task_tree(watched.task),
                        remedy="restart this process",
                    )
            elif (silent_seconds := pulse.silent_seconds(now)) > pulse.deadline_seconds:
                watched.stalled_at = self._stalled[pulse.name] = now
                self._stalls.bind(pulse.name.split(" ")[0]).value += 1
                _log.error(
                    "loop stalled, it is begun again",
                    loop=pulse.name,
                    silent_seconds=round(silent_seconds, 1),
                    tasks=task_tree(watched.task),
                )
                watched.scope.cancel()

    def _forget_recovered(self) -> None:
        """A loop that speaks again is well; so is one that nobody needs any more."""
        now = trio.current_time()
        running = {watched.pulse.name: watched for watched in self._watched}
        for name, stalled_at in list(self._stalled.items()):
            watched = running.get(name)
            if watched is None:
                is_over = now - stalled_at > REMEMBER_SECONDS
            else:
                is_over = watched.stalled_at is None and watched.pulse.has_spoken
            if is_over:
                del self._stalled[name]


def task_tree(task: trio.lowlevel.Task, max_lines: int = MAX_LINES) -> str:
    """Where a task and its children wait, innermost frame last, one line each."""
    lines = list(_tree(task, ""))
    if len(lines) > max_lines:
        lines[max_lines:] = [f"... {len(lines) - max_lines} more lines"]
    return "\n".join(lines)


def _tree(task: trio.lowlevel.Task, indent: str) -> Iterator[str]:
    yield f"{indent}{task.name}"
    for frame, line in task.iter_await_frames():
        code = frame.f_code
        yield f"{indent}  {Path(code.co_filename).name}:{line} {code.co_qualname}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tree(child, indent + "    ")
