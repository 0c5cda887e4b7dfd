"""What a check says."""

from __future__ import annotations

from attrs import field, frozen

Key = tuple[str | int, ...]


@frozen
class Complaint:
    """What a check says; where it is in the file is found by its key."""

    key: Key
    value: object = field(repr=False)
    reason: str
    fix: str
