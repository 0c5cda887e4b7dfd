"""The table of metrics in the docs: made from the code, and true of a running process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.observability.declared import declared

if TYPE_CHECKING:
    import pytest

    from relayminer.telemetry.metrics import Described
    from tests.observability.conftest import Watched

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
OPTIONAL = {
    "relayminer_workers": "relayer.workers",
    "relayminer_worker_restarts_total": "relayer.workers",
    "relayminer_notices_total": "notify.webhook_url",
    "relayminer_trace_spans_total": "tracing.enabled",
    "relayminer_trace_spans_waiting": "tracing.enabled",
    "relayminer_shadow_entries_copied_total": "miner.shadow",
    "relayminer_shadow_claims_total": "miner.shadow",
    "relayminer_shadow_leaves_difference": "miner.shadow",
    "ha_relayer_simulated_relays_total": "relayer.simulation",
    "ha_relayer_simulated_relay_duration_seconds": "relayer.simulation",
    "ha_relayer_replay_filter_requests": "relayer.refuse_replays",
}
"""Metrics that are there when a setting asks for them."""
HEADING = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"


def table(rows: list[Described]) -> str:
    """The table's lines."""
    lines = []
    for one in rows:
        meaning = one.text.rstrip(".").replace("|", "\\|")
        if one.name in OPTIONAL:
            meaning += f" (with `{OPTIONAL[one.name]}`)"
        labels = ", ".join(f"`{label}`" for label in one.labels) or "-"
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {meaning} |\n")
    return "".join(lines)


async def test_the_page_is_what_the_code_declares(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Who adds a metric writes the page anew; nobody edits the table by hand."""
    words, heading, rows = PAGE.read_text(encoding="utf-8").partition(HEADING)
    assert heading
    text = table(await declared(tmp_path))
    if request.config.getoption("--write-docs"):
        PAGE.write_text(words + heading + text, encoding="utf-8")
        rows = text
    assert rows == text


async def test_a_running_process_shows_the_table_and_nothing_else(
    watched: Watched, tmp_path: Path
) -> None:
    """Both ways: what is shown is in the table, and all of the table is shown."""
    rows = await declared(tmp_path)
    kinds = {one.name: one.kind for one in rows}
    assert watched.exposed.families == {
        name: kind for name, kind in kinds.items() if name not in OPTIONAL
    }
    labels = {one.name: set(one.labels) for one in rows}
    for name, found in watched.exposed.samples.items():
        family = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name not in labels:
                family = name.removesuffix(suffix) if name.endswith(suffix) else family
        assert found - {"le"} == labels[family], name


async def test_new_names_say_whose_they_are_and_no_label_is_unbounded(tmp_path: Path) -> None:
    """Every name has one of the two prefixes; no label names a session or a relay."""
    for one in await declared(tmp_path):
        assert one.name.startswith(("ha_", "relayminer_")), one.name
        assert not {"session_id", "relay", "tx_hash", "height"} & set(one.labels), one.name
        assert one.text, one.name
