"""Hits and misses of the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.telemetry.metrics import LATENCY_SECONDS

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Counter, Gauge, Histogram, Metrics

SLOW = 1.5
"""Block times after which a block is late."""
_REFRESH_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATENCY_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)


@frozen
class OneCacheMetrics:
    """The counters of one cache type."""

    memory_hits: Counter
    store_hits: Counter
    memory_misses: Counter
    store_misses: Counter
    chain_answers: Counter
    chain_silences: Counter
    store_errors: Counter
    chain_queries: Counter
    chain_errors: Counter
    stale: Counter
    oldest: Gauge
    store_seconds: Histogram
    chain_seconds: Histogram
    query_seconds: Histogram
    forgotten: Counter


class CacheMetrics:
    """The counters of all cache types."""

    def __init__(self, metrics: Metrics) -> None:
        self._hits = metrics.counter(
            "ha_cache_hits", "Values found in a cache", ("cache_type", "level")
        )
        self._misses = metrics.counter(
            "ha_cache_misses",
            "Values not found: l1 in memory, l2 in the store; l3 told by the chain, l3_error not",
            ("cache_type", "level"),
        )
        self._errors = metrics.counter(
            "ha_cache_store_errors", "Store reads and writes that failed", ("cache_type",)
        )
        self._queries = metrics.counter(
            "ha_cache_chain_queries", "Values asked from the chain", ("query_type",)
        )
        self._query_errors = metrics.counter(
            "ha_cache_chain_query_errors", "Failed questions to the chain", ("query_type",)
        )
        self._stale = metrics.counter(
            "ha_cache_stale", "Old values served because the chain was away", ("cache_type",)
        )
        self._latency = metrics.histogram(
            "ha_cache_get_latency_seconds",
            "Values that memory had not, by who had them: l2 the store, l3 the chain",
            ("cache_type", "level"),
            _LATENCY_SECONDS,
        )
        self._query_seconds = metrics.histogram(
            "ha_cache_chain_query_latency_seconds",
            "What the chain took to answer, or not to answer",
            ("query_type",),
            LATENCY_SECONDS,
        )
        self._forgotten = metrics.counter(
            "ha_cache_invalidations",
            "Messages that a value, or all of them, has changed",
            ("cache_type", "source"),
        )
        self._oldest = metrics.gauge(
            "ha_cache_oldest_seconds",
            "Age of the value that is in memory for longest",
            ("cache_type",),
        )

    def of(self, cache_type: str) -> OneCacheMetrics:
        """The counters of `cache_type`."""
        return OneCacheMetrics(
            self._hits.bind(cache_type, "l1"),
            self._hits.bind(cache_type, "l2"),
            self._misses.bind(cache_type, "l1"),
            self._misses.bind(cache_type, "l2"),
            self._misses.bind(cache_type, "l3"),
            self._misses.bind(cache_type, "l3_error"),
            self._errors.bind(cache_type),
            self._queries.bind(cache_type),
            self._query_errors.bind(cache_type),
            self._stale.bind(cache_type),
            self._oldest.bind(cache_type),
            self._latency.bind(cache_type, "l2"),
            self._latency.bind(cache_type, "l3"),
            self._query_seconds.bind(cache_type),
            self._forgotten.bind(cache_type, "pubsub"),
        )


class HeightMetrics:
    """What this process hears of blocks, and how fast they come.

    Args:
        metrics: where it is declared.
        block_seconds: how far blocks are said to be apart.
    """

    def __init__(self, metrics: Metrics, block_seconds: float) -> None:
        self._block_seconds = block_seconds
        self._before: tuple[int, int] | None = None
        metrics.gauge(
            "ha_miner_configured_block_time_seconds",
            "What the configuration says: chain.block_time_seconds",
        ).bind().value = block_seconds
        self._interval = metrics.gauge(
            "ha_miner_current_block_interval_seconds",
            "Between the last two blocks that were seen, by their own times",
        ).bind()
        self._slow = metrics.counter(
            "ha_miner_fullnode_slow_blocks",
            "Blocks that came later than one and a half block times after the one before",
        ).bind()
        self._slow_in_a_row = metrics.gauge(
            "ha_miner_fullnode_slow_blocks_consecutive", "Of these the last ones without a break"
        ).bind()
        self.height = metrics.gauge(
            "ha_cache_current_block_height", "Height by which caches and relays are judged"
        ).bind()
        self.heard = metrics.counter(
            "ha_cache_block_events_received", "Blocks heard of through the store"
        ).bind()

    def block(self, height: int, time_ns: int) -> None:
        """A block of our own node."""
        before, self._before = self._before, (height, time_ns)
        if before is None or height <= before[0]:
            return
        blocks = height - before[0]
        seconds = (time_ns - before[1]) / 1e9 / blocks
        self._interval.value = seconds
        if seconds > SLOW * self._block_seconds:
            self._slow.value += blocks
            self._slow_in_a_row.value += blocks
        else:
            self._slow_in_a_row.value = 0


class LeaderMetrics:
    """Who leads, by the names of the Go miner."""

    def __init__(self, metrics: Metrics, instance: str) -> None:
        labels = ("instance",)
        self._status = metrics.gauge(
            "ha_miner_leader_status", "1 while this process leads.", labels
        ).bind(instance)
        self._elections = metrics.counter(
            "ha_miner_leader_elections", "Times that this process began to lead.", labels
        ).bind(instance)
        self._losses = metrics.counter(
            "ha_miner_leader_losses", "Times that this process led no more.", labels
        ).bind(instance)
        self._failures = metrics.counter(
            "ha_miner_leader_acquisition_failures",
            "Times that the store did not say who leads.",
            (*labels, "reason"),
        )
        self._instance = instance
        self._keeping = metrics.gauge(
            "ha_cache_orchestrator_leader_status", "1 while this process keeps the shared caches"
        ).bind()
        self._refreshes = metrics.counter(
            "ha_cache_orchestrator_refreshes", "Rounds of the leader over the caches", ("result",)
        )
        self._refresh_seconds = metrics.histogram(
            "ha_cache_orchestrator_refresh_duration_seconds",
            "Complete rounds of the leader over the caches",
            bounds=_REFRESH_SECONDS,
        ).bind()
        self.published = metrics.counter(
            "ha_cache_block_events_published", "Blocks that this process told the others of"
        ).bind()

    def elected(self) -> None:
        """This process leads."""
        self._status.value = self._keeping.value = 1
        self._elections.value += 1

    def lost(self) -> None:
        """It leads no more."""
        self._status.value = self._keeping.value = 0
        self._losses.value += 1

    def not_reached(self, *, full: bool) -> None:
        """The store did not say who leads; `full`: for want of memory."""
        self._failures.bind(self._instance, "redis_oom" if full else "redis_error").value += 1

    def refreshed(self, seconds: float, *, complete: bool) -> None:
        """A round over the caches has ended."""
        self._refreshes.bind("success" if complete else "failure").value += 1
        if complete:
            self._refresh_seconds.observe(seconds)
