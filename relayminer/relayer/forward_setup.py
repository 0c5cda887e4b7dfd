"""Builds what stands between a service's relays and its backends, from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.relayer.forward import Forwarder
from relayminer.relayer.forward_budget import RetryBudget
from relayminer.relayer.forward_hedge import Hedge
from relayminer.relayer.forward_traffic import Traffic
from relayminer.relayer.lanes import Lanes
from relayminer.relayer.queue_fair import FairQueue
from relayminer.relayer.response_cache import ResponseCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.settings import BackendSettings, RelayerSettings, ServiceSettings
    from relayminer.relayer.metrics import RelayerMetrics


def forwarder_of(
    settings: RelayerSettings, metrics: RelayerMetrics, make: type[Forwarder] = Forwarder
) -> Forwarder:
    """Sends relays to backends, within the relayer's budget of retries."""
    budget = RetryBudget(
        settings.retry_budget_ratio,
        settings.retry_budget_reserve,
        metrics.retries,
        metrics.retries_refused,
    )
    return make(metrics, budget)


def traffic_of(
    service: str,
    settings: ServiceSettings,
    metrics: RelayerMetrics,
    clock: Callable[[], float],
    height: Callable[[], int],
) -> Traffic | None:
    """The service's limits, lanes and cache; None when it has none of them."""
    admission = settings.admission
    queue = lanes = cache = None
    if admission.max_in_flight:
        queue = FairQueue(
            max_in_flight=admission.max_in_flight,
            max_waiting=admission.max_waiting,
            max_wait_seconds=admission.max_wait_seconds,
            clock=clock,
        )
    if settings.lanes:
        lanes = Lanes(settings.lanes, clock, height)
    if settings.response_cache.methods:
        cache = ResponseCache(settings.response_cache, clock)
    if queue is None and lanes is None and cache is None:
        return None
    return Traffic(
        service, queue=queue, lanes=lanes, cache=cache, fair_by=admission.fair_by, metrics=metrics
    )


def hedge_of(settings: BackendSettings) -> Hedge | None:
    """The backend's hedging; None when it is off, or has nobody else to ask."""
    hedging = settings.hedging
    if not hedging.methods or len(settings.urls) < 2:  # noqa: PLR2004 - one and another one
        return None
    return Hedge(hedging.methods, hedging.after_seconds)
