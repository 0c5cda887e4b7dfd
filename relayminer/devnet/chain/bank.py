"""The bank: balances, supply, transfers, mint and burn, with the events of the Cosmos module.

Amounts are non-negative integers in the smallest unit of their denomination.
Source: cosmos-sdk: x/bank/keeper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin

from relayminer.devnet.chain.codes import SDK_INSUFFICIENT_FUNDS
from relayminer.devnet.chain.tables import BALANCES, SUPPLY
from relayminer.devnet.chain.values import UPOKT
from relayminer.protocol.address import module_address

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context

Coins = tuple[tuple[str, int], ...]
"""(denomination, amount) pairs, sorted by denomination, amounts positive."""


def upokt(amount: int) -> Coins:
    """`amount` upokt as coins; zero gives no coin."""
    return ((UPOKT, amount),) if amount else ()


def coin(amount: int, denom: str = UPOKT) -> Coin:
    """A Coin message."""
    return Coin(denom=denom, amount=str(amount))


def coin_text(amount: int, denom: str = UPOKT) -> str:
    """A coin as the chain prints it: `70upokt`."""
    return f"{amount}{denom}"


def coins_text(coins: Coins) -> str:
    """Coins as the chain prints them: comma-separated, nothing for none."""
    return ",".join(coin_text(amount, denom) for denom, amount in coins)


def amount_of(message: Coin) -> int:
    """The amount in a Coin message; an empty text counts as zero."""
    return int(message.amount or "0")


def balance(ctx: Context, address: str, denom: str = UPOKT) -> int:
    """What `address` holds of `denom`."""
    return ctx.store.get(BALANCES, (address, denom)) or 0


def supply(ctx: Context, denom: str = UPOKT) -> int:
    """All of `denom` there is."""
    return ctx.store.get(SUPPLY, denom) or 0


def send(ctx: Context, sender: str, recipient: str, coins: Coins) -> None:
    """Move coins between accounts; raises `sdk` 5 when the sender has not got them."""
    _take(ctx, sender, coins)
    _give(ctx, recipient, coins)
    ctx.emit_plain(
        "transfer", ("recipient", recipient), ("sender", sender), ("amount", coins_text(coins))
    )
    ctx.emit_plain("message", ("sender", sender))


def send_from_module(ctx: Context, module: str, recipient: str, coins: Coins) -> None:
    """Move coins from a module's account."""
    send(ctx, module_address(module), recipient, coins)


def send_to_module(ctx: Context, sender: str, module: str, coins: Coins) -> None:
    """Move coins to a module's account."""
    send(ctx, sender, module_address(module), coins)


def mint(ctx: Context, module: str, coins: Coins) -> None:
    """Make new coins for a module."""
    address = module_address(module)
    _give(ctx, address, coins)
    for denom, amount in coins:
        ctx.store.set(SUPPLY, denom, supply(ctx, denom) + amount)
    ctx.emit_plain("coinbase", ("minter", address), ("amount", coins_text(coins)))


def burn(ctx: Context, module: str, coins: Coins) -> None:
    """Destroy coins of a module; raises `sdk` 5 when it has not got them."""
    address = module_address(module)
    _take(ctx, address, coins)
    for denom, amount in coins:
        ctx.store.set(SUPPLY, denom, supply(ctx, denom) - amount)
    ctx.emit_plain("burn", ("burner", address), ("amount", coins_text(coins)))


def _take(ctx: Context, address: str, coins: Coins) -> None:
    for denom, amount in coins:
        held = balance(ctx, address, denom)
        if held < amount:
            raise SDK_INSUFFICIENT_FUNDS(
                f"spendable balance {coin_text(held, denom)} is smaller than "
                f"{coin_text(amount, denom)}"
            )
        _set(ctx, address, denom, held - amount)
    ctx.emit_plain("coin_spent", ("spender", address), ("amount", coins_text(coins)))


def _give(ctx: Context, address: str, coins: Coins) -> None:
    for denom, amount in coins:
        _set(ctx, address, denom, balance(ctx, address, denom) + amount)
    ctx.emit_plain("coin_received", ("receiver", address), ("amount", coins_text(coins)))


def _set(ctx: Context, address: str, denom: str, amount: int) -> None:
    if amount:
        ctx.store.set(BALANCES, (address, denom), amount)
    else:
        ctx.store.delete(BALANCES, (address, denom))
