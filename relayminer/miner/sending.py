"""Sending a group of claims or proofs: intents first, then the broadcast, then what became of it.

The order is the promise. The ledger's intent and the stored attempt are written before anything
leaves, so whoever comes after a crash knows that a transaction may be underway, looks for it on
chain, and gives it its two blocks before sending another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from attrs import frozen

from relayminer.miner.claim_rules import lifetime_seconds, resend_height, transactions_of
from relayminer.miner.records import Phase, Value, record
from relayminer.miner.sessions import Attempt, Session
from relayminer.miner.submit import Prepared, Result, Verdict, submit_each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.interfaces import Submitted

RESENDS_MAX: Final = 4
"""How often a message is sent again inside its window that was accepted and does not appear on
chain, or that is refused. What was never accepted has cost nothing and is tried to the end: each
owner that died or was cut off counts as a try, for nobody knows what had left it."""

_log = structlog.get_logger("relayminer.miner.sending")


@frozen
class Outgoing:
    """A message for a session, and what the ledger shall say about it."""

    session: Session
    message: Message
    facts: Mapping[str, Value]


def attempt_of(session: Session, phase: Phase) -> Attempt | None:
    """The last attempt of a phase, if there was one."""
    return session.claim_attempt if phase is Phase.CLAIM else session.proof_attempt


def is_due(attempt: Attempt | None, height: int, close_height: int) -> bool:
    """Whether a message that is not on chain should be sent now.

    At once when it never was; at the next block when it could not be sent; otherwise after its
    transaction has had the time to show.
    """
    if attempt is None or height >= close_height:
        return height < close_height
    if height <= attempt.last_height:
        return False
    if attempt.deferred:
        return True
    if height == close_height - 1 and not attempt.refused:
        # There is no later block; one message too many costs a fee, one too few the reward or
        # stake. What is known to have left in the block before may be included in this one.
        return not attempt.tx_hash or attempt.last_height < height - 1
    if attempt.resends >= RESENDS_MAX and (attempt.original_tx_hash or attempt.refused):
        return False
    resends = min(attempt.resends, RESENDS_MAX)
    return height >= resend_height(attempt.last_height, close_height, resends)


async def send_group(
    context: SupplierContext,
    phase: Phase,
    outgoing: Sequence[Outgoing],
    *,
    height: int,
    open_height: int,
    close_height: int,
) -> dict[str, Result]:
    """Send messages whose sessions share their end; one result per session id.

    Args:
        context: The supplier.
        phase: Claims or proofs, never both.
        outgoing: What to send.
        height: Last committed block.
        open_height: First block of the window.
        close_height: Last block of the window.

    Raises:
        StateError: an intent could not be written; nothing of that transaction was sent.
        LeaseLostError: the supplier is not ours any more.
    """
    results: dict[str, Result] = {}
    by_id = {item.session.session_id: item for item in outgoing}
    lifetime = lifetime_seconds(
        height,
        close_height,
        context.process.block_time_seconds,
        context.process.lifetime_max_seconds,
    )

    async def send(part: Sequence[Prepared]) -> Submitted:
        # The last look before money moves: a lease that has run out sends nothing.
        context.store.require_lease()
        with context.process.metrics.sending.broadcast(context.address, phase, len(part)):
            return await context.process.transactions.submit(
                [item.message for item in part], context.key, lifetime
            )

    limit = context.process.settings.max_messages_per_transaction
    first = [item for item in outgoing if not _failed_in_company(item, phase)]
    again = [item for item in outgoing if _failed_in_company(item, phase)]
    # A transaction that a block took and failed says nothing about which message was to blame.
    for part in (*transactions_of(first, limit), *transactions_of(again, 1)):
        await _intend(context, phase, part, height)
        prepared = [Prepared(item.session.session_id, item.message) for item in part]
        part_results = await submit_each(prepared, send)
        for session_id, result in part_results.items():
            item = by_id[session_id]
            await _after(context, phase, item, result, height)
            if (attempt := attempt_of(item.session, phase)) is not None:
                context.process.metrics.sending.sent(
                    context.address,
                    phase,
                    item.session.info,
                    attempt,
                    result.verdict,
                    height - open_height,
                )
        results.update(part_results)
    return results


def _failed_in_company(item: Outgoing, phase: Phase) -> bool:
    """Whether a transaction with this message was accepted and has not shown on chain."""
    attempt = attempt_of(item.session, phase)
    return attempt is not None and bool(attempt.original_tx_hash)


async def _intend(
    context: SupplierContext, phase: Phase, part: Sequence[Outgoing], height: int
) -> None:
    """Write down what is about to be sent."""
    for item in part:
        session = item.session
        attempt = attempt_of(session, phase)
        if attempt is None:
            attempt = Attempt(submit_height=height, last_height=height)
        elif not attempt.deferred:
            attempt.resends += 1
        attempt.last_height = height
        attempt.message = item.message.SerializeToString(deterministic=True)
        # The hash of the try before says nothing about whether this one leaves.
        attempt.tx_hash, attempt.reason, attempt.refused = "", "", False
        if phase is Phase.CLAIM:
            session.claim_attempt = attempt
        else:
            session.proof_attempt = attempt
        await context.store.save_attempt(session, phase, attempt)
    await context.store.append_records(
        [
            record(phase.intent, item.session.info, height, height=height, **item.facts)
            for item in part
        ]
    )


async def _after(
    context: SupplierContext, phase: Phase, item: Outgoing, result: Result, height: int
) -> None:
    """Write down what became of a message."""
    session = item.session
    attempt = attempt_of(session, phase)
    if attempt is None:
        return
    metrics = context.process.metrics
    if result.verdict is Verdict.ACCEPTED:
        attempt.tx_hash = result.tx_hash
        attempt.original_tx_hash = attempt.original_tx_hash or result.tx_hash
        metrics.submitted.bind(context.address, phase.value).value += 1
        metrics.fees_upokt.bind(context.address, phase.value).value += result.fee_upokt
        if phase is Phase.CLAIM:
            context.fees.claim_upokt = result.fee_upokt
            session.claim_tx_hash = result.tx_hash
        else:
            context.fees.proof_upokt = result.fee_upokt
            session.proof_tx_hash = result.tx_hash
        step, marks = phase.submitted, result.tx_hash
        fields: dict[str, Value] = {"tx_hash": result.tx_hash, "fee_upokt": result.fee_upokt}
    else:
        attempt.reason = result.reason or "refused"
        attempt.refused = result.verdict is Verdict.REFUSED
        metrics.refused.bind(context.address, phase.value, result.verdict.value).value += 1
        step, marks = phase.failed, str(height)
        fields = {"reason": result.reason, "verdict": result.verdict.value}
        _log.warning(
            "message not accepted",
            supplier=context.address,
            session_id=session.session_id,
            phase=phase.value,
            verdict=result.verdict.value,
            reason=result.reason,
        )
    await context.store.save_submission(session, phase, attempt, item.facts)
    await context.store.append_records([record(step, session.info, marks, height=height, **fields)])
