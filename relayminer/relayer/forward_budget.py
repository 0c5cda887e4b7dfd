"""How many retries all relays together may cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Counter


class RetryBudget:
    """Every relay earns a share of a retry; a retry, or a hedge, spends a whole one.

    When a backend is down for good, retries would double the load on what is left; the budget
    keeps them at `ratio` of the relays.

    Args:
        ratio: retries per relay in the long run.
        reserve: retries that may be saved up; with few relays they are all there is.
        spent: counts retries.
        refused: counts those for which nothing was left.
    """

    __slots__ = ("_ratio", "_refused", "_reserve", "_spent", "_tokens")

    def __init__(self, ratio: float, reserve: float, spent: Counter, refused: Counter) -> None:
        self._ratio = ratio
        self._reserve = max(reserve, 1.0) if ratio else 0.0
        self._tokens = self._reserve
        self._spent = spent
        self._refused = refused

    def earn(self) -> None:
        """One more relay."""
        self._tokens = min(self._tokens + self._ratio, self._reserve)

    def spend(self) -> bool:
        """Whether one more retry is allowed; it is then counted."""
        if self._tokens < 1.0:
            self._refused.value += 1
            return False
        self._tokens -= 1.0
        self._spent.value += 1
        return True
