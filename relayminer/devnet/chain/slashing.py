"""What a missing or invalid proof costs. Source: poktroll: settle_pending_claims.go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank, params, suppliers
from relayminer.protocol.address import module_address
from relayminer.protocol.pb import supplier_pb2, tokenomics_pb2

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import proof_pb2, shared_pb2


def slash(ctx: Context, supplier: shared_pb2.Supplier, claim: proof_pb2.Claim) -> None:
    """Burn the penalty from the supplier's stake; below the minimum it begins to unbond.

    `supplier` is the record that the settlement works on; it is changed and stored.
    """
    stake = bank.amount_of(supplier.stake)
    penalty = min(bank.amount_of(params.proof(ctx.store).proof_missing_penalty), stake)
    coins = bank.upokt(penalty)
    bank.send_from_module(ctx, "supplier", module_address("tokenomics"), coins)
    bank.burn(ctx, "tokenomics", coins)
    remaining = stake - penalty
    supplier.stake.CopyFrom(bank.coin(remaining))
    min_stake = bank.amount_of(params.supplier(ctx.store).min_stake)
    if remaining < min_stake and not supplier.unstake_session_end_height:
        _unstake(ctx, supplier)
    suppliers.put_record(ctx.store, supplier)
    header = claim.session_header
    ctx.emit(
        tokenomics_pb2.EventSupplierSlashed(
            proof_missing_penalty=bank.coin_text(penalty),
            supplier_stake_after_slash=bank.coin_text(remaining),
            service_id=header.service_id,
            application_address=header.application_address,
            session_end_block_height=header.session_end_block_height,
            claim_proof_status_int=claim.proof_validation_status,
            supplier_operator_address=claim.supplier_operator_address,
        )
    )


def _unstake(ctx: Context, supplier: shared_pb2.Supplier) -> None:
    end_height = params.session_end(ctx.store, ctx.height)
    supplier.unstake_session_end_height = end_height
    operator = supplier.operator_address
    updates = suppliers.deactivated(suppliers.history(ctx.store, operator), end_height)
    suppliers.put_history(ctx.store, operator, updates)
    ctx.emit(
        supplier_pb2.EventSupplierUnbondingBegin(
            supplier=supplier,
            reason=supplier_pb2.SUPPLIER_UNBONDING_REASON_BELOW_MIN_STAKE,
            session_end_height=end_height,
            unbonding_end_height=end_height,
        )
    )
