"""Settling the claims whose proof window has closed (wire 14.2, 14.3).

Source: poktroll: x/tokenomics/keeper/{settle_pending_claims,settlement_context}.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from relayminer.devnet.chain import (
    applications,
    bank,
    budget,
    distribution,
    params,
    proofs,
    services,
    sessions,
    slashing,
    suppliers,
    validators,
)
from relayminer.devnet.chain.codes import (
    TOKENOMICS_APPLICATION_NOT_FOUND,
    TOKENOMICS_HEADER_INVALID,
    TOKENOMICS_INTERNAL,
    TOKENOMICS_ROOT_INVALID,
    TOKENOMICS_SERVICE_NOT_FOUND,
    TOKENOMICS_SUPPLIER_NOT_FOUND,
)
from relayminer.devnet.chain.errors import ChainError
from relayminer.devnet.chain.settlement_results import Result, execute
from relayminer.devnet.chain.tables import CLAIMS, SHARED_HISTORY
from relayminer.protocol import session as grid
from relayminer.protocol.pb import application_pb2, proof_pb2, shared_pb2
from relayminer.protocol.pb import tokenomics_pb2 as pb

if TYPE_CHECKING:
    from relayminer.devnet.chain.budget import Budgets
    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.settlement_results import Reason

ROOT_LENGTH = 48


@define
class Batch:
    """The records that one block's settlement works on; written back once, at its end."""

    params: pb.Params
    suppliers: dict[str, shared_pb2.Supplier] = field(factory=dict)
    applications: dict[str, application_pb2.Application] = field(factory=dict)
    initial_stakes_upokt: dict[str, int] = field(factory=dict)
    proposer_upokt: dict[Reason, int] = field(factory=dict)


def end_block(ctx: Context) -> None:
    """Settle or expire every claim that is due, pay, slash, and move the difficulties."""
    claims = _due(ctx)
    batch = Batch(params.tokenomics(ctx.store))
    budgets = budget.Budgets.of(claims)
    for claim in claims:
        _count_in_budget(ctx, batch, budgets, claim)
    settled: list[Result] = []
    expired: list[proof_pb2.Claim] = []
    for claim in claims:
        try:
            result = _settle(ctx, batch, budgets, claim)
        except ChainError as error:
            _discard(ctx, claim, error)
        else:
            if result is None:
                expired.append(claim)
            else:
                settled.append(result)
        ctx.store.delete(CLAIMS, (claim.session_header.session_id, claim.supplier_operator_address))
    for application in batch.applications.values():
        applications.put(ctx.store, application)
    for supplier in batch.suppliers.values():
        suppliers.put_record(ctx.store, supplier)
    results = list(settled)
    end_height = settled[0].session_end_height if settled else 0
    rewards = validators.distribute(ctx, batch.proposer_upokt, end_height)
    if rewards is not None:
        results.append(rewards)
    execute(ctx, results)
    for claim in expired:
        slashing.slash(ctx, batch.suppliers[claim.supplier_operator_address], claim)
    services.update_difficulties(ctx, _relays_by_service(settled))


def _due(ctx: Context) -> list[proof_pb2.Claim]:
    """Claims whose proof window is over, by the parameters at their own session's end."""
    candidates = _candidate_ends(ctx)
    by_end: dict[int, list[proof_pb2.Claim]] = {end: [] for end in candidates}
    for claim in ctx.store.values(CLAIMS):
        end = claim.session_header.session_end_block_height
        if end in by_end and ctx.height > end + _offsets(params.shared_at(ctx.store, end)):
            by_end[end].append(claim)
    return [claim for end in candidates for claim in by_end[end]]


def _candidate_ends(ctx: Context) -> list[int]:
    """Session ends that could settle now, by live parameters, then by each older epoch."""
    ends: dict[int, None] = {}

    def add(shared: shared_pb2.Params) -> None:
        end = ctx.height - (_offsets(shared) + 1)
        if end >= 0:
            ends[end] = None

    add(params.shared(ctx.store))
    next_effective = ctx.height + 1
    epochs = [
        (height, shared)
        for height, shared in ctx.store.items(SHARED_HISTORY)
        if height <= ctx.height
    ]
    for effective, shared in reversed(epochs):
        if next_effective + _offsets(shared) >= ctx.height:
            add(shared)
        next_effective = effective
    return list(ends)


def _offsets(shared: shared_pb2.Params) -> int:
    return (
        shared.claim_window_open_offset_blocks
        + shared.claim_window_close_offset_blocks
        + shared.proof_window_open_offset_blocks
        + shared.proof_window_close_offset_blocks
    )


def _load(ctx: Context, batch: Batch, claim: proof_pb2.Claim) -> shared_pb2.Service:
    """Bring the records of a claim into the batch; raises what makes a claim faulty."""
    header = claim.session_header
    service = services.find(ctx.store, header.service_id)
    if service is None:
        raise TOKENOMICS_SERVICE_NOT_FOUND(f'service with ID "{header.service_id}" not found')
    if header.application_address not in batch.applications:
        application = applications.find(ctx.store, header.application_address)
        if application is None:
            raise TOKENOMICS_APPLICATION_NOT_FOUND.bare()
        batch.applications[application.address] = applications.copy(application)
        stake = bank.amount_of(application.stake)
        batch.initial_stakes_upokt[application.address] = stake
    operator = claim.supplier_operator_address
    supplier = batch.suppliers.get(operator)
    if supplier is None:
        found = suppliers.record(ctx.store, operator)
        if found is None:
            raise TOKENOMICS_SUPPLIER_NOT_FOUND.bare()
        supplier = shared_pb2.Supplier()
        supplier.CopyFrom(found)
        batch.suppliers[operator] = supplier
    if all(each.service_id != header.service_id for each in supplier.services):
        supplier.services.extend(
            update.service
            for update in suppliers.configs_for_service(ctx.store, header.service_id, ctx.height)
            if update.operator_address == operator
        )
    return service


def _count_in_budget(ctx: Context, batch: Batch, budgets: Budgets, claim: proof_pb2.Claim) -> None:
    """Let a claim that will settle take part in sharing out its application's budget."""
    try:
        _load(ctx, batch, claim)
        validated = claim.proof_validation_status == proof_pb2.VALIDATED
        if not validated and proofs.requirement(ctx, claim) != proof_pb2.NOT_REQUIRED:
            return
        claimed = proofs.amounts(ctx, claim).claimed_upokt
    except ChainError:
        return
    _budget(ctx, batch, budgets, claim).count(
        budget.stake_terms(claimed, batch.params.global_inflation_per_claim)
    )


def _budget(
    ctx: Context, batch: Batch, budgets: Budgets, claim: proof_pb2.Claim
) -> budget.SessionBudget:
    address = claim.session_header.application_address
    end = claim.session_header.session_end_block_height
    return budgets.of_session(
        claim,
        batch.applications[address],
        batch.initial_stakes_upokt[address],
        params.shared_at(ctx.store, end),
    )


def _settle(ctx: Context, batch: Batch, budgets: Budgets, claim: proof_pb2.Claim) -> Result | None:
    """Settle one claim; None when it expires. Raises ChainError for a faulty claim."""
    service = _load(ctx, batch, claim)
    amounts = proofs.amounts(ctx, claim)
    need = proofs.requirement(ctx, claim)
    status = claim.proof_validation_status
    if need != proof_pb2.NOT_REQUIRED and status != proof_pb2.VALIDATED:
        _emit_expired(ctx, claim, amounts)
        return None
    result = Result(claim)
    settled = _process(ctx, batch, budgets, claim, service, result)
    minted = distribution.floor_of(settled, distribution.exact(batch.params.mint_ratio))
    header = claim.session_header
    ctx.emit(
        pb.EventClaimSettled(
            proof_requirement_int=need,
            num_relays=amounts.relays,
            num_claimed_compute_units=amounts.compute_units,
            num_estimated_compute_units=amounts.estimated_compute_units,
            num_estimated_relays=amounts.estimated_relays,
            claimed_upokt=bank.coin_text(amounts.claimed_upokt),
            service_id=header.service_id,
            application_address=header.application_address,
            session_end_block_height=header.session_end_block_height,
            claim_proof_status_int=status,
            supplier_operator_address=claim.supplier_operator_address,
            reward_distribution=result.rewards(),
            reward_distribution_detailed=result.detailed_rewards(),
            settled_upokt=bank.coin_text(settled),
            mint_ratio=_shortest(batch.params.mint_ratio),
            session_id=header.session_id,
            supplier_owner_address=batch.suppliers[claim.supplier_operator_address].owner_address,
            minted_upokt=bank.coin_text(minted),
            overservicing_loss_upokt=bank.coin_text(max(0, amounts.claimed_upokt - settled)),
            deflation_loss_upokt=bank.coin_text(max(0, settled - minted)),
        )
    )
    return result


def _process(
    ctx: Context,
    batch: Batch,
    budgets: Budgets,
    claim: proof_pb2.Claim,
    service: shared_pb2.Service,
    result: Result,
) -> int:
    """Cap a claim by its budget and run the token logic; returns what is settled, in upokt."""
    _check_again(ctx, claim)
    header = claim.session_header
    application = batch.applications[header.application_address]
    claimed = proofs.amounts(ctx, claim).claimed_upokt
    settled = _budget(ctx, batch, budgets, claim).cap(ctx, claim, claimed, batch.params)
    if not settled:
        return 0
    distribution.process(
        ctx,
        distribution.Settlement(
            result,
            batch.params,
            service,
            application,
            batch.suppliers[claim.supplier_operator_address],
            settled,
            batch.proposer_upokt,
        ),
    )
    if bank.amount_of(application.stake) < bank.amount_of(params.application(ctx.store).min_stake):
        application.unstake_session_end_height = grid.session_end(
            params.shared(ctx.store), ctx.height
        )
        applications.emit_unbonding_begin(
            ctx, application, application_pb2.APPLICATION_UNBONDING_REASON_BELOW_MIN_STAKE
        )
    return settled


def _check_again(ctx: Context, claim: proof_pb2.Claim) -> None:
    header = claim.session_header
    try:
        sessions.check_header(header)
    except ChainError as error:
        raise TOKENOMICS_HEADER_INVALID.bare() from error
    amounts = proofs.amounts(ctx, claim)
    if len(claim.root_hash) != ROOT_LENGTH:
        raise TOKENOMICS_ROOT_INVALID(f"root hash of {len(claim.root_hash)} bytes")
    if amounts.compute_units == 0:
        raise TOKENOMICS_ROOT_INVALID("root hash has zero relays")
    start = header.session_start_block_height
    per_relay = services.compute_units_at(ctx.store, header.service_id, start) or 0
    if amounts.compute_units != amounts.relays * per_relay % 2**64:
        raise TOKENOMICS_ROOT_INVALID(
            f"mismatch: claim compute units ({amounts.compute_units}) != number of relays "
            f"({amounts.relays}) * service compute units per relay ({per_relay})"
        )


def _emit_expired(ctx: Context, claim: proof_pb2.Claim, amounts: proofs.Amounts) -> None:
    header = claim.session_header
    pending = claim.proof_validation_status == proof_pb2.PENDING_VALIDATION
    ctx.emit(
        pb.EventClaimExpired(
            expiration_reason=pb.PROOF_MISSING if pending else pb.PROOF_INVALID,
            num_relays=amounts.relays,
            num_claimed_compute_units=amounts.compute_units,
            num_estimated_compute_units=amounts.estimated_compute_units,
            num_estimated_relays=amounts.estimated_relays,
            claimed_upokt=bank.coin_text(amounts.claimed_upokt),
            service_id=header.service_id,
            application_address=header.application_address,
            session_end_block_height=header.session_end_block_height,
            claim_proof_status_int=claim.proof_validation_status,
            supplier_operator_address=claim.supplier_operator_address,
        )
    )


def _discard(ctx: Context, claim: proof_pb2.Claim, error: ChainError) -> None:
    header = claim.session_header
    text = TOKENOMICS_INTERNAL(
        "[UNEXPECTED ERROR] Critical error during claim settlement during session "
        f'"{header.session_id}" for operator {claim.supplier_operator_address} and service '
        f"{header.service_id}. Claim will be discarded to prevent chain halt: {error.text}"
    ).text
    ctx.emit(
        pb.EventClaimDiscarded(
            error=text,
            service_id=header.service_id,
            application_address=header.application_address,
            session_end_block_height=header.session_end_block_height,
            claim_proof_status_int=claim.proof_validation_status,
            supplier_operator_address=claim.supplier_operator_address,
        )
    )


def _relays_by_service(settled: list[Result]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for result in settled:
        if result.claim is not None:
            service_id = result.claim.session_header.service_id
            relays = int.from_bytes(result.claim.root_hash[-8:], "big")
            totals[service_id] = totals.get(service_id, 0) + relays
    return totals


def _shortest(value: float) -> str:
    """A double as Go prints it with the fewest digits and no exponent."""
    return str(int(value)) if value == int(value) else f"{distribution.decimal_of(value):f}"
