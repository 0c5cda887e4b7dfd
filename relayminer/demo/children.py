"""The processes of the demonstration: started, watched, started again when they die, stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import trio

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_SECONDS = 40.0
LOG_TAIL_LINES = 15


class DemoError(RelayMinerError):
    """The demonstration cannot go on; says why and where to look."""


class Child:
    """One `relayminer` process with its log in a file.

    Args:
        name: for messages.
        arguments: of `relayminer`.
        log: file that takes its output, appended across restarts.
        restart: whether to start it again when it dies without having been told to.
        environment: of the process, from its next start on; None: ours.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        log: Path,
        *,
        restart: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.environment = environment
        self.restarts = 0
        self._arguments = arguments
        self._restart = restart
        self._process: trio.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Process id of the running process."""
        if self._process is None:
            raise DemoError(f"{self.name} is not running")
        return self._process.pid

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the process running until `stop`; cancelled, it is stopped as well."""
        try:
            while not self._stopping:
                self._process = await self._start()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self._process.wait()
                if self._stopping:
                    return
                if not self._restart:
                    raise DemoError(f"{self.name} ended by itself:\n{self._tail()}")
                self.restarts += 1
        finally:
            with trio.CancelScope(shield=True):
                await self._end()

    def stop(self) -> None:
        """Ask the process to stop; `run` returns when it has."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process without giving it a chance, as a crash would."""
        if self._process is not None:
            self._process.kill()

    async def _start(self) -> trio.Process:
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the demonstration, which stops its children.
            return await trio.lowlevel.open_process(
                [sys.executable, "-m", "relayminer", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self.environment,
            )

    async def _end(self) -> None:
        self.stop()
        if self._process is None:
            return
        with trio.move_on_after(STOP_SECONDS):
            await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(["", *lines[-LOG_TAIL_LINES:], f"(the whole log: {self.log})"])
