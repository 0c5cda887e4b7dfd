"""MsgSend. Source: cosmos-sdk: x/bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import accounts, bank
from relayminer.devnet.chain.codes import SDK_INVALID_ADDRESS, SDK_INVALID_COINS
from relayminer.devnet.chain.text import address_problem

if TYPE_CHECKING:
    from cosmpy.protos.cosmos.bank.v1beta1.tx_pb2 import MsgSend

    from relayminer.devnet.chain.context import Context


def send(ctx: Context, message: MsgSend) -> None:
    """Move coins from one account to another, which is made when it is new."""
    for role, address in (("from", message.from_address), ("to", message.to_address)):
        problem = address_problem(address)
        if problem is not None:
            raise SDK_INVALID_ADDRESS(f"invalid {role} address: {problem}")
    coins = _coins(message)
    bank.send(ctx, message.from_address, message.to_address, coins)
    accounts.ensure(ctx.store, message.to_address)


def _coins(message: MsgSend) -> bank.Coins:
    coins = tuple((each.denom, _amount(each.amount)) for each in message.amount)
    denoms = [denom for denom, _ in coins]
    if not coins or denoms != sorted(set(denoms)) or any(amount <= 0 for _, amount in coins):
        raise SDK_INVALID_COINS(bank.coins_text(coins))
    return coins


def _amount(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
