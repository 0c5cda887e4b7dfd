"""Several relayer processes behind one port, kept alive by the first process.

A worker is a process of its own, started anew and never forked: what this process has imported does
not stand a fork. It listens on the relay port beside its siblings (`SO_REUSEPORT`), tells its state
on a socket that we keep, and stops by itself when we die.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from relayminer.errors import RelayMinerError
from relayminer.net.client import HttpPool, fetch
from relayminer.net.errors import NetError
from relayminer.net.url import Origin
from relayminer.net.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 0.5
"""How often a worker's readiness is looked at."""
ANSWER_SECONDS: Final = 2.0
"""How long a worker may take to tell its state."""
FIRST_PAUSE_SECONDS: Final = 0.25
MAX_PAUSE_SECONDS: Final = 30.0
CALM_SECONDS: Final = 60.0
"""A worker that lived this long starts again without a pause."""
OK: Final = 200


class WorkerFailedError(RelayMinerError):
    """A worker ended before it had started; what it said stands in the log."""


@frozen
class Leash:
    """What a worker gets from its supervisor, as file descriptors.

    Attributes:
        control: a bound socket for its control plane.
        life: readable once the supervisor is gone.
    """

    control: int
    life: int

    @classmethod
    def parse(cls, text: str) -> Leash:
        """From the command line; raises ValueError."""
        control, life = text.split(",")
        return cls(int(control), int(life))

    def __str__(self) -> str:
        return f"{self.control},{self.life}"

    async def wait_cut(self) -> None:
        """Returns when the supervisor is gone."""
        await trio.lowlevel.wait_readable(self.life)


@define(eq=False)
class _Worker:
    number: int
    control: socket.socket
    http: HttpPool
    process: trio.Process | None = None
    started: trio.Event = field(factory=trio.Event)
    """Set once it was ready for the first time."""
    problem: str | None = "starting"


class WorkerPool:
    """A number of workers; a `Service`.

    Args:
        command: starts one; its leash is added.
        count: how many.
        stop_seconds: how long one may take to end.
        metrics: where their number is shown.
        health: where their readiness is added.

    Raises:
        WorkerFailedError: from `run`, when a worker cannot even start.
    """

    name = "workers"

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        *,
        stop_seconds: float,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._command = list(command)
        self._stop_seconds = stop_seconds
        self._watchdog = Watchdog()
        self._life, self._hold = os.pipe()
        self._workers = [self._new(number) for number in range(1, count + 1)]
        self._log = structlog.get_logger("relayminer.workers")
        running = metrics.gauge("relayminer_workers", "Worker processes that run").bind()
        running.read = lambda: sum(one.process is not None for one in self._workers)
        self._restarts = metrics.counter("relayminer_worker_restarts", "Workers that ended").bind()
        health.add("workers", self._problem)

    def _new(self, number: int) -> _Worker:
        control = socket.socket()
        control.bind(("127.0.0.1", 0))
        origin = Origin("http", "127.0.0.1", control.getsockname()[1])
        return _Worker(number, control, HttpPool(origin, self._watchdog, max_connections=2))

    def _problem(self) -> str | None:
        living = [one for one in self._workers if one.process is not None]
        if not any(one.problem is None for one in living):
            return "; ".join(f"worker {one.number}: {one.problem}" for one in self._workers)
        # One that is away takes no connections; one that is there and not ready does.
        problems = [f"worker {one.number}: {one.problem}" for one in living if one.problem]
        return "; ".join(problems) or None

    async def pages(self) -> Mapping[str, bytes]:
        """The metrics page of every worker that answers, by its number."""
        found: dict[str, bytes] = {}

        async def read(worker: _Worker) -> None:
            with contextlib.suppress(NetError):
                answer = await fetch(
                    worker.http, b"GET", b"/metrics", timeout_seconds=ANSWER_SECONDS
                )
                found[str(worker.number)] = answer.body

        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                if worker.process is not None:
                    nursery.start_soon(read, worker)
        return dict(sorted(found.items()))

    def hang_up(self) -> None:
        """Have every worker read its configuration again."""
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send_signal(signal.SIGHUP)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the workers until cancelled, then end them in order; started when all are ready."""
        try:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self._watchdog.run)
                async with trio.open_nursery() as nursery:
                    for worker in self._workers:
                        nursery.start_soon(self._keep, worker)
                        nursery.start_soon(self._look, worker)
                    for worker in self._workers:
                        await worker.started.wait()
                    task_status.started()
                helpers.cancel_scope.cancel()
        finally:
            for worker in self._workers:
                worker.http.close()
                worker.control.close()
            os.close(self._life)
            os.close(self._hold)

    async def _keep(self, worker: _Worker) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            began = trio.current_time()
            code = await self._run_once(worker)
            if not worker.started.is_set():
                raise WorkerFailedError(
                    f"worker {worker.number} ended with code {code} before it was ready; the log "
                    "above says why"
                )
            if trio.current_time() - began >= CALM_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            self._restarts.value += 1
            self._log.error(
                "worker_ended", worker=worker.number, code=code, restart_in_seconds=pause_seconds
            )
            await trio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)

    async def _run_once(self, worker: _Worker) -> int:
        leash = Leash(worker.control.fileno(), self._life)
        process = await trio.lowlevel.open_process(
            [*self._command, "--worker", str(leash)],
            stdin=subprocess.DEVNULL,
            pass_fds=(leash.control, leash.life),
            # Ctrl-C in a terminal is for us; we tell the workers.
            start_new_session=True,
        )
        worker.process, worker.problem = process, "starting"
        self._log.info("worker_started", worker=worker.number, pid=process.pid)
        try:
            return await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._end(process)
            worker.process, worker.problem = None, "not running"

    async def _end(self, process: trio.Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        with trio.move_on_after(self._stop_seconds):
            await process.wait()
            return
        self._log.error("worker_killed", pid=process.pid, after_seconds=self._stop_seconds)
        process.kill()
        await process.wait()

    async def _look(self, worker: _Worker) -> None:
        while True:
            if worker.process is not None:
                worker.problem = await _problem_of(worker)
                if worker.problem is None:
                    worker.started.set()
            await trio.sleep(LOOK_SECONDS)


async def _problem_of(worker: _Worker) -> str | None:
    try:
        answer = await fetch(worker.http, b"GET", b"/ready", timeout_seconds=ANSWER_SECONDS)
    except NetError as error:
        return f"does not answer: {error}"
    if answer.status == OK:
        return None
    try:
        problems = json.loads(answer.body)["problems"]
        return ", ".join(f"{name}: {text}" for name, text in problems.items())
    except (ValueError, KeyError, AttributeError):
        return f"not ready ({answer.status})"


def worker_command(words: Sequence[str]) -> list[str]:
    """Starts a relayer process with these words after `relayminer`."""
    return [sys.executable, "-m", "relayminer", *words]
