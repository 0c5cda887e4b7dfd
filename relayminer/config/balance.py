"""Settings of the monitor of balances and stakes."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class BalanceSettings:
    """When to warn that fees or stake run out."""

    interval_seconds: float = 300.0
    """Between two looks at every supplier; 0: none."""
    min_balance_upokt: int = 1_000_000
    """A supplier with less for fees is critical; with less than twice as much it is warned of."""
    warn_fee_hours: float = 48.0
    """Warn when the balance pays fees for fewer hours, at the pace of the last day."""
    warn_missable_proofs: int = 10
    """Warn when fewer proofs may be missed before the stake falls below its minimum."""
    critical_missable_proofs: int = 3
