"""MsgCreateClaim and MsgSubmitProof, each check in the chain's order (wire 13.3, 13.4).

Source: poktroll: x/proof/keeper/msg_server_{create_claim,submit_proof}.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank, proofs, relay_proofs, services, sessions
from relayminer.devnet.chain.codes import (
    PROOF_CLAIM_NOT_FOUND,
    PROOF_CLAIM_OUTSIDE_WINDOW,
    PROOF_COMPUTE_UNITS_MISMATCH,
    PROOF_INVALID_ADDRESS,
    PROOF_INVALID_HEADER,
    PROOF_INVALID_PROOF,
    PROOF_INVALID_ROOT,
    PROOF_NOT_REQUIRED,
    PROOF_SERVICE_NOT_FOUND,
    SDK_INVALID_ADDRESS,
)
from relayminer.devnet.chain.errors import ChainError, GrpcCode, StatusError
from relayminer.devnet.chain.tables import CLAIMS, PROOFS
from relayminer.devnet.chain.text import address_problem
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.reward import root_count, root_sum

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import session_pb2

ROOT_LENGTH = 48


def check_create_claim(message: proof_pb2.MsgCreateClaim) -> None:
    """What CheckTx refuses: a bad address, header or root."""
    if address_problem(message.supplier_operator_address) is not None:
        raise PROOF_INVALID_ADDRESS(message.supplier_operator_address)
    if not message.HasField("session_header"):
        raise PROOF_INVALID_HEADER("session header is nil")
    try:
        sessions.check_header(message.session_header)
    except ChainError as error:
        raise PROOF_INVALID_HEADER(f"invalid session header: {error.text}") from error
    root = message.root_hash
    if len(root) != ROOT_LENGTH:
        raise PROOF_INVALID_ROOT(
            f"expecting root hash to be {ROOT_LENGTH} bytes, got {len(root)} bytes"
        )
    if root_count(root) == 0:
        raise PROOF_INVALID_ROOT(f"has zero count in Merkle root (hex) {root.hex()}")
    if root_sum(root) == 0:
        raise PROOF_INVALID_ROOT(f"has zero sum in Merkle root (hex) {root.hex()}")


def create_claim(ctx: Context, message: proof_pb2.MsgCreateClaim) -> None:
    """Store a claim; an earlier one of the same session and supplier is overwritten."""
    supplier = message.supplier_operator_address
    header = message.session_header
    try:
        check_create_claim(message)
        session = proofs.checked_session(ctx, header, supplier)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    _check_claim_window(ctx, header.session_end_block_height)
    _check_compute_units(ctx, message)
    key = (header.session_id, supplier)
    existed = ctx.store.get(CLAIMS, key) is not None
    claim = proof_pb2.Claim(
        supplier_operator_address=supplier,
        session_header=header,
        root_hash=message.root_hash,
    )
    ctx.store.set(CLAIMS, key, claim)
    try:
        amounts = proofs.amounts(ctx, claim)
    except ChainError as error:
        problem = PROOF_INVALID_ROOT(f"failed to calculate claimed uPOKT: {error.text}")
        raise StatusError(GrpcCode.INTERNAL, problem.text) from error
    event = proof_pb2.EventClaimUpdated if existed else proof_pb2.EventClaimCreated
    ctx.emit(
        event(
            num_relays=amounts.relays,
            num_claimed_compute_units=amounts.compute_units,
            # The claim's events carry the compute units that were expected, not an estimate.
            num_estimated_compute_units=amounts.compute_units,
            num_estimated_relays=amounts.estimated_relays,
            claimed_upokt=bank.coin_text(amounts.claimed_upokt),
            service_id=session.header.service_id,
            application_address=header.application_address,
            session_end_block_height=header.session_end_block_height,
            claim_proof_status_int=proof_pb2.PENDING_VALIDATION,
            supplier_operator_address=supplier,
        )
    )


def _check_claim_window(ctx: Context, session_end_height: int) -> None:
    windows = proofs.windows_of(ctx, session_end_height)
    if ctx.height < windows.claim_open_height:
        problem = PROOF_CLAIM_OUTSIDE_WINDOW(
            f"current block height ({ctx.height}) is less than the session's earliest claim "
            f"commit height ({windows.claim_open_height})"
        )
    elif ctx.height > windows.claim_close_height:
        problem = PROOF_CLAIM_OUTSIDE_WINDOW(
            f"current block height ({ctx.height}) is greater than session claim window close "
            f"height ({windows.claim_close_height})"
        )
    else:
        return
    raise StatusError(GrpcCode.FAILED_PRECONDITION, problem.text)


def _check_compute_units(ctx: Context, message: proof_pb2.MsgCreateClaim) -> None:
    service_id = message.session_header.service_id
    start = message.session_header.session_start_block_height
    per_relay = services.compute_units_at(ctx.store, service_id, start)
    if per_relay is None:
        inner = PROOF_SERVICE_NOT_FOUND(f"service {service_id} not found")
        raise StatusError(GrpcCode.NOT_FOUND, PROOF_SERVICE_NOT_FOUND(inner.text).text)
    relays = root_count(message.root_hash)
    claimed = root_sum(message.root_hash)
    if claimed != relays * per_relay % 2**64:
        problem = PROOF_COMPUTE_UNITS_MISMATCH(
            f"claim compute units: {claimed} is not equal to number of relays {relays} * "
            f"compute units per relay {per_relay} for service {service_id}"
        )
        raise StatusError(GrpcCode.INVALID_ARGUMENT, problem.text)


def check_submit_proof(message: proof_pb2.MsgSubmitProof) -> None:
    """What CheckTx refuses: a bad address or header, an empty proof."""
    problem = address_problem(message.supplier_operator_address)
    if problem is not None:
        raise SDK_INVALID_ADDRESS(
            f'supplier operator address "{message.supplier_operator_address}", error: {problem}'
        )
    if not message.HasField("session_header"):
        raise PROOF_INVALID_HEADER("session header is nil")
    _check_proof_header(message.session_header)
    if not message.proof:
        raise PROOF_INVALID_PROOF("proof cannot be empty")


def _check_proof_header(header: session_pb2.SessionHeader) -> None:
    try:
        sessions.check_header(header)
    except ChainError as error:
        raise PROOF_INVALID_HEADER(error.text) from error


def submit_proof(ctx: Context, message: proof_pb2.MsgSubmitProof) -> None:
    """Store a proof, to be judged at the end of this block; charges the submission fee."""
    try:
        check_submit_proof(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    supplier = message.supplier_operator_address
    header = message.session_header
    proof = proof_pb2.Proof(
        supplier_operator_address=supplier,
        session_header=header,
        closest_merkle_proof=message.proof,
    )
    key = (header.session_id, supplier)
    try:
        relay_proofs.check_well_formed(ctx, proof)
        claim = ctx.store.get(CLAIMS, key)
        if claim is None:
            raise PROOF_CLAIM_NOT_FOUND.bare()
        proofs.deduct_fee(ctx, supplier)
        if proofs.requirement(ctx, claim) == proof_pb2.NOT_REQUIRED:
            raise PROOF_NOT_REQUIRED.bare()
    except ChainError as error:
        raise StatusError(GrpcCode.FAILED_PRECONDITION, error.text) from error
    amounts = proofs.amounts(ctx, claim)
    existed = ctx.store.get(PROOFS, key) is not None
    ctx.store.set(PROOFS, key, proof)
    event = proof_pb2.EventProofUpdated if existed else proof_pb2.EventProofSubmitted
    claimed = claim.session_header
    ctx.emit(
        event(
            num_relays=amounts.relays,
            num_claimed_compute_units=amounts.compute_units,
            num_estimated_compute_units=amounts.estimated_compute_units,
            num_estimated_relays=amounts.estimated_relays,
            claimed_upokt=bank.coin_text(amounts.claimed_upokt),
            service_id=claimed.service_id,
            application_address=claimed.application_address,
            session_end_block_height=claimed.session_end_block_height,
            claim_proof_status_int=proof_pb2.PENDING_VALIDATION,
            supplier_operator_address=supplier,
        )
    )
