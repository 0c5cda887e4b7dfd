"""Earnings, fees and losses by supplier, service, application or day; and what is to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from relayminer.story.accounts import LOST, OPEN, SETTLED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from relayminer.story.accounts import Account
    from relayminer.story.forecast import Expected

TOTAL: Final = "total"


@define
class Earnings:
    """Sums over some sessions, uPOKT.

    Attributes:
        sessions: outcome to number of sessions.
        losses: cause to amount.
        expected_upokt: what the open sessions would earn by what is in their tries now.
    """

    name: str
    sessions: dict[str, int] = field(factory=dict)
    relays: int = 0
    compute_units: int = 0
    claimed_upokt: int = 0
    settled_upokt: int = 0
    earned_upokt: int = 0
    claim_fees_upokt: int = 0
    proof_fees_upokt: int = 0
    submission_fees_upokt: int = 0
    slashed_upokt: int = 0
    losses: dict[str, int] = field(factory=dict)
    open_sessions: int = 0
    expected_upokt: int = 0

    @property
    def fees_upokt(self) -> int:
        """Fees of transactions and of proofs."""
        return self.claim_fees_upokt + self.proof_fees_upokt + self.submission_fees_upokt

    @property
    def net_upokt(self) -> int:
        """Earned, less fees and penalties."""
        return self.earned_upokt - self.fees_upokt - self.slashed_upokt

    def add(self, account: Account) -> None:
        """Add a session."""
        self.sessions[account.outcome] = self.sessions.get(account.outcome, 0) + 1
        self.relays += account.relays
        self.compute_units += account.compute_units
        self.claimed_upokt += account.claimed_upokt
        self.settled_upokt += account.settled_upokt
        self.earned_upokt += account.earned_upokt
        self.claim_fees_upokt += account.claim_fees_upokt
        self.proof_fees_upokt += account.proof_fees_upokt
        self.submission_fees_upokt += account.submission_fee_upokt
        self.slashed_upokt += account.slashed_upokt
        for cause, amount in account.losses.items():
            self.losses[cause] = self.losses.get(cause, 0) + amount

    def expect(self, expected: Expected) -> None:
        """Add an open session."""
        self.open_sessions += 1
        self.expected_upokt += expected.upokt or 0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "sessions": {one: self.sessions.get(one, 0) for one in (SETTLED, LOST, SKIPPED, OPEN)},
            "relays": self.relays,
            "compute_units": self.compute_units,
            "claimed_upokt": self.claimed_upokt,
            "settled_upokt": self.settled_upokt,
            "earned_upokt": self.earned_upokt,
            "fees_upokt": {
                "claims": self.claim_fees_upokt,
                "proofs": self.proof_fees_upokt,
                "proof_submission": self.submission_fees_upokt,
            },
            "slashed_upokt": self.slashed_upokt,
            "net_upokt": self.net_upokt,
            "losses_upokt": dict(sorted(self.losses.items())),
            "forecast": {"sessions": self.open_sessions, "upokt": self.expected_upokt},
        }


@frozen
class Report:
    """Earnings group by group, and all of them together."""

    groups: list[Earnings]
    total: Earnings


def _day(account: Account) -> str:
    return account.entries[-1].day if account.entries else ""


GROUPINGS: Final[Mapping[str, Callable[[Account], str]]] = {
    "supplier": lambda account: account.supplier,
    "service": lambda account: account.service_id,
    "app": lambda account: account.application_address,
    "day": _day,
}
"""By what sessions can be grouped. A session belongs to the day of its last entry, UTC."""

_EXPECTED_GROUPS: Final[Mapping[str, Callable[[Expected], str]]] = {
    "supplier": lambda expected: expected.supplier,
    "service": lambda expected: expected.service_id,
    "app": lambda expected: expected.application_address,
    "day": lambda _: "",
}


def report(accounts: Iterable[Account], by: str, expected: Sequence[Expected] = ()) -> Report:
    """Add up accounts and open sessions.

    Args:
        accounts: of the ledger; those that are still open count their fees only.
        by: one of `GROUPINGS`.
        expected: the forecast of open sessions; by day it is in the total only.
    """
    total = Earnings(TOTAL)
    groups: dict[str, Earnings] = {}
    for account in accounts:
        name = GROUPINGS[by](account)
        groups.setdefault(name, Earnings(name)).add(account)
        total.add(account)
    for one in expected:
        name = _EXPECTED_GROUPS[by](one)
        if name:
            groups.setdefault(name, Earnings(name)).expect(one)
        total.expect(one)
    return Report([groups[name] for name in sorted(groups)], total)
