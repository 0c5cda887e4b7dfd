"""One metrics page of several: every sample of a worker carries its number as a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LABEL = "worker"


def merged_page(own: bytes, others: Mapping[str, bytes]) -> bytes:
    """The samples of all pages, family by family.

    Args:
        own: the page of this process; its samples stay as they are.
        others: pages of other processes, by the value of their label `worker`.
    """
    families: dict[str, _Family] = {}
    _add(families, own.decode(), "")
    for worker, page in others.items():
        _add(families, page.decode(), f'{LABEL}="{worker}"')
    lines = [line for family in families.values() for line in family.lines()]
    return ("\n".join(lines) + "\n").encode()


class _Family:
    __slots__ = ("comments", "samples")

    def __init__(self) -> None:
        self.comments: dict[str, str] = {}
        self.samples: list[str] = []

    def lines(self) -> Iterable[str]:
        yield from self.comments.values()
        yield from self.samples


def _add(families: dict[str, _Family], page: str, label: str) -> None:
    family = _Family()
    for line in page.splitlines():
        if line.startswith("# "):
            _, kind, name, *_ = line.split(" ", 3)
            family = families.setdefault(name, _Family())
            family.comments.setdefault(kind, line)
        elif line:
            family.samples.append(_labelled(line, label) if label else line)


def _labelled(sample: str, label: str) -> str:
    # A name has neither a brace nor a space; label values may have both.
    brace, space = sample.find("{"), sample.find(" ")
    if 0 <= brace < space:
        return f"{sample[: brace + 1]}{label},{sample[brace + 1 :]}"
    return f"{sample[:space]}{{{label}}}{sample[space:]}"
