"""What the protocol's arithmetic says that everybody must have earned.

Written from the rules (poktroll: x/tokenomics), apart from both the miner and the simulated chain,
so that the demonstration checks them instead of repeating them.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen(kw_only=True)
class Shares:
    """How a settled claim's minted uPOKT is divided; the DAO takes what rounding leaves."""

    supplier: Fraction
    proposer: Fraction
    source_owner: Fraction
    application: Fraction
    mint_ratio: Fraction = Fraction(1)

    @classmethod
    def of(cls, distribution: Mapping[str, float], mint_ratio: float) -> Shares:
        """From the chain's doubles, taken as their shortest decimal text.

        Args:
            distribution: share by recipient, each between 0 and 1.
            mint_ratio: uPOKT minted per uPOKT burned.
        """
        return cls(
            **{
                name: Fraction(repr(float(distribution[name])))
                for name in ("supplier", "proposer", "source_owner", "application")
            },
            mint_ratio=Fraction(repr(float(mint_ratio))),
        )


@frozen(kw_only=True)
class Settlement:
    """One settled claim, and who is paid for it."""

    revenue_shares: tuple[tuple[str, int], ...]
    """Address and whole percentage, in the order of the supplier's service configuration."""
    application: str
    source_owner: str
    settled_upokt: int


@frozen(kw_only=True)
class Recipients:
    """Who else is paid."""

    dao: str
    proposer: str


def supplier_parts(
    amount_upokt: int, revenue_shares: tuple[tuple[str, int], ...]
) -> list[tuple[str, int]]:
    """`amount_upokt` divided among shareholders; the first one takes what rounding leaves."""
    parts = [(address, amount_upokt * share // 100) for address, share in revenue_shares]
    rest = amount_upokt - sum(part for _, part in parts)
    first_address, first_part = parts[0]
    return [(first_address, first_part + rest), *parts[1:]]


def expected_rewards(
    settlements: Iterable[Settlement], shares: Shares, recipients: Recipients
) -> Counter[str]:
    """What each address must have received in uPOKT for these claims, fees not yet taken off."""
    rewards: Counter[str] = Counter()
    for each in settlements:
        minted = int(each.settled_upokt * shares.mint_ratio)
        supplier = int(minted * shares.supplier)
        proposer = int(minted * shares.proposer)
        source_owner = int(minted * shares.source_owner)
        application = int(minted * shares.application)
        for address, part in supplier_parts(supplier, each.revenue_shares):
            rewards[address] += part
        rewards[recipients.proposer] += proposer
        rewards[each.source_owner] += source_owner
        rewards[each.application] += application
        rewards[recipients.dao] += minted - supplier - proposer - source_owner - application
    return rewards
