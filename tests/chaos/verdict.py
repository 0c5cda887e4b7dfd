"""Counting: what was answered, what is in the tries, what was paid, and where these differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field

from tests.chaos.gateway import Fate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.demo.rows import Row
    from tests.chaos.gateway import Sent
    from tests.chaos.leaves import Trie


@define
class Count:
    """One supplier's relays in one session.

    The rule: what was answered is a leaf, once; a leaf that was not answered is a relay that was
    sent and whose answer was lost on the way (a broken connection, a time-out, a 5xx); all leaves
    are claimed under one root and paid, and nothing is slashed.
    """

    row: Row
    answered: int = 0
    unanswered: int = 0
    """Leaves without an answer, as the rule allows."""
    leaves: int = 0
    lost: int = 0
    """Answered and no leaf."""
    twice: int = 0
    """Leaves too many of one relay."""
    foreign: int = 0
    """Leaves of relays that were refused or never sent."""
    problems: list[str] = field(factory=list)

    @property
    def difference(self) -> int:
        """How many relays are not where they must be; at least 1 when anything else is wrong."""
        relays = self.lost + self.twice + self.foreign + abs(self.leaves - self.row.settled)
        return max(relays, int(bool(self.problems)))


def counted(row: Row, sent: Mapping[bytes, Sent], trie: Trie | None) -> Count:
    """Compare one row with what was sent for it and what its trie holds.

    Args:
        row: What the chain says.
        sent: The relays of this supplier and session, by signature.
        trie: The sealed trie; None when there was none.
    """
    leaves = trie.requests if trie is not None else Counter[bytes]()
    answered = {key for key, one in sent.items() if one.fate is Fate.ANSWERED}
    broken = {key for key, one in sent.items() if one.fate is Fate.BROKEN}
    count = Count(
        row,
        answered=len(answered),
        unanswered=len(broken & set(leaves)),
        leaves=leaves.total(),
        lost=len(answered - set(leaves)),
        twice=leaves.total() - len(leaves),
        foreign=len(set(leaves) - answered - broken),
    )
    if trie is not None and trie.count != count.leaves:
        count.problems.append(f"the root says {trie.count} leaves, there are {count.leaves}")
    if len(row.claimed_roots) > 1:
        count.problems.append(f"claimed under {len(row.claimed_roots)} roots: split brain")
    if trie is not None and row.claimed_roots and row.claimed_roots != {trie.root}:
        count.problems.append("the claimed root is not that of the sealed trie")
    if row.slashed_upokt:
        count.problems.append(f"slashed by {row.slashed_upokt} uPOKT")
    if count.leaves and not row.claimed:
        count.problems.append("never claimed")
    if row.claimed and not row.settled:
        count.problems.append("claimed and never settled")
    if answered and trie is None:
        count.problems.append("no sealed trie was seen")
    count.problems += row.failures
    return count
