"""Dashboards made for the Go implementation: a name works, or the page says what does."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from tests.observability.declared import declared
from tests.observability.go_names import GO_METRICS
from tests.observability.test_table import PAGE

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE: Final = "| Go metric | Look at |\n|---|---|\n"
UNBOUNDED: Final = {"session_id", "height"}
"""Labels that no metric of ours has, whatever Go's has."""
OF_LIBRARIES: Final = re.compile("(process|python)_[a-z_]+")


def elsewhere() -> dict[str, list[str]]:
    """Patterns of Go names that are not here, and the metrics that the page names instead."""
    _, _, rows = PAGE.read_text(encoding="utf-8").partition(ELSEWHERE)
    found = {}
    for row in rows.split("\n\n", 1)[0].splitlines():
        gone, instead = row.strip("| ").split(" | ")
        names = re.findall("`([a-z0-9_]+)`", instead)
        found.update(dict.fromkeys(re.findall("`([a-z0-9_*]+)`", gone), names))
    return found


async def test_every_go_name_is_here_or_the_page_says_what_is(tmp_path: Path) -> None:
    """In one of the two, never in both; and no row of the page is about nothing."""
    ours = {one.name for one in await declared(tmp_path)}
    patterns = elsewhere()
    for name in GO_METRICS:
        told = [one for one in patterns if fnmatchcase(name, one)]
        assert (name in ours) != bool(told), (name, told)
    for pattern in patterns:
        known = any(fnmatchcase(name, pattern) for name in GO_METRICS)
        assert known or pattern == "ha_observability_*", pattern


async def test_names_that_are_the_same_have_the_same_labels(tmp_path: Path) -> None:
    """A query that asks by a label finds it, unless there would be no end of its values."""
    for one in await declared(tmp_path):
        if one.name in GO_METRICS:
            assert set(one.labels) == GO_METRICS[one.name] - UNBOUNDED, one.name


async def test_what_the_page_names_instead_is_there(tmp_path: Path) -> None:
    """Nobody is sent to a metric that does not exist."""
    ours = {one.name for one in await declared(tmp_path)}
    for pattern, names in elsewhere().items():
        for name in names:
            if name.startswith(("ha_", "relayminer_")):
                assert name in ours, (pattern, name)
            elif "_" in name and name != "flush_pipeline":
                assert OF_LIBRARIES.fullmatch(name), (pattern, name)
