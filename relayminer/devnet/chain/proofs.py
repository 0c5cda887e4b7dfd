"""Claims and proofs: what both handlers and settlement ask of them. Source: poktroll: x/proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.devnet.chain import bank, params, services, sessions
from relayminer.devnet.chain.codes import (
    PROOF_FEE_NOT_DEDUCTED,
    PROOF_INVALID_AMOUNT,
    PROOF_INVALID_DIFFICULTY,
    PROOF_INVALID_SESSION_ID,
    PROOF_NOT_ENOUGH_FUNDS,
    PROOF_SUPPLIER_NOT_FOUND,
)
from relayminer.devnet.chain.errors import ChainError
from relayminer.devnet.chain.values import UPOKT
from relayminer.protocol.errors import AmountError
from relayminer.protocol.proof_rule import proof_requirement
from relayminer.protocol.reward import (
    claimed_upokt,
    estimated_compute_units,
    estimated_relays,
    root_count,
    root_sum,
)
from relayminer.protocol.windows import session_windows

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import proof_pb2, session_pb2
    from relayminer.protocol.windows import SessionWindows


@frozen(slots=True)
class Amounts:
    """What a claim asks for: relays and compute units as claimed and as estimated, and upokt."""

    relays: int
    compute_units: int
    estimated_compute_units: int
    estimated_relays: int
    claimed_upokt: int


def amounts(ctx: Context, claim: proof_pb2.Claim) -> Amounts:
    """Price a claim by difficulty and shared parameters at its session's start."""
    header = claim.session_header
    start = header.session_start_block_height
    difficulty = services.difficulty_at(ctx.store, header.service_id, start)
    if difficulty.service_id != header.service_id:
        raise PROOF_INVALID_DIFFICULTY(
            f"claim service ID ({header.service_id}) does not match the service relay mining "
            f"difficulty service ID ({difficulty.service_id})"
        )
    target = difficulty.target_hash
    root = claim.root_hash
    try:
        return Amounts(
            relays=root_count(root),
            compute_units=root_sum(root),
            estimated_compute_units=estimated_compute_units(root, target),
            estimated_relays=estimated_relays(root, target),
            claimed_upokt=claimed_upokt(root, target, params.shared_at(ctx.store, start)),
        )
    except AmountError as error:
        raise PROOF_INVALID_AMOUNT(str(error)) from error


def windows_of(ctx: Context, session_end_height: int) -> SessionWindows:
    """The windows of a session, by the shared parameters at its end."""
    return session_windows(params.shared_at(ctx.store, session_end_height), session_end_height)


def seed_hash(ctx: Context, session_end_height: int) -> bytes:
    """The block hash that seeds proof paths and samples; empty when there is none yet."""
    return sessions.block_hash(ctx.store, windows_of(ctx, session_end_height).seed_height)


def requirement(ctx: Context, claim: proof_pb2.Claim) -> proof_pb2.ProofRequirementReason:
    """Whether the claim, with the status it has now, needs a proof, and why (wire 12.2)."""
    return proof_requirement(
        claim,
        amounts(ctx, claim).claimed_upokt,
        seed_hash(ctx, claim.session_header.session_end_block_height),
        params.proof(ctx.store),
    )


def checked_session(
    ctx: Context, header: session_pb2.SessionHeader, supplier: str
) -> session_pb2.Session:
    """The session on chain for a message's header: right id, supplier in it (13.3, 5 to 7)."""
    height = header.session_start_block_height or ctx.height
    sessions.check_request(header.application_address, header.service_id, height)
    session = sessions.hydrate(ctx, header.application_address, header.service_id, height)
    if header.session_id != session.session_id:
        raise PROOF_INVALID_SESSION_ID(
            f'session ID does not match onchain session ID; expected "{session.session_id}", '
            f'got "{header.session_id}"'
        )
    if all(each.operator_address != supplier for each in session.suppliers):
        raise PROOF_SUPPLIER_NOT_FOUND(
            f'supplier operator address "{supplier}" not found in session ID "{header.session_id}"'
        )
    return session


def deduct_fee(ctx: Context, supplier: str) -> None:
    """Take the submission fee of a proof; the balance must be strictly greater than the fee."""
    fee = params.proof(ctx.store).proof_submission_fee
    fee_upokt = bank.amount_of(fee)
    held = bank.balance(ctx, supplier)
    if held == 0:
        raise PROOF_NOT_ENOUGH_FUNDS("account has no spendable coins")
    if held <= fee_upokt:
        raise PROOF_NOT_ENOUGH_FUNDS(
            f"account has {held}, but the proof submission fee is "
            f"{bank.coin_text(fee_upokt, fee.denom or UPOKT)}"
        )
    if not fee_upokt:
        return
    try:
        bank.send_to_module(ctx, supplier, "proof", bank.upokt(fee_upokt))
    except ChainError as error:
        raise PROOF_FEE_NOT_DEDUCTED(f"account has {held}, failed to deduct {fee_upokt}") from error
