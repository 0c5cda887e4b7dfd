"""The miner of a process: everything that works for the suppliers whose keys are loaded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import trio

from relayminer.miner.appetite import appetite_of
from relayminer.miner.context import ProcessContext
from relayminer.miner.facts import ChainFacts
from relayminer.miner.feed import Feed
from relayminer.miner.known import KnownEntities
from relayminer.miner.logs import open_logs
from relayminer.miner.metrics import MinerMetrics, OwnershipMetrics
from relayminer.miner.money import MoneyMetrics
from relayminer.miner.ownership import Ownership, Times
from relayminer.miner.registry import Registry
from relayminer.miner.settle import Settlement
from relayminer.miner.standing import Standing, StandingMetrics
from relayminer.miner.store import Stores, SupplierStore
from relayminer.miner.supplier import run_supplier
from relayminer.miner.trail import trail_of
from relayminer.miner.tries import OpenTries
from relayminer.miner.witness import Witness
from relayminer.state.ledger import Ledger
from relayminer.state.log_reader import LogReader
from relayminer.state.meter import MeterStore
from relayminer.state.rebroadcast import RebroadcastStore
from relayminer.state.sessions import SessionStore
from relayminer.state.submissions import SubmissionStore
from relayminer.state.suppliers import SupplierRegistry, SupplierStates
from relayminer.state.tally import TallyStore
from relayminer.state.trie_repair import TrieRepair
from relayminer.state.tries import TrieMetrics, TrieStore
from relayminer.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.miner.interfaces import BlockSource, ChainReader, Transactions
    from relayminer.miner.logs import RelayLogs
    from relayminer.miner.records import Record
    from relayminer.miner.shadow import Comparison
    from relayminer.miner.tenure import Tenure
    from relayminer.protocol.signature import SigningKey
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics
    from relayminer.telemetry.spans import Traces
    from relayminer.watchdog import Loop

LOOP_SECONDS: Final = 60.0
SETTLEMENT_SECONDS: Final = 600.0
"""Longest silences of loops that have work, in seconds."""


class MinerService:
    """A service that mines for every supplier whose key is loaded and whose lease it gets.

    Args:
        settings: Of the process.
        keys: Signing keys by operator address.
        redis: The running gateway to the shared state.
        names: Key names.
        chain: Queries.
        blocks: The running block follower.
        transactions: Sends claims and proofs.
        metrics: Where the miner's metrics are declared.
        owner: Id of this process in leases and consumer groups; never the same for two lives of
            a process (`state.leases.owner_id`).
        watchdog: Looks after the loops; None: nobody does.
        shadow: Of a shadow, whose `names` are its own; it compares and sends nothing.
        witness_home: Where is kept what must not be forgotten with the store; None: in memory.
        traces: Where the spans of relays go; None: none are made.
        now: Unix seconds, for records that people read.
    """

    name = "miner"

    def __init__(
        self,
        settings: Settings,
        keys: Mapping[str, SigningKey],
        *,
        redis: Redis,
        names: KeyNames,
        chain: ChainReader,
        blocks: BlockSource,
        transactions: Transactions,
        metrics: Metrics,
        owner: str,
        watchdog: Watchdog | None = None,
        shadow: Comparison | None = None,
        witness_home: Path | None = None,
        traces: Traces | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings.miner
        self._keys = dict(keys)
        self._redis = redis
        self._names = names
        self._owner = owner
        self._now = now
        self._watchdog = watchdog or Watchdog(metrics)
        miner_metrics = MinerMetrics(metrics)
        self._money = MoneyMetrics(metrics)
        self._trie_metrics = TrieMetrics(metrics)
        self._standing = Standing(StandingMetrics(metrics), blocks)
        self._settlement = Settlement(blocks, miner_metrics)
        self._states = SupplierStates(redis, names, now_seconds=now)
        self._register = SupplierRegistry(redis, names, now_seconds=now)
        self._registry = Registry(
            chain,
            blocks,
            self._states,
            self._register,
            metrics=miner_metrics,
            miner_id=owner,
            interval_seconds=settings.miner.reconcile_interval_seconds,
        )
        self._process = ProcessContext(
            settings=settings.miner,
            block_time_seconds=settings.chain.block_time_seconds,
            lifetime_max_seconds=settings.transactions.lifetime_max_seconds,
            chain=chain,
            blocks=blocks,
            transactions=transactions,
            facts=ChainFacts(chain, miner_metrics.facts),
            tries=OpenTries(settings.miner.open_leaves_max, miner_metrics),
            appetite=appetite_of(settings.miner),
            metrics=miner_metrics,
            watchdog=self._watchdog,
            witness=Witness(witness_home, f"{settings.redis.url} {names.base}", owner),
            known=KnownEntities(redis, names),
            standing=self._standing,
            may_send=self._registry.may_send,
            settled_through=self._settlement.through,
            shadow=shadow,
            trail=trail_of(traces, settings.tracing),
        )
        self._ownership = Ownership(
            redis,
            names,
            owner=owner,
            work=self._work,
            times=Times(settings.miner.lease_ttl_seconds, settings.miner.lease_renew_seconds),
            metrics=OwnershipMetrics(metrics, owner),
        )
        self._stores: Stores | None = None
        self._feed: Feed | None = None

    def set_keys(self, keys: Mapping[str, SigningKey]) -> None:
        """Mine for these suppliers from now on, and for no others.

        A supplier whose key is gone is given to another miner that has its key. When there is none
        it is worked for until none of its sessions is in flight: a claim that was made must be
        proven.
        """
        working = self._ownership.suppliers
        leaving = {one: key for one, key in self._keys.items() if one in working}
        self._keys = {**leaving, **keys}
        self._ownership.want(keys)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Mine until cancelled; leases are given back at the end."""
        reader = LogReader(self._redis, self._names, self._owner)
        async with open_logs(self._redis, reader) as logs:
            self._stores = self._make_stores(logs)
            self._feed = Feed(
                logs,
                appetite=self._process.appetite,
                block_seconds=self._settings.read_block_seconds,
                errors=self._process.metrics.read_errors,
            )
            self.set_keys(self._keys)
            async with trio.open_nursery() as nursery:
                for name, loop, deadline_seconds, waiting in self._loops(self._feed):
                    keep = self._watchdog.keep
                    nursery.start_soon(keep, name, loop, deadline_seconds, waiting, name=name)
                task_status.started()

    def _loops(self, feed: Feed) -> Iterable[tuple[str, Loop, float, Callable[[], bool] | None]]:
        """The loops of a process: name, loop, longest silence, whether there is work."""
        settings, settlement = self._settings, self._settlement
        yield "feed", feed.run, LOOP_SECONDS + settings.read_block_seconds, None
        # A node may not have a block's events for a while; running the loop again is no remedy.
        yield "settlement", settlement.run, SETTLEMENT_SECONDS, settlement.is_waited_for
        yield "registry", self._registry.run, LOOP_SECONDS, None
        yield "standing", self._standing.run, LOOP_SECONDS, None
        yield "witness", self._process.witness.run, LOOP_SECONDS, None
        yield "ownership", self._ownership.run, LOOP_SECONDS + settings.lease_ttl_seconds, None

    def _make_stores(self, logs: RelayLogs) -> Stores:
        redis, names, settings = self._redis, self._names, self._settings
        ttl_seconds = int(settings.cache_ttl_seconds)
        session_ttl_seconds = int(settings.session_ttl_seconds or settings.cache_ttl_seconds)
        return Stores(
            redis=redis,
            names=names,
            logs=logs,
            sessions=SessionStore(redis, names, ttl_seconds=session_ttl_seconds),
            tries=TrieStore(
                redis,
                names,
                ttl_seconds=ttl_seconds,
                session_ttl_seconds=session_ttl_seconds,
                metrics=self._trie_metrics,
            ),
            repairs=TrieRepair(redis, names, ttl_seconds=ttl_seconds),
            ledger=Ledger(redis, names),
            meter=MeterStore(redis, names, ttl_seconds=ttl_seconds),
            tally=TallyStore(redis, names, ttl_seconds=ttl_seconds),
            rebroadcast=RebroadcastStore(redis, names),
            submissions=SubmissionStore(
                redis,
                names,
                ttl_seconds=int(settings.submission_tracking_ttl_seconds),
                now_seconds=self._now,
            ),
            settled_heights_key=names.settled_heights_key,
            now=self._now,
            count=self._count,
        )

    def _count(self, supplier: str, record: Record) -> None:
        self._money.count(supplier, record)
        if self._process.trail is not None:
            self._process.trail.saw(supplier, record)

    async def _work(self, tenure: Tenure) -> None:
        """One supplier's work under its lease, from being announced to being taken off."""
        if self._stores is None or self._feed is None:
            raise RuntimeError("the miner is not running")
        supplier = tenure.supplier
        store = SupplierStore(self._stores, supplier, tenure.lease)
        await self._register.add(supplier)
        updates = self._process.metrics.registry_updates
        updates.bind("add").value += 1
        self._registry.add(supplier)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_leaving, tenure)
                await run_supplier(
                    self._process, store, self._keys[supplier], self._feed, self._settlement, tenure
                )
                nursery.cancel_scope.cancel()
        finally:
            self._registry.remove(supplier)
        # Under its lease still: whoever comes after us writes its own entries.
        await self._register.remove(supplier)
        updates.bind("remove").value += 1
        await self._states.delete(supplier)

    async def _tell_leaving(self, tenure: Tenure) -> None:
        while True:
            await tenure.wait_leaving()
            await self._register.drain(tenure.supplier)
            await tenure.wait_staying()
            await self._register.add(tenure.supplier)
