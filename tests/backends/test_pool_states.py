"""How an endpoint goes out and comes back: breaker, single trials, probes, lag, ranks."""

from __future__ import annotations

from relayminer.net.client import HttpPool
from relayminer.net.url import parse_backend_url
from relayminer.net.watchdog import Watchdog
from relayminer.relayer.forward_budget import RetryBudget
from relayminer.relayer.pool import FIRST_HEALTHY, RANKED, BackendPool, Endpoint
from relayminer.telemetry.metrics import Counter, Gauge

RECOVERY_SECONDS = 30.0


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def pool_of(count: int, clock: Clock, strategy: str = FIRST_HEALTHY) -> BackendPool:
    """A pool whose endpoints are left alone after two failures."""
    endpoints = []
    for n in range(count):
        url = parse_backend_url(f"http://h{n}")
        endpoints.append(Endpoint(f"h{n}", url, HttpPool(url.origin, Watchdog()), Gauge()))
    return BackendPool(
        "anvil",
        endpoints,
        strategy=strategy,
        unhealthy_threshold=2,
        recovery_seconds=RECOVERY_SECONDS,
        clock=clock,
    )


def break_down(pool: BackendPool, endpoint: Endpoint) -> None:
    """Let the breaker open."""
    pool.failed(endpoint, "x")
    pool.failed(endpoint, "x")


def test_one_relay_alone_tries_an_endpoint_again() -> None:
    """Half open is one relay, not all that come at that moment."""
    clock = Clock()
    pool = pool_of(2, clock)
    first, second = pool.endpoints
    break_down(pool, first)
    clock.now += RECOVERY_SECONDS
    assert [pool.pick() for _ in range(5)] == [first, second, second, second, second]
    assert first.state == "on_trial"
    assert first.health.value == 0
    pool.succeeded(first)
    assert [pool.pick(), first.state, first.health.value] == [first, "healthy", 1]


def test_a_trial_that_nobody_reports_is_given_again_later() -> None:
    """An endpoint is not lost when a transport forgets to say how it went."""
    clock = Clock()
    pool = pool_of(1, clock)
    break_down(pool, pool.endpoints[0])
    clock.now += RECOVERY_SECONDS
    assert pool.pick() is not None
    assert pool.pick() is None
    assert not pool.has_healthy
    clock.now += RECOVERY_SECONDS
    assert pool.pick() is not None


def test_a_trial_that_says_nothing_is_given_to_the_next_relay() -> None:
    """A client's mistake on trial does not keep the endpoint out."""
    clock = Clock()
    pool = pool_of(1, clock)
    endpoint = pool.endpoints[0]
    break_down(pool, endpoint)
    clock.now += RECOVERY_SECONDS
    assert pool.pick() is endpoint
    pool.released(endpoint)
    assert pool.pick() is endpoint
    pool.failed(endpoint, "x")
    pool.released(endpoint)
    assert pool.pick() is None


def test_timeouts_weigh_less_than_failures_and_a_success_forgets_them() -> None:
    """A client can ask what takes too long: it alone does not take an endpoint out."""
    pool = pool_of(1, Clock())
    endpoint = pool.endpoints[0]
    for _ in range(10):
        pool.timed_out(endpoint)
        pool.succeeded(endpoint)
    assert pool.has_healthy
    for _ in range(3):
        pool.timed_out(endpoint)
    assert pool.has_healthy
    pool.timed_out(endpoint)
    assert not pool.has_healthy


def test_a_recovery_time_of_zero_waits_for_a_probe() -> None:
    """1.6: no automatic recovery then."""
    clock = Clock()
    pool = pool_of(1, clock)
    pool._recovery_seconds = 0.0
    endpoint = pool.endpoints[0]
    break_down(pool, endpoint)
    clock.now += 1_000_000
    assert pool.pick() is None
    pool.succeeded(endpoint)
    assert pool.pick() is endpoint


def test_probes_take_out_and_bring_back() -> None:
    """10.4: after so many in a row, in both directions; time alone does not bring back."""
    clock = Clock()
    pool = pool_of(2, clock)
    first, second = pool.endpoints
    pool.probed(first, "status 500", 2, 2)
    assert pool.pick() is first
    pool.probed(first, "status 500", 2, 2)
    clock.now += RECOVERY_SECONDS * 2
    assert [pool.pick(), first.state] == [second, "probe_failed"]
    pool.probed(first, "", 2, 2)
    assert pool.pick() is second
    pool.probed(first, "", 2, 2)
    assert [pool.pick(), first.state] == [first, "healthy"]


def test_a_good_probe_allows_a_trial_but_is_none() -> None:
    """A health page that works does not prove that relays do."""
    pool = pool_of(1, Clock())
    endpoint = pool.endpoints[0]
    break_down(pool, endpoint)
    assert pool.pick() is None
    pool.probed(endpoint, "", 2, 1)
    assert [pool.pick(), pool.pick()] == [endpoint, None]
    pool.failed(endpoint, "x")
    assert pool.pick() is None


def test_reasons_add_up() -> None:
    """An endpoint that lags and fails comes back when both have passed, and is counted once."""
    clock = Clock()
    pool = pool_of(2, clock)
    first, second = pool.endpoints
    pool.lag_found(first, is_lagging=True, reason="20 behind")
    break_down(pool, first)
    pool.probed(first, "dead", 1, 1)
    pool.lag_found(first, is_lagging=False, reason="0 behind")
    pool.probed(first, "", 1, 1)
    clock.now += RECOVERY_SECONDS
    assert pool.pick() is first
    pool.succeeded(first)
    assert pool._troubled == 0
    break_down(pool, second)
    assert pool.has_healthy


def test_the_best_rank_gets_the_relays_and_the_others_are_not_forgotten() -> None:
    """Latency and errors decide; now and then somebody else is asked."""
    pool = pool_of(3, Clock(), RANKED)
    fast, slow, wrong = pool.endpoints
    for _ in range(20):
        pool.succeeded(fast, 0.01)
        pool.succeeded(slow, 0.04)
        pool.succeeded(wrong, 0.005)
        pool.failed(wrong, "x")
    picked = [pool.pick() for _ in range(320)]
    assert picked.count(fast) >= 310
    assert {slow, wrong} <= set(picked)
    for _ in range(40):
        pool.succeeded(fast, 1.0)
    assert [pool.pick() for _ in range(20)].count(slow) >= 19


def test_a_ranked_endpoint_gets_its_trial() -> None:
    """Bad marks do not keep an endpoint out for ever."""
    clock = Clock()
    pool = pool_of(2, clock, RANKED)
    first, second = pool.endpoints
    pool.succeeded(second, 0.01)
    break_down(pool, first)
    assert {pool.pick() for _ in range(50)} == {second}
    clock.now += RECOVERY_SECONDS
    assert pool.pick() is first
    assert pool.pick() is second


def test_a_busy_endpoint_ranks_lower() -> None:
    """Equal endpoints share the load."""
    pool = pool_of(2, Clock(), RANKED)
    first, second = pool.endpoints
    assert isinstance(first.http, HttpPool)
    first.http.in_flight = 3
    assert pool.pick() is second


def test_a_budget_of_nothing_allows_nothing() -> None:
    """`retry_budget_ratio: 0` switches retries off."""
    spent, refused = Counter(), Counter()
    budget = RetryBudget(0.0, 20, spent, refused)
    budget.earn()
    assert not budget.spend()
    assert (spent.value, refused.value) == (0, 1)


def test_a_budget_earns_a_share_of_each_relay() -> None:
    """Five relays earn a retry at a ratio of a fifth, and no more than the reserve is saved."""
    budget = RetryBudget(0.25, 2, Counter(), Counter())
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
