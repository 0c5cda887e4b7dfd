"""What a submitted proof must hold: its form at submission, its truth at the end of the block.

Source: poktroll: x/proof/keeper/{proof_validation,validate_proofs}.go.
"""

from __future__ import annotations

import hashlib
import math
import sys
from typing import TYPE_CHECKING

from relayminer.devnet.chain import accounts, applications, params, proofs, services, sessions
from relayminer.devnet.chain.codes import (
    PROOF_ACCOUNT_NOT_FOUND,
    PROOF_CLAIM_NOT_FOUND,
    PROOF_INVALID_ADDRESS,
    PROOF_INVALID_DIFFICULTY,
    PROOF_INVALID_PROOF,
    PROOF_INVALID_RELAY,
    PROOF_INVALID_SERVICE,
    PROOF_INVALID_SESSION_END,
    PROOF_INVALID_SESSION_START,
    PROOF_OUTSIDE_WINDOW,
    PROOF_PUBLIC_KEY_NOT_FOUND,
    PROOF_SUPPLIER_MISMATCH,
    SERVICE_INVALID_RELAY_REQUEST,
    SERVICE_INVALID_RELAY_RESPONSE,
)
from relayminer.devnet.chain.errors import ChainError
from relayminer.devnet.chain.tables import CLAIMS, PROOFS
from relayminer.protocol import session as grid
from relayminer.protocol.codec import decode
from relayminer.protocol.difficulty import is_applicable
from relayminer.protocol.errors import DecodeError, RingError
from relayminer.protocol.pb import application_pb2, proof_pb2, service_pb2
from relayminer.protocol.proof_rule import proof_path
from relayminer.protocol.relay import response_hash
from relayminer.protocol.ring import check_ring_signature
from relayminer.protocol.ring_members import (
    PLACEHOLDER_ADDRESS,
    PLACEHOLDER_PUBLIC_KEY,
    ring_addresses,
)
from relayminer.protocol.signature import verify_signature
from relayminer.smst import SmstError, decode_proof, verify_closest_proof

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import session_pb2
    from relayminer.smst import ClosestProof

TARGET_LENGTH = 32
MAX_TARGET = 2**256 - 1


def check_well_formed(ctx: Context, proof: proof_pb2.Proof) -> None:
    """Everything that submission checks about a proof but its fee and need (13.4, 4 to 14)."""
    supplier = proof.supplier_operator_address
    header = proofs.checked_session(ctx, proof.session_header, supplier).header
    _check_window(ctx, header.session_end_block_height)
    _, relay_bytes = _expanded(proof.closest_merkle_proof)
    relay = _relay(relay_bytes)
    _check_request(relay)
    if relay.req.meta.supplier_operator_address != supplier:
        raise PROOF_SUPPLIER_MISMATCH("supplier type mismatch")
    _check_response(relay)
    _compare_headers(header, relay.req.meta.session_header)
    _compare_headers(header, relay.res.meta.session_header)
    _check_difficulty(ctx, header, relay_bytes)
    _check_claim(ctx, header, supplier)


def end_block(ctx: Context) -> None:
    """Judge every proof stored in this block and drop it."""
    for key, proof in ctx.store.items(PROOFS):
        claim = ctx.store.get(CLAIMS, key)
        if claim is None:
            continue
        reason = ""
        status = proof_pb2.VALIDATED
        try:
            _check_truth(ctx, claim, proof)
        except ChainError as error:
            status = proof_pb2.INVALID
            reason = error.text
        judged = proof_pb2.Claim()
        judged.CopyFrom(claim)
        judged.proof_validation_status = status
        ctx.store.set(CLAIMS, key, judged)
        ctx.store.delete(PROOFS, key)
        header = claim.session_header
        ctx.emit(
            proof_pb2.EventProofValidityChecked(
                block_height=ctx.height,
                failure_reason=reason,
                service_id=header.service_id,
                application_address=header.application_address,
                session_end_block_height=header.session_end_block_height,
                claim_proof_status_int=status,
                supplier_operator_address=proof.supplier_operator_address,
            )
        )


def _check_window(ctx: Context, session_end_height: int) -> None:
    windows = proofs.windows_of(ctx, session_end_height)
    if ctx.height < windows.proof_open_height:
        raise PROOF_OUTSIDE_WINDOW(
            f"current block height ({ctx.height}) is less than session's earliest proof commit "
            f"height ({windows.proof_open_height})"
        )
    if ctx.height > windows.proof_close_height:
        raise PROOF_OUTSIDE_WINDOW(
            f"current block height ({ctx.height}) is greater than session proof window close "
            f"height ({windows.proof_close_height})"
        )


def _expanded(data: bytes) -> tuple[ClosestProof, bytes]:
    """The proof taken out of its compact form, and the relay in its leaf."""
    try:
        compact = decode_proof(data)
    except SmstError as error:
        raise PROOF_INVALID_PROOF(
            f"failed to unmarshal sparse compact merkle closest proof: {error}"
        ) from error
    try:
        closest = compact.decompact()
    except SmstError as error:
        raise PROOF_INVALID_PROOF(
            f"failed to decompact sparse erkle closest proof: {error}"
        ) from error
    return closest, closest.leaf_value or b""


def _relay(data: bytes) -> service_pb2.Relay:
    try:
        return decode(service_pb2.Relay, data)
    except DecodeError as error:
        raise PROOF_INVALID_RELAY(f"failed to unmarshal relay: {error}") from error


def _check_request(relay: service_pb2.Relay) -> None:
    meta = relay.req.meta
    if not meta.HasField("session_header"):
        raise SERVICE_INVALID_RELAY_REQUEST("missing session header")
    try:
        sessions.check_header(meta.session_header)
    except ChainError as error:
        raise SERVICE_INVALID_RELAY_REQUEST(f"invalid session header: {error.text}") from error
    if not meta.signature:
        raise SERVICE_INVALID_RELAY_REQUEST("missing application signature")
    if not meta.supplier_operator_address:
        raise SERVICE_INVALID_RELAY_REQUEST("relay metadata missing supplier operator address")


def _check_response(relay: service_pb2.Relay) -> None:
    meta = relay.res.meta
    if not meta.HasField("session_header"):
        raise SERVICE_INVALID_RELAY_RESPONSE("missing meta")
    try:
        sessions.check_header(meta.session_header)
    except ChainError as error:
        raise SERVICE_INVALID_RELAY_RESPONSE(f"invalid session header: {error.text}") from error
    if not meta.supplier_operator_signature:
        raise SERVICE_INVALID_RELAY_RESPONSE("missing supplier operator signature")


def _compare_headers(
    expected: session_pb2.SessionHeader, header: session_pb2.SessionHeader
) -> None:
    rows = (
        ("application_address", "application addresses mismatch; expect", '"{}"'),
        ("service_id", "service IDs mismatch; expected", '"{}"'),
        ("session_start_block_height", "session start heights mismatch; expected", "{}"),
        ("session_end_block_height", "session end heights mismatch; expected", "{}"),
        ("session_id", "session IDs mismatch; expected", '"{}"'),
    )
    for name, text, form in rows:
        wanted, got = getattr(expected, name), getattr(header, name)
        if wanted != got:
            raise PROOF_INVALID_RELAY(
                f"session headers {text}: {form.format(wanted)}, got: {form.format(got)}"
            )


def _check_difficulty(ctx: Context, header: session_pb2.SessionHeader, relay_bytes: bytes) -> None:
    target = services.difficulty_at(
        ctx.store, header.service_id, header.session_start_block_height
    ).target_hash
    digest = hashlib.sha256(relay_bytes).digest()
    if len(target) != TARGET_LENGTH:
        problem = PROOF_INVALID_RELAY(
            f"invalid RelayDifficultyTargetHash: ({target.hex()}); length wanted: "
            f"{TARGET_LENGTH}; got: {len(target)}"
        )
    elif is_applicable(digest, target):
        return
    else:
        problem = PROOF_INVALID_RELAY(
            f"the difficulty relay being proven is ({_multiplier(digest)}), and is smaller than "
            f"the target difficulty ({_multiplier(target)})"
        )
    raise PROOF_INVALID_DIFFICULTY(
        f"failed to validate relay difficulty for service {header.service_id} "
        f"due to: {problem.text}"
    )


def _multiplier(digest: bytes) -> str:
    """The difficulty multiplier of a hash as a Go rational prints it: `a/b`."""
    divisor = int.from_bytes(digest, "big")
    if not divisor:
        return "0/1"
    common = math.gcd(MAX_TARGET, divisor)
    return f"{MAX_TARGET // common}/{divisor // common}"


def _check_claim(ctx: Context, header: session_pb2.SessionHeader, supplier: str) -> None:
    claim = ctx.store.get(CLAIMS, (header.session_id, supplier))
    if claim is None:
        raise PROOF_CLAIM_NOT_FOUND(
            f'no claim found for session ID "{header.session_id}" and supplier "{supplier}"'
        )
    claimed = claim.session_header
    rows = (
        ("session_start_block_height", PROOF_INVALID_SESSION_START, "session start height {}"),
        ("session_end_block_height", PROOF_INVALID_SESSION_END, "session end height {}"),
        ("application_address", PROOF_INVALID_ADDRESS, 'application address "{}"'),
        ("service_id", PROOF_INVALID_SERVICE, 'service ID "{}"'),
    )
    for name, error, form in rows:
        mine, theirs = getattr(claimed, name), getattr(header, name)
        if mine != theirs:
            raise error(f"claim {form.format(mine)} does not match proof {form.format(theirs)}")


def _check_truth(ctx: Context, claim: proof_pb2.Claim, proof: proof_pb2.Proof) -> None:
    """Signatures, path and Merkle root, in the chain's order (wire 14.1)."""
    supplier_key = _public_key(ctx, proof.supplier_operator_address)
    closest, relay_bytes = _expanded(proof.closest_merkle_proof)
    relay = _relay(relay_bytes)
    _check_ring(ctx, relay.req)
    signature = relay.res.meta.supplier_operator_signature
    if not verify_signature(supplier_key, response_hash(relay.res), signature):
        raise SERVICE_INVALID_RELAY_RESPONSE("invalid signature")
    header = proof.session_header
    seed = proofs.seed_hash(ctx, header.session_end_block_height)
    expected = proof_path(seed, header.session_id)
    if closest.path != expected:
        raise PROOF_INVALID_PROOF(
            f"the path of the proof provided ({closest.path.hex()}) does not match one expected "
            f"by the onchain protocol ({expected.hex()})"
        )
    try:
        valid = verify_closest_proof(closest, claim.root_hash)
    except SmstError as error:
        raise PROOF_INVALID_PROOF(str(error)) from error
    if not valid:
        raise PROOF_INVALID_PROOF("invalid closest merkle proof")


def _public_key(ctx: Context, address: str) -> bytes:
    account = accounts.find(ctx.store, address)
    if account is None:
        raise PROOF_ACCOUNT_NOT_FOUND(f"account not found for address {address}")
    if account.public_key is None:
        raise PROOF_PUBLIC_KEY_NOT_FOUND.bare()
    return account.public_key


def _check_ring(ctx: Context, request: service_pb2.RelayRequest) -> None:
    """The request's ring signature, against the application as it is now."""
    header = request.meta.session_header
    address = header.application_address
    application = applications.find(ctx.store, address)
    if application is None:
        raise _ring_error(2, f"error getting ring for application address {address}: not found")
    try:
        expected = ring_keys(ctx, application, header.session_end_block_height)
    except ChainError as error:
        raise _ring_error(
            2, f"error getting ring for application address {address}: {error.text}"
        ) from error
    try:
        check_ring_signature(request, expected, max_members=sys.maxsize)
    except RingError as error:
        raise _ring_error(error.code, str(error)) from error


def ring_keys(
    ctx: Context, application: application_pb2.Application, session_end_height: int
) -> frozenset[bytes]:
    """The public keys that may sign for an application's session; raises when one is unknown."""
    target_end = grid.session_end(params.shared(ctx.store), session_end_height)
    return frozenset(
        PLACEHOLDER_PUBLIC_KEY if each == PLACEHOLDER_ADDRESS else _public_key(ctx, each)
        for each in ring_addresses(application, target_end)
    )


def _ring_error(code: int, detail: str) -> ChainError:
    texts = {
        1: "key is not a secp256k1 public key",
        2: "invalid relay request",
        3: "invalid relay request signature",
    }
    return ChainError("rings", code, f"{detail}: {texts.get(code, texts[3])}")
