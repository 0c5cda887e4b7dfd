"""Metrics whose hot path is an addition.

A relay touches a dozen metrics. prometheus_client takes a lock for each, which one Trio loop does
not need: here a counter is an object with a `value`, bound to its labels once, and the exposition
is made when somebody scrapes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from relayminer.telemetry.errors import TelemetryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LATENCY_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
SIZE_BYTES = (100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)
UNKNOWN = "unknown"
OVERFLOW = "other"
_MAX_CHILDREN = 2_000

Labels = tuple[str, ...]
Child = TypeVar("Child")


class Counter:
    """A number that only grows; add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Gauge:
    """A number that moves; set `value`, or give a function that reads it."""

    __slots__ = ("read", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.read: Callable[[], float] | None = None


class Histogram:
    """Counts of observations per bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as the exposition wants them."""
        running = 0
        out: list[tuple[str, float]] = []
        for bound, count in zip((*self._bounds, math.inf), self.counts, strict=True):
            running += count
            out.append(("+Inf" if bound == math.inf else repr(float(bound)), running))
        return out


@frozen
class Described:
    """What there is to know of a metric.

    Attributes:
        name: as the exposition has it; of a histogram without `_bucket`, `_sum`, `_count`.
        kind: counter, gauge or histogram.
    """

    name: str
    kind: str
    labels: Labels
    text: str


class _Family:
    kind = ""

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        self.name = name
        self.text = text
        self.labels = labels

    def metric(self) -> Metric:
        """The exposition form."""
        raise TelemetryError(f"metric {self.name} has no form")

    def described(self) -> Described:
        """Its line of the table of metrics."""
        suffix = "_total" if self.kind == "counter" else ""
        return Described(self.name + suffix, self.kind, self.labels, self.text)


class _Children(_Family):
    def _bind(self, known: dict[Labels, Child], values: Labels, make: Callable[[], Child]) -> Child:
        child = known.get(values)
        if child is not None:
            return child
        if len(values) != len(self.labels):
            raise TelemetryError(f"metric {self.name} has labels {self.labels}, not {values}")
        if len(known) >= _MAX_CHILDREN:
            values = (OVERFLOW,) * len(values)
        return known.setdefault(values, make())


class CounterFamily(_Children):
    """A counter per combination of labels.

    Attributes:
        read_all: instead of children: says all values when somebody scrapes, by label values.
    """

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        super().__init__(name, text, labels)
        self._known: dict[Labels, Counter] = {}
        self.read_all: Callable[[], Mapping[Labels, float]] | None = None

    def bind(self, *values: str) -> Counter:
        """The counter of these label values; keep it, do not look it up per relay."""
        return self._bind(self._known, values, Counter)

    def values(self) -> dict[Labels, float]:
        """What they are now, by label values."""
        found: dict[Labels, float] = {}
        if self.read_all is not None:
            found.update(islice(self.read_all().items(), _MAX_CHILDREN))
        for labels, child in self._known.items():
            found[labels] = child.value
        return found

    @property
    def total(self) -> float:
        """The sum over all label values."""
        return sum(child.value for child in self._known.values())

    def metric(self) -> Metric:
        """The exposition form."""
        return self.metric_as(self.name, self.labels)

    def metric_as(self, name: str, labels: Labels) -> Metric:
        """The exposition form under another name, its labels in the same order."""
        family = CounterMetricFamily(name, self.text, labels=labels)
        for values, value in self.values().items():
            family.add_metric(values, value)
        return family


class GaugeFamily(_Children):
    """A gauge per combination of labels.

    Attributes:
        read_all: instead of children: says all values when somebody scrapes, by label values.
    """

    kind = "gauge"

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        super().__init__(name, text, labels)
        self._known: dict[Labels, Gauge] = {}
        self.read_all: Callable[[], Mapping[Labels, float]] | None = None

    def bind(self, *values: str) -> Gauge:
        """The gauge of these label values."""
        return self._bind(self._known, values, Gauge)

    def metric(self) -> Metric:
        """The exposition form."""
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for values, value in self.values().items():
            family.add_metric(values, value)
        return family

    def values(self) -> dict[Labels, float]:
        """What they are now, by label values."""
        found: dict[Labels, float] = {}
        if self.read_all is not None:
            found.update(islice(self.read_all().items(), _MAX_CHILDREN))
        for labels, child in self._known.items():
            found[labels] = child.value if child.read is None else child.read()
        return found


class HistogramFamily(_Children):
    """A histogram per combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Labels, bounds: Sequence[float]) -> None:
        super().__init__(name, text, labels)
        self._bounds = tuple(bounds)
        self._known: dict[Labels, Histogram] = {}

    def bind(self, *values: str) -> Histogram:
        """The histogram of these label values."""
        return self._bind(self._known, values, lambda: Histogram(self._bounds))

    def metric(self) -> Metric:
        """The exposition form."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for values, child in self._known.items():
            family.add_metric(values, buckets=child.buckets(), sum_value=child.total)
        return family


class _Alias(_Family):
    """The counters of a family under a second name, for dashboards that know that one."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels, family: CounterFamily) -> None:
        super().__init__(name, family.text, labels)
        self._family = family

    def metric(self) -> Metric:
        """The exposition form."""
        return self._family.metric_as(self.name, self.labels)


class Metrics:
    """All metrics of a process, and their page.

    Attributes:
        recoveries: for whoever goes on after an exception that nobody foresaw.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.recoveries = self.counter(
            "ha_panic_recoveries",
            "Accidents that ended one thing and nothing else; the log has each with its traceback",
            ("component",),
        )

    def counter(self, name: str, text: str, labels: Labels = ()) -> CounterFamily:
        """Declare a counter; `name` without the `_total` of the exposition."""
        return self._declare(CounterFamily(name, text, labels))

    def gauge(self, name: str, text: str, labels: Labels = ()) -> GaugeFamily:
        """Declare a gauge."""
        return self._declare(GaugeFamily(name, text, labels))

    def histogram(
        self,
        name: str,
        text: str,
        labels: Labels = (),
        bounds: Sequence[float] = LATENCY_SECONDS,
    ) -> HistogramFamily:
        """Declare a histogram with upper bounds `bounds`."""
        return self._declare(HistogramFamily(name, text, labels, bounds))

    def alias(self, name: str, labels: Labels, family: CounterFamily) -> None:
        """Show `family` also as `name`; `labels` are the names of its labels there, in order.

        Raises:
            TelemetryError: not as many labels as `family` has.
        """
        if len(labels) != len(family.labels):
            raise TelemetryError(f"metric {family.name} has labels {family.labels}, not {labels}")
        self._declare(_Alias(name, labels, family))

    def values(self, name: str) -> dict[Labels, float]:
        """What the counters or gauges of a family are now; empty when nobody has declared it."""
        family = self._families.get(name)
        if not isinstance(family, CounterFamily | GaugeFamily):
            return {}
        return family.values()

    def table(self) -> list[Described]:
        """Every metric that was declared, by name."""
        return sorted((one.described() for one in self._families.values()), key=lambda d: d.name)

    def _declare(self, family: Child) -> Child:
        if not isinstance(family, _Family):
            raise TelemetryError("only metric families can be declared")
        if family.name in self._families:
            raise TelemetryError(f"metric {family.name} is declared twice")
        self._families[family.name] = family
        return family

    def collect(self) -> Iterable[Metric]:
        """What prometheus_client asks its collectors."""
        return [family.metric() for family in self._families.values()]

    def page(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)
