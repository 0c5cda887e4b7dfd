"""A miner on a real store and a stepped chain, with relays and crashes on command."""

from __future__ import annotations

import itertools
import json
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import attrs
import trio

from relayminer.config.chain import ChainSettings
from relayminer.config.settings import (
    MinerSettings,
    NamespaceSettings,
    Settings,
)
from relayminer.miner.service import MinerService
from relayminer.protocol.signature import SigningKey
from relayminer.state.errors import StoreAwayError
from relayminer.state.gateway import Redis
from relayminer.state.leases import owner_id
from relayminer.state.ledger import Ledger
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from relayminer.state.sessions import SessionStore
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import running_gateway
from tests.miner.chain import COMPUTE_UNITS, TestChain
from tests.miner.relays import log_entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from relayminer.state.snapshots import Snapshot
    from relayminer.telemetry.spans import Traces

WAIT_SECONDS = 20.0
SERVICE = "svc"
APPLICATION = "pokt1application"

_namespaces = itertools.count()


async def until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until `condition` holds; fails after `seconds`."""
    with trio.fail_after(seconds):
        while True:
            if condition():
                return
            await trio.sleep(0.005)


class CrashingRedis(Redis):
    """A gateway whose process dies at a command of choice: from then on nothing gets out.

    Attributes:
        commands: how many commands were sent since `arm`.
        crashed: set at the moment of death.
        on_command: told the number of each command before it is sent.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commands = 0
        self.crashed = trio.Event()
        self.on_command: Callable[[int], object] = lambda _number: None
        self._at = 0
        self._after = False

    def arm(self, command: int, *, after: bool) -> None:
        """Die at the command of this number (from 1), before or after it is executed."""
        self.commands, self._at, self._after = 0, command, after

    def die(self) -> None:
        """Die now."""
        self.crashed.set()

    async def _submit(self, packed: bytes, expected: int, timeout_seconds: float | None) -> Any:
        if self.crashed.is_set():
            raise StoreAwayError("this process is dead")
        self.commands += 1
        self.on_command(self.commands)
        if self.commands == self._at and not self._after:
            self.die()
            await trio.sleep_forever()
        reply = await super()._submit(packed, expected, timeout_seconds)
        if self.commands == self._at and self._after:
            self.die()
            await trio.sleep_forever()
        return reply


@attrs.define
class Rig:
    """One supplier key, one chain, one namespace in a store."""

    url: str
    redis: Redis
    chain: TestChain = attrs.field(factory=TestChain)
    keys: list[SigningKey] = attrs.field(
        factory=lambda: [SigningKey(sha256(b"supplier 0").digest())]
    )
    settings: MinerSettings = attrs.field(
        factory=lambda: MinerSettings(
            lease_ttl_seconds=0.6,
            lease_renew_seconds=0.1,
            read_block_seconds=0.05,
            claim_idle_seconds=0.2,
            reconcile_interval_seconds=0.2,
        )
    )
    names: KeyNames = attrs.field(
        factory=lambda: KeyNames(NamespaceSettings(base_prefix=f"ha{next(_namespaces)}"))
    )
    metrics: Metrics = attrs.field(factory=Metrics)
    block_time_seconds: float = 0.1
    witness_home: Path | None = None
    traces: Traces | None = None
    sent: dict[str, int] = attrs.field(factory=dict)
    """Distinct relays logged, by session id."""

    @property
    def supplier(self) -> str:
        """The first supplier."""
        return self.keys[0].address

    def service(
        self, redis: Redis | None = None, *, chain: Any = None, owner: str = ""
    ) -> MinerService:
        """A miner process, not running yet; it may have its own view of the chain and id."""
        chain = chain or self.chain
        self.metrics = Metrics()
        return MinerService(
            Settings(
                miner=self.settings,
                chain=ChainSettings(block_time_seconds=self.block_time_seconds),
            ),
            {key.address: key for key in self.keys},
            redis=redis or self.redis,
            names=self.names,
            chain=chain,
            blocks=chain,
            transactions=chain,
            metrics=self.metrics,
            owner=owner or owner_id("test"),
            witness_home=self.witness_home,
            traces=self.traces,
        )

    @asynccontextmanager
    async def mining(self) -> AsyncIterator[MinerService]:
        """A miner that runs while the block does and is stopped in order after it."""
        service = self.service()
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            yield service
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def mortal(self) -> AsyncIterator[CrashingRedis]:
        """A miner with a gateway of its own; its death ends it without any last act."""
        redis = CrashingRedis(self.url)
        async with trio.open_nursery() as outer:
            outer.start_soon(redis.run)
            await redis.wait_connected()
            async with trio.open_nursery() as nursery:
                service = self.service(redis)
                await nursery.start(service.run)
                nursery.start_soon(self._bury, redis, nursery.cancel_scope)
                yield redis
                redis.die()
            outer.cancel_scope.cancel()

    async def _bury(self, redis: CrashingRedis, scope: trio.CancelScope) -> None:
        await redis.crashed.wait()
        scope.cancel()

    def relay(self, session: str, number: int, **changes: Any) -> bytes:
        """A log entry of a session that began at height 1 and ends at 10."""
        fields: dict[str, Any] = {
            "compute_units_per_relay": COMPUTE_UNITS,
            "session_id": session,
            "session_start_height": 1,
            "session_end_height": 10,
            "supplier_operator_address": self.supplier,
            "service_id": SERVICE,
            "application_address": f"{APPLICATION}{session[:8]}",
        }
        payload = changes.pop("payload", f"relay {number} of {session}".encode())
        return log_entry(payload, **{**fields, **changes})

    async def log(self, session: str, count: int, *, first: int = 0, **changes: Any) -> None:
        """Log `count` relays of a session."""
        log = RelayLog(self.redis, self.names)
        supplier = changes.get("supplier_operator_address", self.supplier)
        for number in range(first, first + count):
            await log.append(supplier, self.relay(session, number, **changes))
        self.sent[session] = self.sent.get(session, 0) + count

    async def counted(self, session: str, count: int, supplier: str = "") -> None:
        """Wait until the session's record says `count` relays."""
        with trio.fail_after(WAIT_SECONDS):
            while True:
                record = await self.record(session, supplier)
                if record is not None and record.relay_count == count:
                    return
                await trio.sleep(0.01)

    async def record(self, session: str, supplier: str = "") -> Snapshot | None:
        """The session's record."""
        store = SessionStore(self.redis, self.names, ttl_seconds=100)
        return await store.load(supplier or self.supplier, session)

    async def state(self, session: str) -> str:
        """The session's state on record."""
        record = await self.record(session)
        return "" if record is None else record.state

    async def ledger(self, supplier: str = "") -> list[dict[str, Any]]:
        """Everything in the ledger."""
        records = Ledger(self.redis, self.names).iterate(supplier or self.supplier)
        return [json.loads(record.data) async for record in records]

    async def steps(self, session: str) -> list[str]:
        """What the ledger says happened to a session."""
        return [line["step"] for line in await self.ledger() if line["session_id"] == session]

    def driven(self) -> int:
        """Last block that a pass over the sessions of every supplier has seen."""
        family = self.metrics._families["ha_miner_driven_height"]
        known = {labels[0]: child.value for labels, child in family._known.items()}  # type: ignore[attr-defined]
        return int(min(known.get(key.address, 0) for key in self.keys))

    def settled_height(self) -> int:
        """Last block whose settlement events were recorded."""
        family = self.metrics._families["ha_miner_settled_height"]
        return int(sum(child.value for child in family._known.values()))  # type: ignore[attr-defined]

    async def step(self, blocks: int = 1) -> None:
        """Commit blocks one by one, each after the miner has done its pass."""
        for _ in range(blocks):
            await until(lambda: self.driven() == self.chain.height)
            self.chain.advance()
        await until(lambda: self.driven() == self.settled_height() == self.chain.height)

    async def step_to(self, height: int) -> None:
        """Commit blocks until `height`."""
        await self.step(max(0, height - self.chain.height))

    def claimed_counts(self) -> dict[str, int]:
        """Relays in each settled claim."""
        return dict(self.chain.settled)


@asynccontextmanager
async def rig(url: str, **changes: Any) -> AsyncIterator[Rig]:
    """A rig with a gateway."""
    async with running_gateway(url) as redis:
        yield Rig(url, redis, **changes)


def suppliers(count: int) -> list[SigningKey]:
    """Keys of so many suppliers."""
    return [SigningKey(sha256(b"supplier %d" % number).digest()) for number in range(count)]


def session_ids(count: int) -> Sequence[str]:
    """Session ids."""
    return [sha256(b"session %d" % number).hexdigest() for number in range(count)]
