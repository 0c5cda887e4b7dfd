"""A high dynamic range histogram: percentiles of any number of latencies in a little memory.

Values are kept to within a thousandth of themselves: 1,024 or more buckets for each doubling, as
HdrHistogram does it with three digits.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUB_BITS = 10
_SUB_BUCKETS = 1 << _SUB_BITS
_NANOSECONDS = 1_000_000_000
_PERCENT = 100.0


class Histogram:
    """Latencies in seconds.

    Attributes:
        count: how many.
        minimum, maximum: exact; 0 while there are none.
    """

    __slots__ = ("_buckets", "_total", "count", "maximum", "minimum")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._total = 0.0
        self.count = 0
        self.minimum = 0.0
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        """One more; less than 0 counts as 0."""
        seconds = max(seconds, 0.0)
        self._buckets[_bucket(int(seconds * _NANOSECONDS))] += 1
        self._total += seconds
        self.minimum = min(self.minimum, seconds) if self.count else seconds
        self.maximum = max(self.maximum, seconds)
        self.count += 1

    def merge(self, others: Iterable[Histogram]) -> None:
        """Add what others hold."""
        for other in others:
            if other.count:
                smaller = min(self.minimum, other.minimum)
                self.minimum = smaller if self.count else other.minimum
                self.maximum = max(self.maximum, other.maximum)
                self.count += other.count
                self._total += other._total  # noqa: SLF001 - one of us
                self._buckets.update(other._buckets)  # noqa: SLF001 - one of us

    @property
    def mean(self) -> float:
        """Seconds; 0 while there are none."""
        return self._total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that `percent` of all are not above, in seconds; 0 while there are none."""
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(percent / _PERCENT * self.count))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                found = _middle(bucket) / _NANOSECONDS
                return min(max(found, self.minimum), self.maximum)
        return self.maximum


def _bucket(value: int) -> int:
    """The bucket of a number of nanoseconds: exact below 2,048, then by its 11 highest bits."""
    shift = max(0, value.bit_length() - _SUB_BITS - 1)
    return (shift << (_SUB_BITS + 1)) + (value >> shift)


def _middle(bucket: int) -> float:
    shift, top = bucket >> (_SUB_BITS + 1), bucket & (2 * _SUB_BUCKETS - 1)
    return (top << shift) + ((1 << shift) - 1) / 2
