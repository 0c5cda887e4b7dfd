"""Ledgers as files: one line per entry, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from relayminer.story.entries import Entry

COLUMNS: Final = (
    *("supplier", "time_utc", "step", "session_id", "service_id", "application_address"),
    *("session_start_height", "session_end_height", "height", "relays", "compute_units"),
    *("reason", "verdict", "state", "tx_hash", "root", "fee_upokt", "submission_fee_upokt"),
    *("consumed_upokt", "budget_upokt", "reward_upokt", "cost_upokt", "claimed_upokt"),
    *("settled_upokt", "minted_upokt", "earned_upokt", "overservicing_loss_upokt"),
    *("deflation_loss_upokt", "lost_upokt", "penalty_upokt", "stake_after_upokt"),
    *("proof_status", "requirement", "entry_id"),
)
"""Columns of CSV, the same in every export; what else an entry says is in the last one."""
REST: Final = "other"

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON object per entry and line."""
    for entry in entries:
        yield json.dumps(entry.as_json()) + "\n"


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """A heading, then one line per entry."""
    yield _row([*COLUMNS, REST])
    for entry in entries:
        value = entry.as_json()
        rest = {name: item for name, item in value.items() if name not in COLUMNS and name != "id"}
        cells = [_cell(value.get(name)) for name in COLUMNS]
        yield _row([*cells, json.dumps(rest) if rest else ""])


def _cell(value: Any) -> str:
    """A cell that a spreadsheet shows and does not calculate."""
    if value is None:
        return ""
    text = str(value)
    is_number = isinstance(value, int | float)
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
