"""What the stages of one supplier share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from relayminer.miner.fees import OwnFees

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.settings import MinerSettings
    from relayminer.miner.accumulate import Accumulator
    from relayminer.miner.appetite import Appetite
    from relayminer.miner.book import SessionBook
    from relayminer.miner.facts import ChainFacts
    from relayminer.miner.ingest import Ingest
    from relayminer.miner.interfaces import BlockSource, ChainReader, Transactions
    from relayminer.miner.known import KnownEntities
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.shadow import Comparison
    from relayminer.miner.standing import Standing
    from relayminer.miner.store import SupplierStore
    from relayminer.miner.trail import Trail
    from relayminer.miner.tries import OpenTries
    from relayminer.miner.witness import Witness
    from relayminer.protocol.signature import SigningKey
    from relayminer.watchdog import Watchdog


@frozen
class ProcessContext:
    """What all suppliers of a process share."""

    settings: MinerSettings
    block_time_seconds: float
    lifetime_max_seconds: float
    chain: ChainReader
    blocks: BlockSource
    transactions: Transactions
    facts: ChainFacts
    tries: OpenTries
    appetite: Appetite
    metrics: MinerMetrics
    watchdog: Watchdog
    witness: Witness
    known: KnownEntities
    standing: Standing
    may_send: Callable[[str], bool]
    """Whether transactions may be sent for a supplier: not for one that is not staked."""
    settled_through: Callable[[str], int]
    """Last height whose settlement events have been recorded for a supplier."""
    shadow: Comparison | None = None
    """Of a shadow, which sends nothing: compares what it would have claimed."""
    trail: Trail | None = None
    """Tells of traced relays; None when relays are not traced."""


@frozen
class SupplierContext:
    """What the stages of one supplier share while we own it."""

    process: ProcessContext
    address: str
    key: SigningKey = field(repr=False)
    store: SupplierStore
    book: SessionBook
    accumulator: Accumulator
    ingest: Ingest
    fees: OwnFees = field(factory=OwnFees)
