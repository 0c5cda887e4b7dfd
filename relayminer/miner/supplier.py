"""One supplier's work while this process owns it: resume, then ingest and drive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from relayminer.miner.accumulate import Accumulator
from relayminer.miner.book import SessionBook
from relayminer.miner.context import ProcessContext, SupplierContext
from relayminer.miner.drive import Driver
from relayminer.miner.ingest import Ingest

if TYPE_CHECKING:
    from relayminer.miner.feed import Feed
    from relayminer.miner.settle import Settlement
    from relayminer.miner.store import SupplierStore
    from relayminer.protocol.signature import SigningKey

_log = structlog.get_logger("relayminer.miner.supplier")


async def run_supplier(
    process: ProcessContext,
    store: SupplierStore,
    key: SigningKey,
    feed: Feed,
    settlement: Settlement,
) -> None:
    """Work for one supplier until cancelled or the lease is lost.

    Everything starts from the store: sessions in whatever state they were left, with what was sent
    for them. The first pass compares them with the chain before anything is sent.

    Raises:
        LeaseLostError: somebody else owns the supplier (in an exception group).
        StateError, ChainError: the supplier cannot be resumed now.
    """
    supplier = key.address
    book = SessionBook(supplier, store, process.metrics)
    await book.load()
    accumulator = Accumulator(supplier, store, book, process.tries, process.facts, process.metrics)
    ingest = Ingest(
        supplier,
        store,
        accumulator,
        batch_entries=process.settings.batch_entries,
        take_over_seconds=process.settings.claim_idle_seconds,
    )
    context = SupplierContext(process, supplier, key, store, book, accumulator, ingest)
    feed.add(ingest)
    _log.info("supplier resumed", supplier=supplier, sessions=sum(1 for _ in book))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ingest.run)
            nursery.start_soon(Driver(context).run)
            # Relays are counted also while the chain is away; settlement needs it.
            settlement.add(context, await _settled_height(process, store, book))
    finally:
        feed.remove(ingest)
        settlement.remove(context)
        process.tries.drop_supplier(supplier)


async def _settled_height(process: ProcessContext, store: SupplierStore, book: SessionBook) -> int:
    """Up to where settlement events were recorded.

    Without a record: up to the present, or further back to before the first block in which one of
    the sessions could have settled. A record of the future is of another chain, or of this one
    before it was set back: it would have us wait for blocks that do not come.
    """
    stored = await store.settled_height()
    with process.blocks.subscribe() as blocks:
        height = (await blocks.receive()).height
    if 0 < stored <= height:
        return stored
    if stored:
        _log.warning("settlement was read further than the chain is", read=stored, height=height)
    return min([height, *(session.end_height for session in book)])
