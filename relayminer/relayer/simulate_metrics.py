"""Metrics of simulated relays (relayer.md 13); ordinary relays' counters never move for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics


class SimulationMetrics:
    """Of all transports."""

    def __init__(self, metrics: Metrics) -> None:
        self._relays = metrics.counter(
            "ha_relayer_simulated_relays",
            "Simulated relays by outcome",
            ("transport", "service", "supplier", "result"),
        )
        self._seconds = metrics.histogram(
            "ha_relayer_simulated_relay_duration_seconds",
            "Simulated relays over HTTP, from arrival to answer",
            ("transport", "service"),
        )

    def count(self, transport: str, service: str, supplier: str, result: str) -> None:
        """One more."""
        self._relays.bind(transport, service, supplier, result).value += 1

    def observe(self, transport: str, service: str, seconds: float) -> None:
        """How long one over HTTP took."""
        self._seconds.bind(transport, service).observe(seconds)
