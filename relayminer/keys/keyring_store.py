"""What all places have in common where a Cosmos keyring may keep its items."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

ITEM_SUFFIX = ".info"
"""Behind the name of a key, in the name of its item."""


@frozen
class Absent:
    """A place that is not there, or holds no keyring: another one may be."""

    reason: str


@frozen
class Unusable:
    """What stands in the way, and what to do; for people, without anything secret."""

    problem: str


class ItemStore(Protocol):
    """One place.

    Attributes:
        where: what messages call it.
    """

    where: str

    def names(self) -> list[str] | Absent | Unusable:
        """Of the keys."""
        ...

    def read(self, name: str) -> bytes | Unusable:
        """The JSON of a key's item."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
