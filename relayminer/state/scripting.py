"""Lua scripts: each in a file of its own under `scripts/`, loaded once by name."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ARGUMENTS: Final = 4000
"""Arguments of one command in a long list of commands; Lua's own limit is about 8,000."""

Item = TypeVar("Item")


@attrs.frozen
class Script:
    """A script's text and the SHA-1 by which the server knows it."""

    text: str = attrs.field(repr=False)
    digest: str


def load_script(*names: str) -> Script:
    """The script of the files `scripts/<name>.lua` of this package, one after another."""
    folder = resources.files(__package__).joinpath("scripts")
    text = "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)
    # SHA-1 is the server's name for a script, nothing is secured by it.
    return Script(text=text, digest=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def chunks(items: Sequence[Item], size: int = MAX_ARGUMENTS) -> Iterator[Sequence[Item]]:
    """`items` in pieces of at most `size`, for commands whose argument lists must stay short."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
