"""Sharing suppliers out among the living miners: fairly, and with as little movement as that takes.

Every miner computes the same division from what it sees in the store and does its own part of it:
it takes the free suppliers that fall to it and gives up those that another one is to have. Views
differ for a moment when something changes; the leases keep that harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RELEASES_AT_ONCE: Final = 50
"""Suppliers that a miner gives up between two looks: each of them stands still for a moment."""


@frozen
class Picture:
    """What a miner sees.

    Attributes:
        me: the id of this miner.
        miners: the suppliers that each living miner can work for, this one included; None for a
            Go miner, which does not say.
        owners: who has each supplier that we can work for or have; None: nobody.
        left_lying: suppliers that have been free for so long that whoever they fell to does not
            take them.
        kept: suppliers that are not given up: the last time nobody took them.
    """

    me: str
    miners: Mapping[str, frozenset[str] | None]
    owners: Mapping[str, str | None]
    left_lying: frozenset[str] = field(factory=frozenset)
    kept: frozenset[str] = field(factory=frozenset)


@frozen
class Plan:
    """What to do about it."""

    take: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def plan(picture: Picture) -> Plan:
    """The part of a fair division that this miner does now.

    Two miners that can work for the same suppliers end up with numbers that differ by one at most.
    A Go miner keeps what it has and is left what is free, but nothing is given up for it: it would
    come for it after half a minute, or never.
    """
    division = _Division(picture)
    mine = division.share_out_free()
    take = sorted(picture.left_lying | mine, key=lambda supplier: _order(picture.me, supplier))
    able = picture.miners[picture.me]
    return Plan(
        take=tuple(
            supplier
            for supplier in take
            if picture.owners.get(supplier, "") is None and (able is None or supplier in able)
        ),
        release=tuple(division.move()),
    )


class _Division:
    """A division in the making."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._owned: dict[str, list[str]] = {miner: [] for miner in picture.miners}
        for supplier, owner in sorted(picture.owners.items()):
            if owner in self._owned:
                self._owned[owner].append(supplier)
        for miner, suppliers in self._owned.items():
            suppliers.sort(key=lambda supplier: _order(miner, supplier))

    def share_out_free(self) -> frozenset[str]:
        """Give each free supplier to whoever has fewest; those that fall to us."""
        mine = set()
        for supplier in sorted(s for s, owner in self._picture.owners.items() if owner is None):
            able = [m for m in self._owned if self._is_able(m, supplier, go_miner=True)]
            if not able:
                continue
            heir = min(able, key=lambda m: (len(self._owned[m]), _order(m, supplier)))
            # At the front: a supplier that was just shared out is the last one to be moved.
            self._owned[heir].insert(0, supplier)
            if heir == self._picture.me:
                mine.add(supplier)
        return frozenset(mine)

    def move(self) -> Iterable[str]:
        """Move suppliers from those who have most to those who have fewest; ours among them."""
        given_up: list[str] = []
        while (found := self._next_move()) is not None:
            rich, poor, supplier = found
            self._owned[rich].remove(supplier)
            self._owned[poor].insert(0, supplier)
            if rich == self._picture.me:
                given_up.append(supplier)
                if len(given_up) == RELEASES_AT_ONCE:
                    break
        return given_up

    def _next_move(self) -> tuple[str, str, str] | None:
        by_wealth = sorted(self._owned, key=lambda m: (len(self._owned[m]), m))
        for poor in by_wealth:
            for rich in reversed(by_wealth):
                if len(self._owned[rich]) - len(self._owned[poor]) <= 1:
                    break
                for supplier in reversed(self._owned[rich]):
                    if (
                        supplier not in self._picture.kept
                        and self._picture.owners[supplier] == rich
                        and self._is_able(poor, supplier, go_miner=False)
                    ):
                        return rich, poor, supplier
        return None

    def _is_able(self, miner: str, supplier: str, *, go_miner: bool) -> bool:
        able = self._picture.miners[miner]
        return go_miner if able is None else supplier in able


def _order(miner: str, supplier: str) -> int:
    """An order of suppliers that is another one for each miner, so that two do not compete."""
    return crc32(f"{miner}/{supplier}".encode())
