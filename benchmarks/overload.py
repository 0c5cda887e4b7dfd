"""A service driven far past its limit: what those get who are served, and how soon it is over.

The service may have 20 relays in flight at a backend that takes 50 ms, so 400 a second. It is
driven in an open loop, from a process of its own: at half of that, at three times that, and at half
again. A relay's latency counts from the moment at which it was due, sent or not.

    python -m benchmarks.overload [SECONDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen
from rich.console import Console

from benchmarks.figures import Figure, at_least, at_most, table
from benchmarks.load_client import Corpus
from benchmarks.processes import ROOT, BenchmarkError, environment
from relayminer.testing.http_client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relayminer.testing.http_client import Client

MAX_IN_FLIGHT = 20
BACKEND_SECONDS = 0.05
CAPACITY = MAX_IN_FLIGHT / BACKEND_SECONDS
HALF_LOAD = CAPACITY / 2
OVERLOAD = CAPACITY * 3
CORPUS = 500
"""Different relays; they are sent again and again."""
WARM_UP_SECONDS = 2.0
RECOVERY_SECONDS = 4.0
MAX_CONNECTIONS = 1_000
ANSWER_SECONDS = 10.0
LATENCY_FACTOR = 3.0
SERVED_SHARE = 0.6
"""Of the capacity: what the driver and the rest of the machine leave of two cores counts too."""
RECOVERED_WITHIN_SECONDS = 2.0
MAX_GROWTH_MEGABYTES = 60.0


@define
class Outcome:
    """What one phase gave; each relay by the second of the phase at which it was due.

    Attributes:
        served: moment due and latency of relays that were answered 200.
        refused: the same of those that were answered 503.
        failed: any other answer, or none.
    """

    served: list[tuple[float, float]] = field(factory=list)
    refused: list[tuple[float, float]] = field(factory=list)
    failed: list[str] = field(factory=list)

    def p99_ms(self) -> float:
        """Of the served relays."""
        return percentile(self.served, 99) * 1000


def percentile(found: Sequence[tuple[float, float]], percent: int) -> float:
    """Of latencies, in seconds."""
    if len(found) < 2:  # noqa: PLR2004 - quantiles are between values
        return found[0][1] if found else 0.0
    return statistics.quantiles([latency for _, latency in found], n=100)[percent - 1]


class Driver:
    """Sends relays when they are due, whether or not earlier ones were answered."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes]) -> None:
        self._address = address
        self._requests = requests
        self._idle: list[Client] = []
        self._open = 0
        self._sent = 0

    async def run(self, rate: float, seconds: float) -> Outcome:
        """One phase."""
        outcome = Outcome()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                if due > trio.current_time():
                    await trio.sleep_until(due)
                request = self._requests[self._sent % len(self._requests)]
                self._sent += 1
                nursery.start_soon(self._send, request, due, due - began, outcome)
        return outcome

    async def _send(self, request: bytes, due: float, moment: float, outcome: Outcome) -> None:
        client = None
        try:
            with trio.fail_after(ANSWER_SECONDS):
                if self._idle:
                    client = self._idle.pop()
                else:
                    if self._open >= MAX_CONNECTIONS:
                        outcome.failed.append("no connection left")
                        return
                    self._open += 1
                    client = await connect(self._address)
                answer = await client.send(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            outcome.failed.append(repr(error))
            self._open -= 1
            if client is not None:
                client.wire.close()
            return
        self._idle.append(client)
        latency = trio.current_time() - due
        if answer.status == 200:  # noqa: PLR2004 - served
            outcome.served.append((moment, latency))
        elif answer.status == 503:  # noqa: PLR2004 - shed
            outcome.refused.append((moment, latency))
        else:
            outcome.failed.append(f"{answer.status} {answer.body[:80]!r}")

    def close(self) -> None:
        """Hang up."""
        for client in self._idle:
            client.wire.close()


@frozen
class Result:
    """All phases.

    Attributes:
        growth_megabytes: of the relayer's memory from the end of the first phase to the overload's.
    """

    half: Outcome
    over: Outcome
    after: Outcome
    seconds: float
    growth_megabytes: float

    @property
    def recovery_seconds(self) -> float:
        """From the end of the overload to the last relay that was refused or slow."""
        slow = LATENCY_FACTOR * self.half.p99_ms() / 1000
        late = [moment for moment, _ in self.after.refused]
        late += [moment for moment, latency in self.after.served if latency > slow]
        return max(late, default=0.0)

    def figures(self) -> list[Figure]:
        """What the issue asks for, and what explains it."""
        half_ms = self.half.p99_ms()
        return [
            Figure("overload_half_load_p99_ms", half_ms, "ms"),
            at_most("overload_accepted_p99_ms", self.over.p99_ms(), "ms", LATENCY_FACTOR * half_ms),
            at_least(
                "overload_served_per_s",
                len(self.over.served) / self.seconds,
                "1/s",
                CAPACITY * SERVED_SHARE,
            ),
            Figure("overload_refused_per_s", len(self.over.refused) / self.seconds, "1/s"),
            Figure("overload_refused_p99_ms", percentile(self.over.refused, 99) * 1000, "ms"),
            at_most("overload_failed", len(self.half.failed + self.over.failed), "", 0),
            at_most("overload_recovery_s", self.recovery_seconds, "s", RECOVERED_WITHIN_SECONDS),
            at_most("overload_memory_growth_mb", self.growth_megabytes, "MB", MAX_GROWTH_MEGABYTES),
        ]


def measure(seconds: float) -> Result:
    """Drive a relayer in a process of its own past its limit for `seconds`."""
    with (
        tempfile.TemporaryDirectory(prefix="relayminer-overload-") as name,
        _relayer(Path(name)) as (process, port),
    ):
        requests = list(iter(Corpus(Path(name) / "corpus", 0).next, b""))
        return trio.run(partial(_phases, process.pid, port, requests, seconds))


async def _phases(pid: int, port: int, requests: list[bytes], seconds: float) -> Result:
    driver = Driver(("127.0.0.1", port), requests)
    try:
        await driver.run(HALF_LOAD, WARM_UP_SECONDS)
        half = await driver.run(HALF_LOAD, max(seconds / 2, 3.0))
        before = _resident_megabytes(pid)
        over = await driver.run(OVERLOAD, seconds)
        grown = _resident_megabytes(pid) - before
        after = await driver.run(HALF_LOAD, RECOVERY_SECONDS)
    finally:
        driver.close()
    return Result(half, over, after, seconds, grown)


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError("the relayer has ended")


@contextmanager
def _relayer(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overload_relayer", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            if not line.strip().isdigit():
                raise BenchmarkError("the relayer has not started")
            yield process, int(line)
        finally:
            process.terminate()


def main() -> None:
    """Measure, print, and judge: the exit status is 1 when anything that is asked was missed."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    figures = measure(seconds).figures()
    console = Console()
    console.print(table(figures))
    missed = [figure.name for figure in figures if figure.kept is False]
    console.print(f"verdict: missed {', '.join(missed)}" if missed else "verdict: all kept")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
