"""Proofs: decide, build, check, send, confirm.

The seed is the hash of the block before the proof window opens: it decides whether a proof is due
and of which leaf. Everything is checked twice: the claimed root against the chain's before a proof
is built, and the proof against the root before it is sent. A wrong proof is slashed stake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.claim import claims_on_chain, session_header
from relayminer.miner.errors import ProofNotSoundError, RootMismatchError, TrieUnavailableError
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.reconcile import proof_validated
from relayminer.miner.records import Phase, Step, record
from relayminer.miner.rewards import reward_upokt
from relayminer.miner.sending import Outgoing, is_due, send_group
from relayminer.miner.submit import Verdict, is_not_required
from relayminer.miner.tries import with_nodes
from relayminer.protocol.errors import AmountError
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.proof_rule import proof_path, proof_requirement
from relayminer.smst import Trie, encode_proof, verify_closest_proof
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.windows import SessionWindows

_log = structlog.get_logger("relayminer.miner.prove")


async def prove_group(
    context: SupplierContext, sessions: Sequence[Session], windows: SessionWindows, height: int
) -> None:
    """Bring the required proofs of sessions with one end on chain, as far as possible now.

    Repeatable at every block of the proof window.

    Raises:
        ChainError, StateError: not possible now; the next block tries again.
        LeaseLostError: the supplier is not ours any more.
    """
    for session in sessions:
        if session.state is SessionState.CLAIMED:
            await context.book.move(session, SessionState.PROVING, "proof window is open")
    seed = await context.process.blocks.block_hash(windows.seed_height)
    theirs = await claims_on_chain(context)
    outgoing: list[Outgoing] = []
    for session in sessions:
        try:
            item = await _prepare(context, session, windows, theirs, seed, height)
        except (TrieUnavailableError, RootMismatchError, ProofNotSoundError, StateError) as error:
            _log.error(
                "no proof can be built",
                supplier=context.address,
                session_id=session.session_id,
                error=str(error),
            )
            continue
        if item is not None:
            outgoing.append(item)
        await trio.lowlevel.checkpoint()
    if not outgoing:
        return
    results = await send_group(
        context,
        Phase.PROOF,
        outgoing,
        height=height,
        open_height=windows.proof_open_height,
        close_height=windows.proof_close_height,
    )
    for item in outgoing:
        result = results[item.session.session_id]
        if result.verdict is Verdict.REFUSED and is_not_required(result.reason):
            await _not_required(context, item.session, height, "the chain says so")


async def _prepare(
    context: SupplierContext,
    session: Session,
    windows: SessionWindows,
    theirs: Mapping[str, proof_pb2.Claim],
    seed: bytes,
    height: int,
) -> Outgoing | None:
    """The proof message of a session, or None when none is to be sent now."""
    claim = theirs.get(session.session_id)
    if claim is None:
        # A node that lags shows no claim either; the verdict at the window's end knows better.
        _log.warning("no claim on chain to prove", session_id=session.session_id)
        return None
    root = await claimed_root(context, session, claim.root_hash)
    if claim.proof_validation_status == proof_pb2.VALIDATED:
        await proof_validated(context, session, height)
        return None
    if not is_due(session.proof_attempt, height, windows.proof_close_height):
        return None
    params = await context.process.facts.proof_params(height)
    reason = await _requirement(context, session, claim, seed, height)
    if reason == proof_pb2.NOT_REQUIRED:
        await _not_required(context, session, height, "sampling")
        return None
    proof = await _proof(context, session, root, seed)
    return Outgoing(
        session,
        proof_pb2.MsgSubmitProof(
            supplier_operator_address=context.address,
            session_header=await session_header(context, session.info),
            proof=proof,
        ),
        {
            "requirement": proof_pb2.ProofRequirementReason.Name(reason),
            "seed": seed.hex(),
            "proof_bytes": len(proof),
            "submission_fee_upokt": int(params.proof_submission_fee.amount or 0),
        },
    )


async def claimed_root(context: SupplierContext, session: Session, theirs: bytes) -> bytes:
    """The sealed root of a session (48 bytes), by its record or its trie's key the chain's.

    The two are the same; where one was damaged the claim on chain says which.

    Raises:
        RootMismatchError: neither is the root `theirs` that was claimed.
    """
    stored = await context.store.sealed_root(session.session_id)
    ours = [root for root in (stored, session.claimed_root) if root is not None]
    if theirs not in ours:
        known = " and ".join(root.hex() for root in ours) or "none"
        raise RootMismatchError(f"the claim on chain has root {theirs.hex()}, ours is {known}")
    if any(root != theirs for root in ours):
        _log.error("a stored root is damaged", session_id=session.session_id)
    session.claimed_root = theirs
    return theirs


async def _proof(context: SupplierContext, session: Session, root: bytes, seed: bytes) -> bytes:
    """The proof, from a trie that is brought back first where it cannot be read.

    Raises:
        TrieUnavailableError, ProofNotSoundError, StateError: there is none.
    """
    try:
        return await build_proof(context, session.session_id, root, seed)
    except (TrieUnavailableError, ProofNotSoundError) as error:
        if not await context.accumulator.restore(session, root, str(error)):
            raise
    return await build_proof(context, session.session_id, root, seed)


async def _requirement(
    context: SupplierContext,
    session: Session,
    claim: proof_pb2.Claim,
    seed: bytes,
    height: int,
) -> proof_pb2.ProofRequirementReason:
    """Whether the chain will want a proof, by the rule it applies when one is submitted.

    When the amount cannot be had the proof is sent: one too many is refused, one too few slashed.
    """
    params = await context.process.facts.proof_params(height)
    pending = proof_pb2.Claim()
    pending.CopyFrom(claim)
    pending.proof_validation_status = proof_pb2.PENDING_VALIDATION
    try:
        amount = await reward_upokt(context, session.info, claim.root_hash, height)
    except (ChainError, AmountError) as error:
        _log.warning(
            "amount is not known, proving", session_id=session.session_id, error=str(error)
        )
        context.process.metrics.sending.requirements.unknown(context.address)
        return proof_pb2.THRESHOLD
    reason = proof_requirement(pending, amount, seed, params)
    context.process.metrics.sending.requirements.decided(context.address, reason)
    return reason


async def build_proof(context: SupplierContext, session_id: str, root: bytes, seed: bytes) -> bytes:
    """The closest proof that the seed asks for, encoded and checked.

    Raises:
        TrieUnavailableError: the trie cannot be read back.
        ProofNotSoundError: what was built does not verify.
    """
    trie = Trie(root)
    path = proof_path(seed, session_id)
    load = context.store.loader(session_id)
    proof = await with_nodes(trie, lambda: trie.prove_closest(path), load)
    if not verify_closest_proof(proof, root):
        raise ProofNotSoundError(f"the proof of session {session_id} does not verify")
    return encode_proof(proof.compact())


async def _not_required(
    context: SupplierContext, session: Session, height: int, reason: str
) -> None:
    await context.store.append_records(
        [record(Step.PROOF_NOT_REQUIRED, session.info, reason=reason, height=height)]
    )
    await context.store.drop_attempt(session, Phase.PROOF)
    session.proof_attempt = None
    await context.book.move(session, SessionState.PROBABILISTIC_PROVED, reason)
