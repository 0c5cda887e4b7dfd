"""What a load test found, for people and for programs (operations.md 1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from relayminer.gateway.histogram import Histogram
    from relayminer.gateway.load import Results

SHOWN_ERRORS: Final = 10
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)


def report(results: Results) -> RenderableType:
    """Counts, rates, latencies of good relays, suppliers, and what went wrong."""
    parts: list[RenderableType] = [_summary(results)]
    if results.good:
        parts.append(_latency_table(results))
    if results.errors:
        parts.append(_errors(results))
    return Group(*parts)


def _summary(results: Results) -> Table:
    table = Table(title="Load Test Results", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    rate = results.sent / results.seconds if results.seconds else 0.0
    for name, value in (
        ("total requests", f"{results.sent:,}"),
        ("successful", f"{results.good:,}"),
        ("errors", f"{results.sent - results.good:,}"),
        ("success rate", f"{results.success_percent:.2f} %"),
        ("duration", f"{results.seconds:.3f} s"),
        ("throughput", f"{rate:,.2f} relays/s"),
    ):
        table.add_row(name, value)
    return table


def _latency_table(results: Results) -> Table:
    table = Table(title="Latency of successful relays, ms", title_justify="left")
    table.add_column("supplier")
    for name in ("relays", "good", "min", *(f"p{percent:g}" for percent in PERCENTILES), "max"):
        table.add_column(name, justify="right")
    rows = [("all", results.sent, results.good, results.latencies)]
    if len(results.by_supplier) > 1:
        rows += [
            (supplier, tally.sent, tally.good, tally.latencies)
            for supplier, tally in sorted(results.by_supplier.items())
        ]
    for name, sent, good, latencies in rows:
        values = _milliseconds(latencies).values()
        table.add_row(name, f"{sent:,}", f"{good:,}", *(f"{value:.2f}" for value in values))
    return table


def _errors(results: Results) -> RenderableType:
    lines = ["Errors"]
    lines += [
        f"  {count}: {message}" for message, count in results.errors.most_common(SHOWN_ERRORS)
    ]
    more = len(results.errors) - SHOWN_ERRORS
    if more > 0:
        lines.append(f"  and {more} more distinct messages")
    return Text("\n".join(lines))


def _milliseconds(latencies: Histogram) -> dict[str, float]:
    """Minimum, percentiles and maximum."""
    found = {"min": latencies.minimum}
    found |= {f"p{percent:g}": latencies.percentile(percent) for percent in PERCENTILES}
    found["max"] = latencies.maximum
    return {name: round(seconds * 1000, 3) for name, seconds in found.items()}


def as_json(results: Results) -> dict[str, Any]:
    """For programs."""
    return {
        "total": results.sent,
        "successful": results.good,
        "errors": results.sent - results.good,
        "success_percent": round(results.success_percent, 4),
        "duration_seconds": round(results.seconds, 6),
        "throughput_per_second": round(
            results.sent / results.seconds if results.seconds else 0.0, 3
        ),
        "latency_ms": _milliseconds(results.latencies),
        "suppliers": {
            supplier: {
                "total": tally.sent,
                "successful": tally.good,
                "latency_ms": _milliseconds(tally.latencies),
            }
            for supplier, tally in sorted(results.by_supplier.items())
        },
        "error_messages": dict(results.errors.most_common()),
    }
