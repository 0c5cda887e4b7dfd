"""The load tester itself: how much it drives from one core, and whether its figures are true.

It loads a relayer that does nothing but answer. Its latencies are held against those of
`benchmarks.load_client`, which shares no line with it: raw sockets, `epoll`, no checks. For that
the relayer takes 5 to 25 ms, the same ones for both.

    python -m benchmarks.load_tester [SECONDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from rich.console import Console

from benchmarks.corpus import http_corpus
from benchmarks.figures import Figure, at_least, at_most, table
from benchmarks.load_client import WARM_UP_SECONDS, write_corpus
from benchmarks.open_loop import drive
from benchmarks.processes import ROOT, BenchmarkError, environment
from benchmarks.sample import Parties, request_payload, response_payload
from relayminer.gateway.corpus import Target
from relayminer.protocol.codec import encode
from relayminer.protocol.relay import sign_response

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
CONNECTIONS = 20
LEAST_MS, MOST_MS = 5.0, 25.0
EXPECTED_PER_SECOND = 12_000
MIN_PER_SECOND = 3_000
ROUNDS = 3
MAX_P50_SHARE, MAX_P99_SHARE = 0.05, 0.20


def load_tester_figures(*, seconds: float, console: Console) -> list[Figure]:
    """Pace on one core, then agreement."""
    with tempfile.TemporaryDirectory(prefix="relayminer-tester-") as name:
        directory = Path(name)
        return [*_pace(directory, seconds, console), *_agreement(directory, seconds, console)]


def _pace(directory: Path, seconds: float, console: Console) -> list[Figure]:
    """Everything that the tester does, checks included, on one core; the relayer on the others."""
    console.print("load tester: as fast as it goes, on one core ...")
    cores = sorted(os.sched_getaffinity(0))
    with _null_relayer(directory, cores[1:]) as port:
        os.sched_setaffinity(0, cores[:1])
        try:
            began = time.process_time()
            count = int(EXPECTED_PER_SECOND * min(seconds, 4.0))
            url = f"http://{HOST}:{port}"
            results = trio.run(drive, [_target()], url, count, 0.0, CONNECTIONS)
            spent = time.process_time() - began
        finally:
            os.sched_setaffinity(0, cores)
    if results.errors:
        raise BenchmarkError(f"the load tester complains: {results.errors.most_common(3)}")
    rate = results.sent / results.seconds
    return [
        at_least("load_tester_relays_per_s", rate, "1/s", MIN_PER_SECOND),
        Figure("load_tester_cpu_us", spent / results.sent * 1e6, "us"),
    ]


def _agreement(directory: Path, seconds: float, console: Console) -> list[Figure]:
    """Percentiles of the same relayer by this tester and by the independent client."""
    console.print("load tester: beside an independent client ...")
    each = seconds / ROUNDS
    count = int(CONNECTIONS / ((LEAST_MS + MOST_MS) / 2000) * each)
    ours, theirs = [], []
    # In turn: what else the machine does meets both.
    for _ in range(ROUNDS):
        with _null_relayer(directory, (), str(LEAST_MS), str(MOST_MS)) as port:
            url = f"http://{HOST}:{port}"
            ours.append(trio.run(drive, [_target()], url, count, 0.0, CONNECTIONS).latencies)
        with _null_relayer(directory, (), str(LEAST_MS), str(MOST_MS)) as port:
            theirs.append(_independent(directory, port, count, each))
    figures = []
    for percent, bound in ((50, MAX_P50_SHARE), (99, MAX_P99_SHARE)):
        mine = statistics.median(one.percentile(percent) * 1000 for one in ours)
        other = statistics.median(one[percent - 1] for one in theirs)
        figures += [
            Figure(f"load_tester_p{percent}_ms", mine, "ms"),
            Figure(f"independent_client_p{percent}_ms", other, "ms"),
            at_most(f"load_tester_p{percent}_off", abs(mine / other - 1), "", bound),
        ]
    return figures


def _independent(directory: Path, port: int, count: int, seconds: float) -> list[float]:
    """Percentiles 1 to 99 in milliseconds."""
    corpus = directory / "corpus"
    more = int(count * (1 + WARM_UP_SECONDS / seconds) * 1.2)
    write_corpus(corpus, http_corpus([_target()], f"{HOST}:{port}", more))
    words = [HOST, str(port), str(CONNECTIONS), str(seconds), str(corpus), "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load_client", *words],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return statistics.quantiles(found["latencies_ms"], n=100)


def _target() -> Target:
    parties = Parties()
    return Target(
        parties.header.SerializeToString(),
        parties.supplier.address,
        parties.ring,
        parties.gateway.export_secret(),
        request_payload(0),
    )


@contextmanager
def _null_relayer(
    directory: Path, cores: list[int] | tuple[int, ...], *times: str
) -> Iterator[int]:
    """A relayer that does nothing; its port."""
    parties = Parties()
    answer = directory / "answer"
    answer.write_bytes(encode(sign_response(parties.header, response_payload(), parties.supplier)))
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.null_backend", str(answer), *times],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            if not line.strip().isdigit():
                raise BenchmarkError("the null relayer has not started")
            if cores:
                os.sched_setaffinity(process.pid, cores)
            yield int(line)
        finally:
            process.terminate()


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    console = Console()
    console.print(table(load_tester_figures(seconds=seconds, console=console)))


if __name__ == "__main__":
    main()
