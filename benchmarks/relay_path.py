"""Relays through one relayer process: how many, how fast, at what cost.

Full eager validation, an answer after the relay is logged, relays signed before and all different;
client, backend, store, chain and miner run beside it on the same machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from benchmarks.corpus import http_corpus
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.fleet import Fleet
from benchmarks.load_client import WARM_UP_SECONDS, write_corpus
from benchmarks.micro import ring_verify_hot_us, ring_verify_us, sample_requests
from benchmarks.open_loop import open_loop_figures
from benchmarks.processes import ROOT, BenchmarkError, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from relayminer.protocol.pb.service_pb2 import RelayRequest

EXPECTED_RELAYS_PER_SECOND = 2600
"""Relays are signed for this rate; when they run out, the last level ends early."""
JUDGED_CONNECTIONS = 50
WARM_UP_CONNECTIONS = 10
WARM_LEVEL_SECONDS = 2.0
"""Unmeasured: caches fill, and the relayer makes its tables of the keys that come often."""
IDLE_SECONDS = 2.0
OPEN_LOOP_SECONDS = 10.0
DRAIN_SECONDS = 60.0


@frozen
class RingCost:
    """What one ring verification costs beside a load level, microseconds.

    Attributes:
        plain: of keys that come for the first time: the yardstick.
        hot: of keys that the relayer has tables for, as most are.
    """

    plain: float
    hot: float

    @classmethod
    def measure(cls, requests: Sequence[RelayRequest]) -> RingCost:
        """Both, now."""
        return cls(ring_verify_us(requests), ring_verify_hot_us(requests))


@frozen
class Level:
    """What one load level gave."""

    connections: int
    relays: int
    seconds: float
    latencies_ms: Sequence[float]
    relayer_cpu_us: float
    client_cpu_us: float
    ring_us: RingCost

    def figures(self) -> list[Figure]:
        """The figures of this level."""
        suffix = f"_c{self.connections}"
        percentiles = statistics.quantiles(self.latencies_ms, n=100)
        rate, rings = self.relays / self.seconds, self.relayer_cpu_us / self.ring_us.plain
        rate_name = f"relays_per_s{suffix}"
        rings_name = f"relayer_cpu_in_ring_verifications{suffix}"
        judged = self.connections == JUDGED_CONNECTIONS
        return [
            at_least(rate_name, rate, "1/s", 1200) if judged else Figure(rate_name, rate, "1/s"),
            Figure(f"p50_ms{suffix}", percentiles[49], "ms"),
            Figure(f"p99_ms{suffix}", percentiles[98], "ms"),
            Figure(f"relayer_cpu_us{suffix}", self.relayer_cpu_us, "us"),
            at_most(rings_name, rings, "", 3.5) if judged else Figure(rings_name, rings, ""),
            Figure(
                f"relayer_cpu_in_hot_ring_verifications{suffix}",
                self.relayer_cpu_us / self.ring_us.hot,
                "",
            ),
            Figure(f"client_cpu_us{suffix}", self.client_cpu_us, "us"),
        ]


def relay_figures(*, connections: Sequence[int], seconds: float, console: Console) -> list[Figure]:
    """Measure every level, then what the miner spent on all of them."""
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as name:
        directory = Path(name)
        console.print("starting devnet, backend, miner and relayer ...")
        with Fleet(directory) as fleet:
            console.print("signing relays ...")
            loaded_seconds = WARM_UP_SECONDS + WARM_LEVEL_SECONDS
            loaded_seconds += len(connections) * (WARM_UP_SECONDS + seconds)
            count = int(loaded_seconds * EXPECTED_RELAYS_PER_SECOND)
            corpus = directory / "corpus"
            authority = f"{fleet.address[0]}:{fleet.address[1]}"
            write_corpus(corpus, http_corpus(fleet.targets, authority, count))
            return _measure(fleet, corpus, connections, seconds, console)


def _measure(
    fleet: Fleet, corpus: Path, connections: Sequence[int], seconds: float, console: Console
) -> list[Figure]:
    idle = _idle_share(fleet)
    miner_cpu, started = fleet.miner.cpu_seconds(), time.monotonic()
    console.print("warming up ...")
    _, first = _run_level(fleet, corpus, WARM_UP_CONNECTIONS, WARM_LEVEL_SECONDS, 0)
    figures: list[Figure] = []
    for number in connections:
        console.print(f"{number} connections ...")
        level, sent = _run_level(fleet, corpus, number, seconds, first)
        first += sent
        figures += level.figures()
    console.print("at 500 relays a second ...")
    url = f"http://{fleet.address[0]}:{fleet.address[1]}"
    more, sent = open_loop_figures(fleet.targets, url, max(seconds, OPEN_LOOP_SECONDS))
    figures += more
    first += sent
    _drain(fleet, idle)
    spent = fleet.miner.cpu_seconds() - miner_cpu - idle * (time.monotonic() - started)
    mined = trio.run(fleet.relays_in_tries)
    if mined != first + len(fleet.targets):
        raise BenchmarkError(f"{first} relays were answered, {mined} are in the tries")
    figures.append(at_most("miner_cpu_us", spent / first * 1e6, "us", 200))
    return figures


def _run_level(
    fleet: Fleet, corpus: Path, connections: int, seconds: float, first: int
) -> tuple[Level, int]:
    """One level; also the number of relays taken from the corpus."""
    requests = sample_requests()
    before_level = RingCost.measure(requests)
    host, port = fleet.address
    arguments = [host, str(port), str(connections), str(seconds), str(corpus), str(first)]
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load_client", *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    with client:
        if client.stdout is None or client.stdout.readline().strip() != b"measuring":
            raise BenchmarkError(f"the client has failed:\n{fleet.relayer.tail()}")
        before = fleet.relayer.cpu_seconds()
        client.stdout.readline()
        spent = fleet.relayer.cpu_seconds() - before
        line = client.stdout.readline()
    if not line:
        raise BenchmarkError(f"the client has failed:\n{fleet.relayer.tail()}")
    result: dict[str, Any] = json.loads(line)
    if result["refused"]:
        raise BenchmarkError(f"{result['refused']} relays refused: {result['first_refusal']}")
    latencies: list[float] = result["latencies_ms"]
    after_level = RingCost.measure(requests)
    level = Level(
        connections=connections,
        relays=len(latencies),
        seconds=result["seconds"],
        latencies_ms=latencies,
        relayer_cpu_us=spent / len(latencies) * 1e6,
        client_cpu_us=result["cpu_seconds"] / result["sent"] * 1e6,
        ring_us=RingCost(
            statistics.mean((before_level.plain, after_level.plain)),
            statistics.mean((before_level.hot, after_level.hot)),
        ),
    )
    return level, result["sent"]


def _idle_share(fleet: Fleet) -> float:
    """CPU seconds that the miner spends per second with nothing to do."""
    before = fleet.miner.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    return (fleet.miner.cpu_seconds() - before) / IDLE_SECONDS


def _drain(fleet: Fleet, idle: float) -> None:
    """Wait until the miner is as idle as it was before."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while _idle_share(fleet) > idle + 0.02:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the miner does not catch up:\n{fleet.miner.tail()}")
