"""The passive breaker and the selection of endpoints."""

from __future__ import annotations

from relayminer.net.client import HttpPool
from relayminer.net.url import parse_backend_url
from relayminer.net.watchdog import Watchdog
from relayminer.relayer.pool import FIRST_HEALTHY, ROUND_ROBIN, BackendPool, Endpoint
from relayminer.telemetry.metrics import Gauge


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def pool_of(count: int, strategy: str, clock: Clock, threshold: int = 2) -> BackendPool:
    """A pool of `count` endpoints."""
    endpoints = []
    for n in range(count):
        url = parse_backend_url(f"http://h{n}")
        endpoints.append(Endpoint(f"h{n}", url, HttpPool(url.origin, Watchdog()), Gauge()))
    return BackendPool(
        "anvil",
        endpoints,
        strategy=strategy,
        unhealthy_threshold=threshold,
        recovery_seconds=30.0,
        clock=clock,
    )


def test_round_robin_starts_at_the_second_and_goes_round() -> None:
    """10.2: the counter moves before it is used."""
    pool = pool_of(3, ROUND_ROBIN, Clock())
    assert [pool.pick() for _ in range(4)] == [pool.endpoints[n] for n in (1, 2, 0, 1)]


def test_first_healthy_stays_with_the_first() -> None:
    """The order of the configuration is the order of preference."""
    pool = pool_of(2, FIRST_HEALTHY, Clock())
    assert {pool.pick() for _ in range(4)} == {pool.endpoints[0]}


def test_an_endpoint_that_fails_is_left_alone_and_tried_again() -> None:
    """Threshold, failover, probation after the recovery time, one failure is enough then."""
    clock = Clock()
    pool = pool_of(2, FIRST_HEALTHY, clock)
    first, second = pool.endpoints
    pool.failed(first, "x")
    assert pool.pick() is first
    pool.failed(first, "x")
    assert pool.pick() is second
    assert first.health.value == 0
    clock.now += 31
    assert pool.pick() is first
    pool.failed(first, "x")
    assert pool.pick() is second
    clock.now += 31
    assert pool.pick() is first
    pool.succeeded(first)
    pool.failed(first, "x")
    assert pool.pick() is first


def test_a_pool_without_a_healthy_endpoint_says_so() -> None:
    """Nothing is picked, and nothing is guessed."""
    pool = pool_of(2, ROUND_ROBIN, Clock(), threshold=1)
    for endpoint in pool.endpoints:
        pool.failed(endpoint, "x")
    assert not pool.has_healthy
    assert pool.pick() is None


def test_a_retry_never_goes_to_the_same_endpoint() -> None:
    """2.5: the first healthy one other than the one just used."""
    pool = pool_of(2, FIRST_HEALTHY, Clock())
    first, second = pool.endpoints
    assert pool.pick_other(first) is second
    assert pool.pick_other(second) is first
    assert pool_of(1, FIRST_HEALTHY, Clock()).pick_other(first) is not None
