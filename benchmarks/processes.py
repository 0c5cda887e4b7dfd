"""Child processes of a benchmark: started, watched through /proc, stopped."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
LOG_TAIL_CHARACTERS = 2000

_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A benchmark cannot give its figures; says why."""


class Child:
    """One process; what it prints goes into a log file.

    Args:
        name: for messages and the log file.
        arguments: of the Python interpreter.
        directory: where the log goes.
    """

    def __init__(self, name: str, arguments: list[str], directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], stdout=log, stderr=log, env=environment()
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far, in steps of a clock tick (10 ms)."""
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Memory that it holds."""
        fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize()

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for `condition`.

        Raises:
            BenchmarkError: the process ended or the time passed before.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self.name} ended before {what}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what}: not within {seconds:g} s:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def until_told() -> None:
    """In a child: wait until it is told to end, so that it leaves nothing running behind it."""
    with trio.open_signal_receiver(signal.SIGTERM) as told:
        await anext(told)


def environment() -> dict[str, str]:
    """Our own environment, in which children find the packages whether installed or not."""
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def relayminer(*arguments: str) -> list[str]:
    """Interpreter arguments that run our command line."""
    return ["-m", "relayminer", *arguments]
