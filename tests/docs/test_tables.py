"""Tests that the pages name are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.observability.test_go_names import elsewhere

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


def test_the_architecture_names_every_package() -> None:
    """Each package and module at the top is in the table of layers, each package in the picture."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = page.partition("| layer |")[2].partition("\n\n")[0]
    picture = page.partition("```\n")[2].partition("```")[0]
    top = ROOT / "relayminer"
    packages = {path.parent.name for path in top.glob("*/__init__.py")}
    modules = {path.stem for path in top.glob("*.py") if not path.stem.startswith("__")}
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[2] for row in layers.splitlines())))
    assert packages | modules <= named
    assert packages <= set(re.findall(r"\w+", picture)) | {"plugin"}


def test_metrics_that_pages_name_are_in_the_table_of_metrics() -> None:
    """A name with one of our prefixes, whole, is one that a process shows."""
    table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram)", table, re.MULTILINE))
    for page in sorted(ROOT.glob("docs/*.md")):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:ha|relayminer)_\w*[a-z])(?:\{\w+\})?`", text):
            if name not in {"relayminer_plugins", "relayminer_framed"} | elsewhere().keys():
                assert name in shown, f"{page.name}: {name}"


def test_readme_leads_to_every_page() -> None:
    """Nothing is written that nobody finds."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in sorted(ROOT.glob("docs/*.md")):
        assert f"](docs/{page.name})" in text
