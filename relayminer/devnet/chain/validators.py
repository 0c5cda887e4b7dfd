"""Rewards of validators and their delegators. Source: poktroll: distribution_validator.go."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from relayminer.devnet.chain.settlement_results import Operation, Result
from relayminer.devnet.chain.tables import VALIDATORS
from relayminer.protocol.pb import tokenomics_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.settlement_results import Reason
    from relayminer.devnet.chain.tables import Validator

_DELEGATOR_REASONS: dict[int, Reason] = {
    pb.TLM_RELAY_BURN_EQUALS_MINT_VALIDATOR_REWARD_DISTRIBUTION: (
        pb.TLM_RELAY_BURN_EQUALS_MINT_DELEGATOR_REWARD_DISTRIBUTION
    ),
    pb.TLM_GLOBAL_MINT_VALIDATOR_REWARD_DISTRIBUTION: (
        pb.TLM_GLOBAL_MINT_DELEGATOR_REWARD_DISTRIBUTION
    ),
}


def distribute(
    ctx: Context, accumulated: Mapping[Reason, int], session_end_height: int
) -> Result | None:
    """Split what the block's claims left to validators; None when nothing is paid."""
    result = Result(None)
    for reason in sorted(accumulated):
        if accumulated[reason]:
            _distribute_one(ctx, result, reason, accumulated[reason], session_end_height)
    return result if result.to_accounts else None


def proportional(stakes: Mapping[str, int], amount: int) -> dict[str, int]:
    """Split `amount` by stakes, floored, leftovers by largest remainder (ties by address)."""
    total = sum(stakes.values())
    exact = {each: Fraction(stake * amount, total) for each, stake in stakes.items()}
    shares = {each: int(value) for each, value in exact.items()}
    left = amount - sum(shares.values())
    ranked = sorted(
        (each for each in exact if exact[each] != shares[each]),
        key=lambda each: (shares[each] - exact[each], each),
    )
    for each in ranked[:left]:
        shares[each] += 1
    return shares


def _distribute_one(
    ctx: Context, result: Result, reason: Reason, amount: int, session_end_height: int
) -> None:
    bonded = {
        each.account_address: each for each in ctx.store.values(VALIDATORS) if each.stake_upokt
    }
    if not bonded:
        return
    pools = proportional({each: bonded[each].stake_upokt for each in bonded}, amount)
    rewards: dict[str, int] = {}
    for account in sorted(bonded):
        if pools[account]:
            _pay_pool(ctx, bonded[account], pools[account], rewards, reason, session_end_height)
    for address in sorted(rewards):
        if rewards[address]:
            kind = reason if address in bonded else _DELEGATOR_REASONS[reason]
            result.to_accounts.append(Operation("tokenomics", address, kind, rewards[address]))


def _pay_pool(
    ctx: Context,
    validator: Validator,
    pool: int,
    rewards: dict[str, int],
    reason: Reason,
    session_end_height: int,
) -> None:
    """Commission to the validator, the rest to its delegators by stake."""
    account = validator.account_address
    commission = min(pool, int(validator.commission_rate * pool))
    rest = pool - commission
    stakes = {address: stake for address, stake in validator.delegations_upokt if stake}
    if not rest:
        shares = {}
    elif stakes:
        shares = proportional(stakes, rest)
    else:
        shares = {account: rest}
    for address, share in ((account, commission), *shares.items()):
        rewards[address] = rewards.get(address, 0) + share
    own = shares.get(account, 0)
    ctx.emit(
        pb.EventValidatorRewardDistribution(
            session_end_block_height=session_end_height,
            op_reason=reason,
            validator_operator_address=validator.operator_address,
            validator_account_address=account,
            commission_rate=decimal_text(validator.commission_rate),
            pool_share_upokt=str(pool),
            commission_upokt=str(commission),
            self_delegation_reward_upokt=str(own),
            delegators_reward_upokt=str(rest - own),
            total_delegated_stake_upokt=str(sum(stakes.values()) if rest else 0),
            num_delegators=sum(1 for address in shares if address != account),
        )
    )


def decimal_text(value: Decimal) -> str:
    """A Cosmos decimal: always 18 digits after the point."""
    return f"{value:.18f}"
