"""Child processes of a benchmark: started, watched through /proc, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio
from attrs import frozen

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
IDLE_CONNECTIONS = 1_000
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
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what}: not within {seconds:g} s:\n{self.tail()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
                raise BenchmarkError(f"{self.name} ended before {what}:\n{self.tail()}")

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


def printed_port(child: Child) -> str:
    """The port that a process prints alone on a line when it listens."""

    def found() -> str:
        printed = [line for line in child.tail().splitlines() if line.isdigit()]
        return printed[0] if printed else ""

    child.wait_until(lambda: bool(found()), "the port", START_SECONDS)
    return found()


@frozen
class Pace:
    """How fast relays were answered.

    Attributes:
        per_second: relays.
        cpu_us: of the relayer, for each.
    """

    per_second: float
    cpu_us: float


def measured(relayer: Child, arguments: Sequence[str]) -> Pace:
    """Run a client that prints `measuring`, and at its end its relays and seconds as JSON.

    Args:
        relayer: what it loads.
        arguments: of the interpreter.

    Raises:
        BenchmarkError: the client failed.
    """
    client = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, env=environment(), cwd=ROOT
    )
    with client:
        if client.stdout is None or client.stdout.readline().strip() != b"measuring":
            raise BenchmarkError(f"the client has failed:\n{relayer.tail()}")
        before = relayer.cpu_seconds()
        line = client.stdout.readline()
        spent = relayer.cpu_seconds() - before
    if not line:
        raise BenchmarkError(f"the client has failed:\n{relayer.tail()}")
    result = json.loads(line)
    relays = result["relays"]
    return Pace(relays / result["seconds"], spent / relays * 1e6)


def idle_connection_bytes(relayer: Child, connect: Callable[[], socket.socket]) -> float:
    """What an open connection on which nothing happens costs the relayer."""
    connected = [connect()]
    before = relayer.resident_bytes()
    connected += [connect() for _ in range(IDLE_CONNECTIONS)]
    each = (relayer.resident_bytes() - before) / IDLE_CONNECTIONS
    for one in connected:
        one.close()
    return each
