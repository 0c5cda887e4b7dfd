"""The blocks of the documentation's pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@frozen
class Block:
    """A fenced block: its page, its language and its text."""

    page: str
    language: str
    text: str


def pages() -> list[Path]:
    """Everything that people read first."""
    return [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    ]


def blocks(language: str) -> list[Block]:
    """The blocks of all pages in `language`."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        name = str(page.relative_to(REPOSITORY))
        found += [Block(name, *match) for match in _FENCE.findall(text)]
    return [block for block in found if block.language == language]


def commands(block: Block) -> list[str]:
    """The command lines of a `sh` block, without their comments; continued ones are one."""
    text = re.sub(r"\s*\\\n\s*", " ", block.text)
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
