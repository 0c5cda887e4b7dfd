"""Which of several endpoints is the best: moving averages of latency and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.relayer.pool import Endpoint

_WEIGHT: Final = 0.1
"""Of the newest observation: about the last twenty count."""
_ERROR_PENALTY: Final = 20.0
_LEAST_SECONDS: Final = 0.001
"""Faster is not better, and what was never asked is as good as the best."""


class Rank:
    """Moving averages of one endpoint.

    Attributes:
        latency_seconds: of good answers; 0 before the first.
        error_share: of all outcomes, from 0 to 1.
    """

    __slots__ = ("error_share", "latency_seconds")

    def __init__(self) -> None:
        self.latency_seconds = 0.0
        self.error_share = 0.0

    def observe(self, seconds: float) -> None:
        """A good answer after `seconds`."""
        if self.latency_seconds:
            self.latency_seconds += _WEIGHT * (seconds - self.latency_seconds)
        else:
            self.latency_seconds = seconds
        self.error_share -= _WEIGHT * self.error_share

    def fail(self) -> None:
        """No good answer."""
        self.error_share += _WEIGHT * (1.0 - self.error_share)

    def cost(self, in_flight: int) -> float:
        """What a relay more would suffer there; lower is better."""
        seconds = max(self.latency_seconds, _LEAST_SECONDS)
        return seconds * (1.0 + in_flight) * (1.0 + _ERROR_PENALTY * self.error_share)


def best(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The endpoint of the lowest cost; of equals the first."""
    return min(endpoints, key=lambda one: one.rank.cost(one.http.in_flight))
