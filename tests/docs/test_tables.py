"""Tests that the pages name are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FILE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_NAME = re.compile(r"`(test_\w+)`")


def named_tests() -> set[tuple[str, str]]:
    """File and function of every test that a page names; a bare name is of the file before it."""
    named = set()
    for page in sorted(ROOT.glob("docs/*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            for cell in line.split("|"):
                found = _FILE.findall(cell)
                named.update(found)
                if found:
                    named.update((found[-1][0], name) for name in _NAME.findall(cell))
    return named


def test_the_tests_that_pages_name_exist() -> None:
    """A table that promises a test keeps it."""
    named = named_tests()
    assert len(named) > 30
    for file, name in sorted(named):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{file}::{name}"
