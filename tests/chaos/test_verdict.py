"""The count of a chaos run finds what it is there to find."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from relayminer.demo.rows import Row
from tests.chaos.gateway import Fate, Sent
from tests.chaos.leaves import BrokenTrieError, Trie, leaf_values
from tests.chaos.verdict import Count, counted

SENT = {
    b"answered 1": Fate.ANSWERED,
    b"answered 2": Fate.ANSWERED,
    b"broken": Fate.BROKEN,
    b"refused": Fate.REFUSED,
}
ROOT = bytes(40) + (3).to_bytes(8, "big")


def count(leaves: list[bytes], root: bytes = ROOT, **changes: Any) -> Count:
    """The count of a session with these leaves in its trie; all of them are claimed and paid."""
    row = Row(
        supplier="supplier",
        supplier_name="supplier1",
        service_id="svc",
        application="application",
        session_id="session",
        session_end_height=10,
        claimed=len(leaves),
        settled=len(leaves),
        claimed_roots={root},
    )
    for name, value in changes.items():
        setattr(row, name, value)
    sent = {key: Sent("supplier", "session", fate, "") for key, fate in SENT.items()}
    return counted(row, sent, Trie(root, Counter(leaves)))


def root_of(leaves: int) -> bytes:
    """A root that promises so many leaves."""
    return bytes(40) + leaves.to_bytes(8, "big")


def test_all_is_well() -> None:
    """Answered relays are leaves, and one whose answer was lost on the way may be."""
    with_broken = count([b"answered 1", b"answered 2", b"broken"])
    assert (with_broken.difference, with_broken.unanswered) == (0, 1)
    assert count([b"answered 1", b"answered 2"], root_of(2)).difference == 0


@pytest.mark.parametrize(
    ("leaves", "what"),
    [
        ([b"answered 1"], "lost"),
        ([b"answered 1", b"answered 2", b"answered 2"], "twice"),
        ([b"answered 1", b"answered 2", b"refused"], "foreign"),
        ([b"answered 1", b"answered 2", b"of somebody else"], "foreign"),
    ],
)
def test_each_difference_is_one(leaves: list[bytes], what: str) -> None:
    """A lost relay, one that counts twice and one that nobody served are each found, once."""
    found = count(leaves, root_of(len(leaves)))
    assert getattr(found, what) == 1
    assert found.difference == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"claimed_roots": {ROOT, root_of(2)}},
        {"claimed_roots": {root_of(2)}},
        {"slashed_upokt": 1},
        {"claimed": 0, "claimed_roots": set(), "settled": 0},
        {"settled": 0},
        {"settled": 2},
        {"failures": ["proof invalid"]},
    ],
)
def test_what_the_chain_made_of_it_counts(changes: dict[str, Any]) -> None:
    """Split brain, a slash, a claim or settlement that is missing or smaller: each differs."""
    assert count([b"answered 1", b"answered 2", b"broken"], ROOT, **changes).difference > 0


def test_a_trie_with_a_hole_is_broken() -> None:
    """A node that is missing is told, and never read as no leaves."""
    with pytest.raises(BrokenTrieError):
        leaf_values(ROOT, {})
    assert leaf_values(bytes(48), {}) == []
