"""Measured figures: how they are printed and written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from attrs import frozen
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@frozen
class Figure:
    """One measured value.

    Attributes:
        name: what, ending as its unit does: `sign_us`.
        value: in `unit`.
        unit: `us`, `ms`, `1/s`, or empty for a ratio.
        bound: what it must keep to, in words; empty when nothing is asked.
        kept: whether it does; None when nothing is asked.
    """

    name: str
    value: float
    unit: str
    bound: str = ""
    kept: bool | None = None


def at_most(name: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that must not exceed `bound`."""
    return Figure(name, value, unit, f"<= {bound:g}", value <= bound)


def at_least(name: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that must reach `bound`."""
    return Figure(name, value, unit, f">= {bound:g}", value >= bound)


def table(figures: Sequence[Figure]) -> Table:
    """The figures with the machine they come from."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    shown = Table(title=f"{cores} cores; load averages {load}", title_justify="left")
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    shown.add_column("unit")
    shown.add_column("asked")
    for figure in figures:
        verdict = {None: "", True: "kept", False: "MISSED"}[figure.kept]
        shown.add_row(
            figure.name, _digits(figure.value), figure.unit, f"{figure.bound} {verdict}".strip()
        )
    return shown


def _digits(value: float) -> str:
    """Three significant digits at least, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:  # noqa: PLR2004 - three digits before the point
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_json(path: Path, figures: Sequence[Figure]) -> None:
    """Write `[{"name", "value", "unit"}]`."""
    rows = [
        {"name": figure.name, "value": round(figure.value, 6), "unit": figure.unit}
        for figure in figures
    ]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
