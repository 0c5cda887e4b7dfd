"""Who gets which part of a settled claim. Source: poktroll: x/tokenomics/token_logic_module.

All arithmetic is exact; every share is floored once and what is left over goes where the chain
sends it. Percentages are doubles on chain and count as the decimal that prints them.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import define, field

from relayminer.devnet.chain import bank
from relayminer.devnet.chain.codes import (
    TOKENOMICS_COIN_IS_ZERO,
    TOKENOMICS_CONSTRAINT,
    TOKENOMICS_PROCESSING,
    TOKENOMICS_STAKE_INVALID,
    TOKENOMICS_TLM_INTERNAL,
)
from relayminer.devnet.chain.errors import ChainError
from relayminer.devnet.chain.settlement_results import Operation
from relayminer.protocol.pb import tokenomics_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.settlement_results import Reason, Result
    from relayminer.protocol.pb import application_pb2, shared_pb2

SHARES_SUM = 100
BURN_MINT = "TLMRelayBurnEqualsMint"
GLOBAL_MINT = "TLMGlobalMint"

_REASONS: dict[tuple[str, str], Reason] = {
    (BURN_MINT, "supplier"): pb.TLM_RELAY_BURN_EQUALS_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION,
    (BURN_MINT, "validator"): pb.TLM_RELAY_BURN_EQUALS_MINT_VALIDATOR_REWARD_DISTRIBUTION,
    (BURN_MINT, "source_owner"): pb.TLM_RELAY_BURN_EQUALS_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION,
    (BURN_MINT, "dao"): pb.TLM_RELAY_BURN_EQUALS_MINT_DAO_REWARD_DISTRIBUTION,
    (BURN_MINT, "application"): pb.TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_REWARD_DISTRIBUTION,
    (GLOBAL_MINT, "supplier"): pb.TLM_GLOBAL_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION,
    (GLOBAL_MINT, "validator"): pb.TLM_GLOBAL_MINT_VALIDATOR_REWARD_DISTRIBUTION,
    (GLOBAL_MINT, "source_owner"): pb.TLM_GLOBAL_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION,
    (GLOBAL_MINT, "dao"): pb.TLM_GLOBAL_MINT_DAO_REWARD_DISTRIBUTION,
    (GLOBAL_MINT, "application"): pb.TLM_GLOBAL_MINT_APPLICATION_REWARD_DISTRIBUTION,
}


def decimal_of(value: float) -> Decimal:
    """A double as the shortest decimal that prints it."""
    return Decimal(repr(value))


def exact(value: float) -> Fraction:
    """A double as the shortest decimal that prints it, as a fraction."""
    return Fraction(decimal_of(value))


def floor_of(amount: int, share: Fraction) -> int:
    """`amount` times `share`, floored."""
    return amount * share.numerator // share.denominator


def ceil_of(amount: int, share: Fraction) -> int:
    """`amount` times `share`, rounded up."""
    return -(-amount * share.numerator // share.denominator)


@define
class Settlement:
    """One claim on its way through the token logic modules; amounts in upokt."""

    result: Result
    params: pb.Params
    service: shared_pb2.Service
    application: application_pb2.Application
    supplier: shared_pb2.Supplier
    settled_upokt: int
    proposer_upokt: dict[Reason, int] = field(factory=dict)
    """Accumulated over the block, by reason."""


def process(ctx: Context, settlement: Settlement) -> None:
    """Run both token logic modules; raises `tokenomics` 1119 with what went wrong."""
    for name, module in (
        (BURN_MINT, _relay_burn_equals_mint),
        (GLOBAL_MINT, _global_mint),
    ):
        try:
            module(ctx, settlement)
        except ChainError as error:
            raise TOKENOMICS_PROCESSING(f'TLM "{name}": {error.text}') from error


def _relay_burn_equals_mint(ctx: Context, settlement: Settlement) -> None:
    settled = settlement.settled_upokt
    settlement.result.burns.append(
        Operation("application", "", pb.TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_STAKE_BURN, settled)
    )
    stake = bank.amount_of(settlement.application.stake)
    if settled > stake:
        raise TOKENOMICS_STAKE_INVALID(
            f'application "{settlement.application.address}" stake cannot be reduced to a '
            f"negative amount {bank.coin_text(stake - settled)}"
        )
    settlement.application.stake.amount = str(stake - settled)
    minted = floor_of(settled, exact(settlement.params.mint_ratio))
    if minted == 0:
        raise TOKENOMICS_TLM_INTERNAL(
            f"mint amount truncated to zero: settlement {settled}, mint_ratio "
            f"{settlement.params.mint_ratio}"
        )
    reason = pb.TLM_RELAY_BURN_EQUALS_MINT_TOKENOMICS_CLAIM_DISTRIBUTION_MINT
    settlement.result.mints.append(Operation("tokenomics", "", reason, minted))
    shares = settlement.params.mint_equals_burn_claim_distribution
    _distribute(ctx, settlement, BURN_MINT, minted, shares)


def _global_mint(ctx: Context, settlement: Settlement) -> None:
    inflation = settlement.params.global_inflation_per_claim
    if not inflation:
        return
    minted = ceil_of(settlement.settled_upokt, exact(inflation))
    if not minted:
        raise TOKENOMICS_COIN_IS_ZERO("newMintCoin cannot be zero")
    settlement.result.mints.append(
        Operation("tokenomics", "", pb.TLM_GLOBAL_MINT_INFLATION, minted)
    )
    shares = settlement.params.mint_allocation_percentages
    _distribute(ctx, settlement, GLOBAL_MINT, minted, shares)


def _distribute(
    ctx: Context,
    settlement: Settlement,
    module: str,
    minted: int,
    shares: pb.MintEqualsBurnClaimDistribution | pb.MintAllocationPercentages,
) -> None:
    supplier = floor_of(minted, exact(shares.supplier))
    proposer = floor_of(minted, exact(shares.proposer))
    source_owner = floor_of(minted, exact(shares.source_owner))
    application = floor_of(minted, exact(shares.application))
    dao = minted - supplier - proposer - source_owner - application
    if dao < 0:
        raise TOKENOMICS_CONSTRAINT("shares add up to more than what was minted")
    if supplier:
        _pay_supplier(ctx, settlement, module, supplier)
    if proposer:
        reason = _REASONS[module, "validator"]
        held = settlement.proposer_upokt.get(reason, 0)
        settlement.proposer_upokt[reason] = held + proposer
    parts = [
        ("source_owner", settlement.service.owner_address, source_owner),
        ("dao", settlement.params.dao_reward_address, dao),
        ("application", settlement.application.address, application),
    ]
    if module == GLOBAL_MINT:
        # The second module hands out in another order.
        parts = [parts[2], parts[0], parts[1]]
    for name, recipient, amount in parts:
        if amount:
            reason = _REASONS[module, name]
            settlement.result.to_accounts.append(Operation("tokenomics", recipient, reason, amount))


def _pay_supplier(ctx: Context, settlement: Settlement, module: str, amount: int) -> None:
    reason = _REASONS[module, "supplier"]
    transfer = (
        reason
        if module == BURN_MINT
        else pb.TLM_GLOBAL_MINT_REIMBURSEMENT_REQUEST_ESCROW_MODULE_TRANSFER
    )
    result = settlement.result
    result.to_modules.append(Operation("tokenomics", "supplier", transfer, amount))
    supplier = settlement.supplier
    service_id = settlement.service.id
    config = next((each for each in supplier.services if each.service_id == service_id), None)
    if config is None:
        raise TOKENOMICS_TLM_INTERNAL(
            f"queueing operation: distributing rewards to supplier with operator address "
            f"{supplier.operator_address} shareholders: "
            f'service "{service_id}" not found for supplier'
        )
    try:
        shares = shareholder_amounts(config.rev_share, amount)
    except ValueError as error:
        result.to_accounts.append(Operation("supplier", supplier.owner_address, reason, amount))
        ctx.emit(
            pb.EventSupplierRevShareFallbackDistribution(
                supplier_operator_address=supplier.operator_address,
                supplier_owner_address=supplier.owner_address,
                service_id=service_id,
                session_end_block_height=result.session_end_height,
                amount=bank.coin_text(amount),
                op_reason=reason,
                observed_sum_percentage=sum(each.rev_share_percentage for each in config.rev_share),
                reason=str(error),
            )
        )
        return
    for address in sorted(shares):
        if shares[address]:
            result.to_accounts.append(Operation("supplier", address, reason, shares[address]))


def shareholder_amounts(
    shares: Iterable[shared_pb2.ServiceRevenueShare], amount_upokt: int
) -> dict[str, int]:
    """Split an amount among shareholders; what flooring leaves over goes to the first.

    Raises:
        ValueError: no shareholder, one twice, or percentages that do not sum to 100.
    """
    listed = list(shares)
    if not listed:
        raise ValueError("empty revshare list")
    seen: set[str] = set()
    for each in listed:
        if each.address in seen:
            raise ValueError(f'duplicate revshare recipient address: "{each.address}"')
        seen.add(each.address)
    total = sum(each.rev_share_percentage for each in listed)
    if total != SHARES_SUM:
        raise ValueError(f"revshare percentages sum to {total}, expected {SHARES_SUM}")
    amounts = {
        each.address: amount_upokt * each.rev_share_percentage // SHARES_SUM for each in listed
    }
    amounts[listed[0].address] += amount_upokt - sum(amounts.values())
    return amounts
