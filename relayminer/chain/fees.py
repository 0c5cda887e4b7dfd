"""What a transaction pays: gas price times gas limit, rounded up (wire.md 15.1)."""

from __future__ import annotations

import re

from attrs import frozen

from relayminer.chain.errors import GasPriceError

DECIMALS = 18
"""Digits behind the point of a Cosmos decimal."""

_SCALE = 10**DECIMALS
_PRICE = re.compile(
    r"\s*(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]+))?\s*(?P<denomination>[a-zA-Z][a-zA-Z0-9/:._-]{2,127})\s*"
)


@frozen
class Fee:
    """One coin.

    Attributes:
        amount: in the smallest unit of `denomination`.
    """

    amount: int
    denomination: str


@frozen
class GasPrice:
    """Price of one unit of gas.

    Attributes:
        scaled: price times 10^18, so that arithmetic stays exact.
    """

    scaled: int
    denomination: str

    def fee(self, gas_limit: int) -> Fee | None:
        """The fee for `gas_limit`, rounded up; None when nothing is to be paid."""
        amount = -(-self.scaled * gas_limit // _SCALE)
        return Fee(amount, self.denomination) if amount else None


def parse_gas_price(text: str) -> GasPrice:
    """Read a price such as `0.000001upokt`.

    Raises:
        GasPriceError: not a decimal with at most 18 digits behind the point and a denomination.
    """
    match = _PRICE.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        raise GasPriceError(f"gas price {text!r} is not like 0.000001upokt")
    part = match["part"] or ""
    if len(part) > DECIMALS:
        raise GasPriceError(f"gas price {text!r} has more than {DECIMALS} digits behind the point")
    scaled = int(match["whole"] or "0") * _SCALE + int(part.ljust(DECIMALS, "0"))
    return GasPrice(scaled, match["denomination"])


def adjusted_gas(gas_used: int, adjustment: float) -> int:
    """The gas limit for a transaction that took `gas_used` in simulation, cut to a whole number."""
    return int(gas_used * adjustment)
