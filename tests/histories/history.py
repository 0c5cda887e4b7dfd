"""One history: miners, a chain and a store from a seed, and what must be true at its end."""

from __future__ import annotations

import gc
import random
import sys
import traceback
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import structlog
import trio
from attrs import define, field
from trio.testing import MockClock

from relayminer.config.settings import MinerSettings, NamespaceSettings
from relayminer.errors import RelayMinerError
from relayminer.miner.lifecycle import SessionState
from relayminer.state.background import background
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from tests.histories.chain import HistoryChain, NodeView
from tests.histories.model import Model
from tests.histories.plan import (
    BLOCK_SECONDS,
    CALM_BLOCKS,
    LEASE_SECONDS,
    SESSION_BLOCKS,
    WINDOW_BLOCKS,
    Plan,
    Weather,
)
from tests.histories.process import Process, SharedStore, SimulatedRedis, Sky
from tests.miner.chain import shared_params
from tests.miner.harness import Rig, suppliers

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.miner.service import MinerService

AFTER_BLOCKS = 4
"""Blocks after the last settlement in which it is written down."""
ORDERLY = 0.2
"""Part of the processes that end by SIGTERM."""
DUPLICATES = 0.2
"""Part of the relays that are in the log twice: the relayer never heard of its first write."""
LOST_STATES = {
    SessionState.CLAIM_WINDOW_CLOSED,
    SessionState.CLAIM_TX_ERROR,
    SessionState.CLAIM_MISSING,
    SessionState.CLAIM_SKIPPED,
    SessionState.PROOF_WINDOW_CLOSED,
    SessionState.PROOF_TX_ERROR,
}


@define
class Outcome:
    """What became of a history."""

    problems: list[str] = field(factory=list)
    kills: int = 0
    relays: int = 0
    commands: int = 0
    digest: str = ""
    """Equal for equal histories."""


@define
class World:
    """A history while it happens."""

    plan: Plan
    sky: Sky
    store: SharedStore
    chain: HistoryChain
    rig: Rig
    rng: random.Random
    sent: dict[tuple[str, str], int] = field(factory=dict)
    """Distinct relays by supplier and session."""
    kills: int = 0
    crashes: list[str] = field(factory=list)
    running: list[Process] = field(factory=list)
    services: dict[str, MinerService] = field(factory=dict)

    @property
    def last_height(self) -> int:
        """The block after which all must be told."""
        end = self.plan.sessions * SESSION_BLOCKS
        return self.chain.windows(end).settlement_height + AFTER_BLOCKS

    # What happens.

    async def blocks(self) -> None:
        """Make blocks, well or badly spaced."""
        weather = self.plan.weather
        while self.chain.height < self.last_height:
            self.sky.rough = self._may_be_rough(self.chain.height)
            pause = BLOCK_SECONDS * self.plan.slowness * self.rng.uniform(0.6, 1.4)
            if self.sky.rough and self.rng.random() < weather.stalls_per_block:
                pause *= self.rng.uniform(2, 8)
            if self.sky.rough and self.rng.random() < weather.jumps_per_block:
                await trio.sleep(self.rng.uniform(0, pause))
                clock: Any = trio.lowlevel.current_clock()
                clock.jump(self.rng.uniform(0, 3 * LEASE_SECONDS))
            if self.sky.rough:
                self._hurt(weather, pause)
            for process in [] if self.sky.rough else self.running:
                process.heal()
            await trio.sleep(pause)
            if self.sky.rough and self.rng.random() < weather.set_backs_per_block:
                await self._go_back(pause)
            self.chain.advance()
        self.sky.rough = False
        await trio.sleep(2 * BLOCK_SECONDS)

    async def _go_back(self, pause: float) -> None:
        """Set the chain back; who looks soon sees it lower, who does not sees it outgrown."""
        before = self.chain.height
        ends = [number * SESSION_BLOCKS for number in range(1, self.plan.sessions + 1)]
        self.chain.go_back(self.rng.randint(1, 3), ends)
        if self.rng.random() < 0.5:
            self.chain.advance(before - self.chain.height)
        else:
            await trio.sleep(pause)

    def _hurt(self, weather: Weather, pause: float) -> None:
        """What happens to processes in the time of one block."""
        if self.rng.random() < weather.outages_per_block:
            seconds = self.rng.uniform(0.1, LEASE_SECONDS)
            for process in self.running:
                process.cut_off(seconds)
        for process in self.running:
            if self.rng.random() < weather.kills_per_block:
                self.sky.nursery.start_soon(self._kill_in, self.rng.uniform(0, pause), process)
            if self.rng.random() < weather.pauses_per_block:
                process.cut_off(self.rng.uniform(0.1, weather.longest_pause_seconds))
            if self.rng.random() < weather.keys_per_block:
                self.sky.nursery.start_soon(self._without_a_key, process, 3 * pause)

    async def _without_a_key(self, process: Process, seconds: float) -> None:
        """Its key files lack one for a while: the supplier must go to another miner and back."""
        service = self.services.get(process.owner)
        keys = {key.address: key for key in self.rig.keys}
        if service is None:
            return
        service.set_keys({name: keys[name] for name in list(keys)[1:]})
        until = trio.current_time() + seconds
        while self.sky.rough and trio.current_time() < until:  # noqa: ASYNC110 - weather is no event
            await trio.sleep(1.0)
        service.set_keys(keys)

    async def _kill_in(self, seconds: float, process: Process) -> None:
        await trio.sleep(seconds)
        if self.sky.rough:
            process.die()

    async def _stay_dead(self, seconds: float) -> None:
        """For so long, but not into a calm: nobody can claim while nobody runs."""
        until = trio.current_time() + seconds
        while self.sky.rough and (left := until - trio.current_time()) > 0:  # noqa: ASYNC110 - weather is no event
            await trio.sleep(min(left, 1.0))

    def _may_be_rough(self, height: int) -> bool:
        for number in range(1, self.plan.sessions + 1):
            windows = self.chain.windows(number * SESSION_BLOCKS)
            for close in (windows.claim_close_height, windows.proof_close_height):
                if close - CALM_BLOCKS <= height <= close:
                    return False
        return True

    async def load(self, supplier: str, number: int, redis: SimulatedRedis) -> None:
        """Log a session's relays of one supplier, some of them twice, until its grace is over."""
        session = sha256(b"session %d" % number).hexdigest()
        log = RelayLog(redis, self.rig.names)
        count = self.rng.randint(2, self.plan.relays_max)
        end = number * SESSION_BLOCKS
        self.sent[supplier, session] = count
        last = self.chain.windows(end).claim_open_height - 1
        first = self.rng.choice((end - SESSION_BLOCKS + 1, last))
        heights = sorted(self.rng.randint(first, last) for _ in range(count))
        for index, height in enumerate(heights):
            await self.chain.wait_for(height)
            await trio.sleep(self.rng.uniform(0, 0.5))
            if self.chain.height > last:
                # The relayer has heard of the claim window and answers no more.
                self.sent[supplier, session] = index
                break
            entry = self.rig.relay(
                session,
                index,
                session_start_height=end - SESSION_BLOCKS + 1,
                session_end_height=end,
                supplier_operator_address=supplier,
            )
            for _ in range(1 + (self.rng.random() < DUPLICATES)):
                await log.append(supplier, entry)

    async def miner(self, slot: int) -> None:
        """One miner's place: a process after the other."""
        await trio.sleep(self.rng.uniform(0, 3))
        life = 0
        while True:
            rng = random.Random(f"{self.plan.seed} {slot} {life}")  # noqa: S311 - a test's dice
            in_order = self.rng.random() < ORDERLY
            process = Process(f"miner-{slot}-{life:04d}", rng, self.sky, in_order)
            self.running.append(process)
            try:
                await self._live(process)
            finally:
                self.running.remove(process)
                self.services.pop(process.owner, None)
            self.kills += 1
            life += 1
            await self._stay_dead(self.rng.uniform(0, 2 * LEASE_SECONDS))

    async def _live(self, process: Process) -> None:
        redis = SimulatedRedis(self.store, process)
        async with background(redis.run):
            service = self.rig.service(
                redis, chain=NodeView(self.chain, process), owner=process.owner
            )
            self.services[process.owner] = service
            async with trio.open_nursery() as nursery:
                nursery.start_soon(service.run)
                await process.died.wait()
                nursery.cancel_scope.cancel()

    # What must be true.

    async def problems(self, redis: SimulatedRedis) -> list[str]:
        """Everything that is not as it must be, a sentence each."""
        found = [*self.chain.violations, *self.store.violations, *self.crashes]
        if self.plan.weather == Weather():
            found += self.chain.sent_more_than_once()
        for (supplier, session), count in self.sent.items():
            if count:
                found += await self._ending(supplier, session, count)
        if self.chain.slashed:
            found.append(f"slashed: {self.chain.slashed}")
        for key in self.rig.keys:
            left = await redis.command("XLEN", self.rig.names.stream_key(key.address))
            if left:
                found.append(f"{left} entries are left in the log of {key.address[:12]}")
        return found

    async def _ending(self, supplier: str, session: str, count: int) -> list[str]:
        """What is not right with the end of one session of `count` relays."""
        found = []
        where = f"{supplier[:12]} {session[:8]}"
        paid = self.chain.paid.get((supplier, session))
        if paid != count:
            found.append(f"{where}: {count} relays logged, {paid} paid")
        record = await self.rig.record(session, supplier)
        state = SessionState(record.state) if record is not None else None
        if state is None or state in LOST_STATES or not state.is_terminal:
            found.append(f"{where}: ends as {state}")
        ledger = await self.rig.ledger(supplier)
        steps = [line["step"] for line in ledger if line["session_id"] == session]
        found += [
            f"{where}: {step} {steps.count(step)} times: {steps}"
            for step in ("mined", "settled")
            if steps.count(step) != 1
        ]
        return found


def run_history(
    plan: Plan,
    *,
    log: Callable[[str], None] | None = None,
    trace: list[tuple[list[bytes], Any]] | None = None,
) -> Outcome:
    """Run the history that is planned; needs PYTHONHASHSEED=0 to be the same every time.

    Args:
        plan: Of `plan_of`.
        log: Gets every line that the miners log.
        trace: Gets every command to the store with its reply.
    """
    # What hypothesis-trio does: trio shuffles tasks on purpose, from dice that can be loaded.
    core: Any = trio._core._run
    vars(core)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    core._r.seed(plan.seed)
    clock = MockClock(autojump_threshold=0)
    # A collection that finds an abandoned generator would start a task at any moment.
    gc.collect()
    gc.disable()
    try:
        return trio.run(partial(_history, plan, log, trace), clock=clock)
    finally:
        gc.enable()


async def _history(
    plan: Plan,
    log: Callable[[str], None] | None,
    trace: list[tuple[list[bytes], Any]] | None,
) -> Outcome:
    rng = random.Random(f"world {plan.seed}")  # noqa: S311 - a test's dice
    names = KeyNames(NamespaceSettings())
    model = Model()
    guarded = (f"{names.miner_sessions_prefix}:", names.smst_nodes_prefix)
    store = SharedStore(model, names.miner_claim_key(""), guarded)
    store.trace = trace
    chain = HistoryChain(
        rng=random.Random(f"chain {plan.seed}"),  # noqa: S311 - a test's dice
        params=shared_params(
            claim_window_open_offset_blocks=2,
            claim_window_close_offset_blocks=WINDOW_BLOCKS,
            proof_window_close_offset_blocks=WINDOW_BLOCKS,
        ),
    )
    chain.proofs.proof_request_probability = plan.proof_probability
    if plan.proof_probability < 1:
        chain.proofs.proof_requirement_threshold.amount = str(10**12)
    crashes: list[str] = []
    structlog.configure(processors=[partial(_heed, log, crashes)], cache_logger_on_first_use=False)
    async with trio.open_nursery() as nursery:
        sky = Sky(plan.weather, nursery)
        quiet = Process("", rng, Sky(plan.weather, nursery))
        redis = SimulatedRedis(store, quiet)
        await nursery.start(redis.run)
        rig = Rig(
            "",
            redis,
            chain=chain,
            keys=suppliers(plan.suppliers),
            settings=MinerSettings(
                lease_ttl_seconds=LEASE_SECONDS,
                lease_renew_seconds=LEASE_SECONDS / 4,
                read_block_seconds=5.0,
                batch_entries=plan.batch_entries,
                max_messages_per_transaction=plan.max_messages,
                reconcile_interval_seconds=60.0,
            ),
            names=names,
            block_time_seconds=BLOCK_SECONDS,
        )
        world = World(plan, sky, store, chain, rig, rng, crashes=crashes)
        for slot in range(plan.miners):
            nursery.start_soon(world.miner, slot)
        for key in rig.keys:
            for number in range(1, plan.sessions + 1):
                nursery.start_soon(world.load, key.address, number, redis)
        await world.blocks()
        outcome = Outcome(
            await world.problems(redis),
            world.kills,
            sum(world.sent.values()),
            store.commands,
            store.digest.hexdigest(),
        )
        nursery.cancel_scope.cancel()
    return outcome


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions that a group is made of, however deep."""
    found: list[BaseException] = []
    for each in group.exceptions:
        found += leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _heed(
    log: Callable[[str], None] | None,
    crashes: list[str],
    _logger: Any,
    method: str,
    event: dict[str, Any],
) -> Any:
    """Keep what the miner says about errors of its own; show the rest when asked to."""
    event.pop("exc_info", None)
    error = sys.exception()
    if method == "exception" and error is not None:
        # An ExceptionGroup whose leaves are all errors of ours is trouble with store or chain.
        group = BaseExceptionGroup("", [error])
        crashes += [
            "".join(traceback.format_exception(each))[-1500:]
            for each in leaves(group)
            if not isinstance(each, RelayMinerError)
        ]
    if log is not None:
        moment = trio.current_time()
        log(f"{moment:9.3f} {method:8} {event.pop('event')} {event}")
    raise structlog.DropEvent
