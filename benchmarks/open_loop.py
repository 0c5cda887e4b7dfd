"""Latency at a rate that does not ask whether earlier relays were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from benchmarks.figures import Figure, at_most
from benchmarks.processes import BenchmarkError
from relayminer.gateway.asking import ask
from relayminer.gateway.chain import Endpoint, OpenSession
from relayminer.gateway.corpus import sign_corpus
from relayminer.gateway.load import LoadTest, Results
from relayminer.gateway.modes import MODES, dialer
from relayminer.protocol.pb.session_pb2 import SessionHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.gateway.corpus import Target

RELAYS_PER_SECOND = 500.0
CONNECTIONS = 50
MAX_P99_MS = 10.0


def open_loop_figures(
    targets: Sequence[Target], url: str, seconds: float
) -> tuple[list[Figure], int]:
    """The figures, and how many relays were sent."""
    count = int(RELAYS_PER_SECOND * seconds)
    results = trio.run(drive, targets, url, count, RELAYS_PER_SECOND, CONNECTIONS)
    if results.errors:
        raise BenchmarkError(f"relays were refused: {results.errors.most_common(3)}")
    latencies = results.latencies
    return [
        Figure("open_loop_500_p50_ms", latencies.percentile(50) * 1000, "ms"),
        at_most("open_loop_500_p99_ms", latencies.percentile(99) * 1000, "ms", MAX_P99_MS),
    ], results.sent


async def drive(
    targets: Sequence[Target], url: str, count: int, rate: float, connections: int
) -> Results:
    """Sign, then send to one relayer, checking every answer; rate 0 is as fast as it answers."""
    corpus = await sign_corpus(targets, count)
    try:
        async with dialer() as dial:
            aims = [
                ask(MODES["jsonrpc"], _session(one), one.supplier, url=url).aim(dial)
                for one in targets
            ]
            test = LoadTest(aims, concurrency=connections, relays_per_second=rate)
            await test.run(corpus, count, is_over=lambda: False)
    finally:
        corpus.close()
    return test.results


def _session(target: Target) -> OpenSession:
    """As far as sending goes; the supplier's key is learnt from its signatures."""
    header = SessionHeader.FromString(target.header)
    endpoint = Endpoint(target.supplier, "", b"")
    return OpenSession(header, 1, target.ring, {target.supplier: endpoint})
