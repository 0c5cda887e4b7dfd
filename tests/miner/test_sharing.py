"""How suppliers are shared out, on pictures of a fleet: no store, no time."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from relayminer.miner.sharing import RELEASES_AT_ONCE, Picture, plan

Fleet = dict[str, frozenset[str] | None]
Owners = dict[str, str | None]


def names(count: int) -> frozenset[str]:
    """So many suppliers."""
    return frozenset(f"pokt{number:03}" for number in range(count))


def fleet(*miners: str, suppliers: int) -> Fleet:
    """Miners that have all keys."""
    return dict.fromkeys(miners, names(suppliers))


def play(living: Fleet, owners: Owners, rounds: int = 100) -> int:
    """Let every miner of ours do its part until nobody does anything; how many suppliers moved."""
    moved = 0
    lying: frozenset[str] = frozenset()
    given_up: dict[str, set[str]] = {me: set() for me in living}
    kept: dict[str, set[str]] = {me: set() for me in living}
    for _ in range(rounds):
        before = dict(owners)
        for me, able in sorted(living.items()):
            if able is None:
                continue
            seen = {one: owner for one, owner in owners.items() if one in able}
            do = plan(Picture(me, living, seen, lying & able, frozenset(kept[me])))
            for supplier in do.release:
                assert owners[supplier] == me
                owners[supplier] = None
                given_up[me].add(supplier)
                moved += 1
            for supplier in do.take:
                assert supplier in able
                owners[supplier] = me
                kept[me] |= given_up[me] & {supplier}
        free = frozenset(one for one, owner in owners.items() if owner is None)
        if owners == before and not free:
            return moved
        lying = free if owners == before else frozenset()
    raise AssertionError("they never come to rest")


def shares(owners: Owners) -> list[int]:
    """How many suppliers each miner has, sorted."""
    return sorted(Counter(owner for owner in owners.values() if owner is not None).values())


@pytest.mark.parametrize(
    ("miners", "suppliers", "expected"),
    [
        (1, 600, [600]),
        (2, 3, [1, 2]),
        (3, 4, [1, 1, 2]),
        (3, 600, [200, 200, 200]),
        (4, 2, [1, 1]),
        (2, 0, []),
    ],
)
def test_free_suppliers_are_shared_out(miners: int, suppliers: int, expected: list[int]) -> None:
    """Of two miners neither has two suppliers more than the other."""
    living = fleet(*(f"m{number}" for number in range(miners)), suppliers=suppliers)
    owners: Owners = dict.fromkeys(names(suppliers))
    assert play(living, owners) == 0
    assert shares(owners) == expected
    assert None not in owners.values()


def test_a_miner_that_joins_gets_its_share_and_no_more_moves() -> None:
    """As few suppliers change hands as the new one's share has."""
    owners: Owners = dict.fromkeys(names(600))
    play(fleet("a", "b", suppliers=600), owners)
    assert play(fleet("a", "b", "c", suppliers=600), owners) == 200
    assert shares(owners) == [200, 200, 200]


def test_the_suppliers_of_the_dead_go_to_the_others() -> None:
    """Nobody's work is interrupted by somebody else's death."""
    owners: Owners = dict.fromkeys(names(600))
    play(fleet("a", "b", "c", suppliers=600), owners)
    kept = {one: owner for one, owner in owners.items() if owner != "b"}
    owners = {**dict.fromkeys(names(600)), **kept}
    assert play(fleet("a", "c", suppliers=600), owners) == 0
    assert shares(owners) == [300, 300]
    assert kept.items() <= owners.items()


def test_nobody_is_left_a_supplier_that_it_has_no_key_for() -> None:
    """Each supplier is with one that can sign for it, also where key files overlap or differ."""
    for seed in range(200):
        random = Random(seed)  # noqa: S311 - a seed makes the case
        everything = sorted(names(random.randrange(1, 30)))
        living: Fleet = {
            f"m{number}": frozenset(random.sample(everything, random.randint(0, len(everything))))
            for number in range(random.randint(1, 5))
        }
        able = {one: [m for m in living if one in (living[m] or ())] for one in everything}
        owners: Owners = {one: random.choice([None, *able[one]]) for one in everything if able[one]}
        play(living, owners)
        for supplier, owner in owners.items():
            assert owner in able[supplier]


def test_a_go_miner_keeps_what_it_has() -> None:
    """It is left what falls to it, but nothing is given up for one that may never come for it."""
    living: Fleet = {"ours": names(10), "go": None}
    owners: Owners = dict.fromkeys(names(10), "ours")
    assert plan(Picture("ours", living, owners)).release == ()
    owners = {**dict.fromkeys(names(10)), "pokt000": "go"}
    do = plan(Picture("ours", living, owners))
    assert len(do.take) == 5
    assert "pokt000" not in do.take


def test_what_nobody_takes_is_taken_and_kept() -> None:
    """A supplier that was left lying is taken beyond the fair share, and not given up again."""
    living = fleet("a", "b", suppliers=4)
    owners: Owners = {**dict.fromkeys(names(4), "a"), "pokt000": None}
    assert plan(Picture("a", living, owners)).take == ()
    lying = frozenset({"pokt000"})
    assert plan(Picture("a", living, owners, left_lying=lying)).take == ("pokt000",)
    owners["pokt000"] = "a"
    do = plan(Picture("a", living, owners, kept=names(4)))
    assert do.release == ()


def test_suppliers_are_given_up_a_few_at_a_time() -> None:
    """Most of a fleet goes on while its shares change."""
    living = fleet("a", "b", suppliers=600)
    owners: Owners = dict.fromkeys(names(600), "a")
    assert len(plan(Picture("a", living, owners)).release) == RELEASES_AT_ONCE
