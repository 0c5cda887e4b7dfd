"""Hits and misses of the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Counter, Metrics


@frozen
class OneCacheMetrics:
    """The counters of one cache type."""

    memory_hits: Counter
    store_hits: Counter
    store_misses: Counter
    store_errors: Counter
    chain_queries: Counter
    chain_errors: Counter


class CacheMetrics:
    """The counters of all cache types."""

    def __init__(self, metrics: Metrics) -> None:
        self._hits = metrics.counter(
            "ha_cache_hits", "Values found in a cache", ("cache_type", "level")
        )
        self._misses = metrics.counter(
            "ha_cache_misses", "Values not found in a cache", ("cache_type", "level")
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

    def of(self, cache_type: str) -> OneCacheMetrics:
        """The counters of `cache_type`."""
        return OneCacheMetrics(
            self._hits.bind(cache_type, "l1"),
            self._hits.bind(cache_type, "l2"),
            self._misses.bind(cache_type, "l2"),
            self._errors.bind(cache_type),
            self._queries.bind(cache_type),
            self._query_errors.bind(cache_type),
        )
