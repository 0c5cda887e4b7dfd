"""What the Cosmos modules say at the start of every block: mint nothing, share out the fees.

Source: cosmos-sdk: x/mint, x/distribution.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank
from relayminer.devnet.chain.tables import BALANCES, VALIDATORS
from relayminer.devnet.chain.validators import decimal_text
from relayminer.devnet.chain.values import UPOKT
from relayminer.protocol.address import module_address

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context

COMMUNITY_TAX = Decimal("0.02")


def begin_block(ctx: Context) -> None:
    """Move nothing from mint to the fee collector, and its fees on to distribution."""
    collector = module_address("fee_collector")
    bank.send(ctx, module_address("mint"), collector, ())
    ctx.emit_plain(
        "mint",
        ("bonded_ratio", _bonded_ratio(ctx)),
        ("inflation", decimal_text(Decimal(0))),
        ("annual_provisions", decimal_text(Decimal(0))),
        ("amount", "0"),
    )
    fees = tuple(
        (denom, amount)
        for (address, denom), amount in ctx.store.items(BALANCES)
        if address == collector
    )
    bank.send(ctx, collector, module_address("distribution"), fees)
    for operator, validator in ctx.store.items(VALIDATORS):
        share = {denom: amount * (1 - COMMUNITY_TAX) for denom, amount in fees}
        commission = {denom: amount * validator.commission_rate for denom, amount in share.items()}
        ctx.emit_plain("commission", ("amount", _text(commission)), ("validator", operator))
        ctx.emit_plain("rewards", ("amount", _text(share)), ("validator", operator))


def _bonded_ratio(ctx: Context) -> str:
    bonded = sum(each.stake_upokt for each in ctx.store.values(VALIDATORS))
    supply = bank.supply(ctx, UPOKT)
    return decimal_text(Decimal(bonded) / supply if supply else Decimal(0))


def _text(amounts: dict[str, Decimal]) -> str:
    return ",".join(f"{decimal_text(amount)}{denom}" for denom, amount in sorted(amounts.items()))
