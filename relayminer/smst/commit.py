"""What a commit asks of the store."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Change = tuple[Literal["set"], bytes, bytes] | tuple[Literal["delete"], bytes, None]


@frozen
class Commit:
    """What a commit wants done to the store, in the library's order.

    Attributes:
        root: the 48-byte root that these changes make loadable.
        changes: `("delete", digest, None)` for nodes that left the trie, then
            `("set", digest, preimage)` for new ones, children before parents. A digest that is
            deleted and set again must end up set.
    """

    root: bytes
    changes: list[Change]

    @property
    def writes(self) -> dict[bytes, bytes]:
        """Digest to preimage of every node to store."""
        return {change[1]: change[2] for change in self.changes if change[0] == "set"}

    @property
    def removals(self) -> list[bytes]:
        """Digests to remove: those deleted and not set again. Safe to remove after the writes."""
        written = {change[1] for change in self.changes if change[0] == "set"}
        return [
            change[1]
            for change in self.changes
            if change[0] == "delete" and change[1] not in written
        ]
