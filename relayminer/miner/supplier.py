"""One supplier's work while this process owns it: resume, then ingest and drive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.miner.accumulate import Accumulator
from relayminer.miner.book import SessionBook
from relayminer.miner.context import ProcessContext, SupplierContext
from relayminer.miner.drive import PASS_DEADLINE_SECONDS, Driver
from relayminer.miner.fees import RECORDS_READ, fees_of
from relayminer.miner.ingest import Ingest
from relayminer.miner.lifecycle import SessionState

if TYPE_CHECKING:
    from relayminer.miner.feed import Feed
    from relayminer.miner.sessions import Session
    from relayminer.miner.settle import Settlement
    from relayminer.miner.store import SupplierStore
    from relayminer.miner.tenure import Tenure
    from relayminer.protocol.signature import SigningKey

INGEST_DEADLINE_SECONDS: Final = 60.0
"""Longest silence of a consumer that has entries: a batch takes a fraction of a second, and each
command to the store has a time limit of its own."""
DRAIN_SECONDS: Final = 10.0
"""How long reading the rest of the log may take before the next try."""

_NEVER_CLAIMED: Final = frozenset(
    {
        SessionState.CLAIM_WINDOW_CLOSED,
        SessionState.CLAIM_TX_ERROR,
        SessionState.CLAIM_MISSING,
        SessionState.CLAIM_SKIPPED,
    }
)

NODE_LAG_BLOCKS: Final = 10
"""How far the chain's nodes may be apart."""

_log = structlog.get_logger("relayminer.miner.supplier")


async def run_supplier(
    process: ProcessContext,
    store: SupplierStore,
    key: SigningKey,
    feed: Feed,
    settlement: Settlement,
    tenure: Tenure,
) -> None:
    """Work for one supplier until cancelled, or until it may leave and nothing is in flight.

    Everything starts from the store: sessions in whatever state they were left, with what was sent
    for them. The first pass compares them with the chain before anything is sent.

    Raises:
        LeaseLostError: somebody else owns the supplier (in an exception group).
        StateError, ChainError: the supplier cannot be resumed now.
    """
    context = await _context_of(process, store, key)
    supplier, ingest = context.address, context.ingest
    driver = Driver(context)
    feed.add(ingest)
    process.standing.add(context)
    _log.info("supplier resumed", supplier=supplier, sessions=sum(1 for _ in context.book))
    try:
        async with trio.open_nursery() as nursery:
            watchdog = process.watchdog
            nursery.start_soon(
                watchdog.guard,
                f"ingest {supplier}",
                ingest.run,
                INGEST_DEADLINE_SECONDS,
                ingest.is_waited_for,
            )
            nursery.start_soon(
                watchdog.guard,
                f"drive {supplier}",
                driver.run,
                PASS_DEADLINE_SECONDS,
                driver.is_waited_for,
            )
            # Relays are counted also while the chain is away; settlement needs it.
            settlement.add(context, await _settled_height(process, store, context.book))
            await tenure.wait_leaving()
            _log.info("supplier leaves", supplier=supplier, sessions=sum(1 for _ in context.book))
            await _until_nothing_in_flight(context, tenure)
            nursery.cancel_scope.cancel()
    finally:
        feed.remove(ingest)
        settlement.remove(context)
        process.standing.remove(context)
        process.tries.drop_supplier(supplier)


async def _context_of(
    process: ProcessContext, store: SupplierStore, key: SigningKey
) -> SupplierContext:
    """What is known of the supplier, as the store has it."""
    supplier = key.address
    book = SessionBook(supplier, store, process.metrics)
    await book.load()
    testimony = await process.witness.take_up(supplier, store.token)
    await book.compare(testimony)
    accumulator = Accumulator(
        supplier,
        store,
        book,
        process.tries,
        process.facts,
        process.metrics,
        height=lambda: latest.height if (latest := process.blocks.latest) is not None else 0,
        testimony=testimony,
        trail=process.trail,
    )
    ingest = Ingest(
        supplier,
        store,
        accumulator,
        appetite=process.appetite,
        take_over_seconds=process.settings.claim_idle_seconds,
        taken_over=process.metrics.taken_over.bind(supplier),
    )
    fees = fees_of(await store.newest_records(RECORDS_READ))
    return SupplierContext(process, supplier, key, store, book, accumulator, ingest, fees)


async def _until_nothing_in_flight(context: SupplierContext, tenure: Tenure) -> None:
    """Return when the log is read and every session has ended, with its settlement."""
    with context.process.blocks.subscribe() as blocks:
        while True:
            block = await blocks.receive()
            await tenure.wait_leaving()
            drained = await context.ingest.drain(DRAIN_SECONDS)
            if drained and all(map(_has_ended, context.book)):
                _log.info("nothing in flight", supplier=context.address, height=block.height)
                return


def _has_ended(session: Session) -> bool:
    """Whether nothing more is to come: no claim, no proof, no settlement.

    A session whose settlement is never heard of leaves the book in the end.
    """
    return session.state in _NEVER_CLAIMED or (
        session.state.is_terminal and bool(session.settlement_outcome)
    )


async def _settled_height(process: ProcessContext, store: SupplierStore, book: SessionBook) -> int:
    """Up to where settlement events were recorded.

    Without a record: up to the present, or further back to before the first block in which one of
    the sessions could have settled. A record of the far future is of another chain, or of this one
    before it was set back: it would have us wait for blocks that do not come. One that is a little
    ahead was made by another process, whose node is ahead of ours.
    """
    stored = await store.settled_height()
    with process.blocks.subscribe() as blocks:
        height = (await blocks.receive()).height
    if 0 < stored <= height + NODE_LAG_BLOCKS:
        return stored
    if stored:
        _log.warning("settlement was read further than the chain is", read=stored, height=height)
    return min([height, *(session.end_height for session in book)])
