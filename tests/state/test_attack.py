"""The store dies, stands still or loses a reply at every command of every operation."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.smst import EMPTY_ROOT, Trie
from relayminer.state import log_reader
from relayminer.state.block_events import BlockEvent, BlockEvents
from relayminer.state.errors import StaleCommitError, StateError, StoreAwayError
from relayminer.state.leases import Lease
from relayminer.state.ledger import Ledger
from relayminer.state.living import LivingMiners
from relayminer.state.log_reader import LogEntry, LogReader
from relayminer.state.meter import MeterMeta, MeterStore
from relayminer.state.names import CLAIM_PHASE, KeyNames
from relayminer.state.rebroadcast import Group, Rebroadcast, RebroadcastStore
from relayminer.state.relay_log import OnceEntry, RelayLog
from relayminer.state.service_factors import ServiceFactorStore
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import Snapshot
from relayminer.state.submissions import Submission, SubmissionStore
from relayminer.state.suppliers import SupplierRegistry, SupplierState, SupplierStates
from relayminer.state.tally import TallyStore
from relayminer.state.target import parse_target
from relayminer.state.tries import TrieStore
from relayminer.testing.store import running_gateway
from tests.miner.harness import until
from tests.state.faulty import Fault, faulty_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.state.gateway import Redis

NAMES: Final = KeyNames()
TIMEOUT_SECONDS: Final = 0.15
SETTINGS: Final = RedisSettings(
    command_timeout_seconds=TIMEOUT_SECONDS, reconnect_backoff_max_seconds=0.01
)
MAX_COMMANDS: Final = 60
WHO: Final = ("a", "one")
SHORT: Final = frozenset({"lease", "log", "read", "trie", "block"})
METER: Final = MeterMeta(
    session_id="one",
    app_address="app",
    service_id="svc",
    supplier_address="a",
    session_end_height=10,
    max_stake_upokt=1_000_000,
)


class Stores:
    """Every store, over one gateway, with a lease that is held."""

    def __init__(self, redis: Redis, lease: Lease) -> None:
        self.redis = redis
        self.lease = lease
        self.log = RelayLog(redis, NAMES)
        self.reader = LogReader(redis, NAMES, "c")
        self.sessions = SessionStore(redis, NAMES, ttl_seconds=100)
        self.tries = TrieStore(redis, NAMES, ttl_seconds=100, session_ttl_seconds=100)
        self.meter = MeterStore(redis, NAMES, ttl_seconds=100)
        self.submissions = SubmissionStore(redis, NAMES, ttl_seconds=100)
        self.rebroadcast = RebroadcastStore(redis, NAMES)
        self.registry = SupplierRegistry(redis, NAMES)
        self.states = SupplierStates(redis, NAMES)

    async def create(self) -> None:
        """The session's record, if it is not there."""
        snapshot = Snapshot(
            session_id="one",
            supplier_operator_address="a",
            service_id="svc",
            application_address="app",
            session_start_height=1,
            session_end_height=10,
        )
        await self.sessions.create_if_absent(self.lease.fence, snapshot)

    async def commit(self) -> None:
        """One more leaf in the trie, as a miner does it: what is stored decides what comes next."""
        await self.create()
        for _ in range(2):
            live = (await self.tries.roots(*WHO)).live
            trie = Trie()
            count = 0 if live is None else int.from_bytes(live[40:48], "big")
            for number in range(count):
                trie.update(sha256(b"%d" % number).digest(), b"value", 1)
            trie.commit()
            base = trie.root if live is not None else EMPTY_ROOT
            trie.update(sha256(b"%d" % count).digest(), b"value", 1)
            try:
                await self.tries.checkpoint(
                    self.lease.fence, *WHO, trie.commit(), base_root=base, relays=1, compute_units=1
                )
            except StaleCommitError:
                continue
            return

    async def read_and_acknowledge(self) -> None:
        """A relay through the log."""
        await self.reader.ensure_group(["a"])
        await self.log.append("a", b"x")
        async with self.redis.dedicated() as connection:
            found = await self.reader.read_new(connection, ["a"], count=5, block_seconds=0.01)
        await self.reader.take_over("a", count=5)
        own = await self.reader.read_own_pending("a", count=50)
        ids = [entry.id for entry in (*found.get("a", ()), *own)]
        await self.reader.acknowledge("a", ids)

    async def lease_for_a_moment(self) -> None:
        """Another lease, from its beginning to its end."""
        lease = Lease(self.redis, "ha:other", NAMES, owner="m", ttl_seconds=5)
        if await lease.acquire():
            await lease.renew()
            await lease.release()

    async def bury(self) -> None:
        """A poison entry."""
        entry_id = await self.log.append("a", b"poison")
        await self.reader.ensure_group(["a"])
        await self.reader.dead_letter("a", [(LogEntry(entry_id, b"poison"), "why")])


OPERATIONS: Final[dict[str, Callable[[Stores], Awaitable[Any]]]] = {
    "lease": Stores.lease_for_a_moment,
    "register": lambda s: LivingMiners(s.redis, NAMES).meet("m", 5, ["a", "b"]),
    "log": lambda s: s.log.append_once(
        "a", b"x", session_id="one", request_hash=b"h" * 32, ttl_seconds=9
    ),
    "log all": lambda s: s.log.append_all_once(
        [OnceEntry("a", "one", bytes([n]) * 32, b"x") for n in range(5)], ttl_seconds=9
    ),
    "read": Stores.read_and_acknowledge,
    "dead letter": Stores.bury,
    "session": Stores.create,
    "session state": lambda s: s.sessions.update_state(s.lease.fence, *WHO, "claiming"),
    "sessions": lambda s: s.sessions.load_all("a"),
    "trie": Stores.commit,
    "meter": lambda s: s.meter.open(METER),
    "meter take": lambda s: s.meter.take("one", "a", cost_upokt=1, relays=1, max_upokt=100),
    "meter clear": lambda s: s.meter.clear("one", "a"),
    "ledger": lambda s: Ledger(s.redis, NAMES).append("a", [("id", b"{}"), ("other", b"{}")]),
    "claim": lambda s: s.submissions.track_claim(
        Submission(supplier="a", session_end=10, session_id="one")
    ),
    "proof": lambda s: s.submissions.track_proof("a", 10, "one", proof_tx_hash="h"),
    "submissions": lambda s: s.submissions.all(),
    "rebroadcast": lambda s: s.rebroadcast.put(
        s.lease.fence,
        CLAIM_PHASE,
        Group("a", 10),
        "one",
        Rebroadcast(message=b"m", submit_height=1),
    ),
    "rebroadcast load": lambda s: s.rebroadcast.load(CLAIM_PHASE, Group("a", 10)),
    "supplier": lambda s: s.states.put(
        SupplierState(operator_address="a", status="active", staked=True)
    ),
    "suppliers": lambda s: s.states.all(),
    "registry": lambda s: s.registry.add("a", ["svc"]),
    "registry all": lambda s: s.registry.all(),
    "factors": lambda s: ServiceFactorStore(s.redis, NAMES, ttl_seconds=9).publish(0.5, {"x": 1}),
    "tally": lambda s: TallyStore(s.redis, NAMES, ttl_seconds=9).add({WHO: 1}),
    "block": lambda s: BlockEvents(s.redis, NAMES).publish(BlockEvent(1, b"", 1), s.lease.fence),
}


@pytest.mark.parametrize("fault", list(Fault))
async def test_every_command_of_every_operation(
    store_url: str, fault: Fault, soak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends in time, with an error of the store or done; repeated it is done; none is stuck."""
    monkeypatch.setattr(log_reader, "ANSWER_SECONDS", TIMEOUT_SECONDS)
    # Silence costs a deadline each time: a part of it in a short run.
    chosen = list(OPERATIONS.items())
    if fault is Fault.SILENCE and not soak:
        chosen = [pair for pair in chosen if pair[0] in SHORT]
    path = parse_target(store_url).path
    async with faulty_way(path) as way, running_gateway(store_url) as straight:
        async with running_gateway(f"redis://127.0.0.1:{way.port}", SETTINGS) as redis:
            lease = Lease(redis, NAMES.miner_claim_key("a"), NAMES, owner="m", ttl_seconds=600)
            assert await lease.acquire()
            stores = Stores(redis, lease)
            await stores.create()
            reached = 0
            for name, operate in chosen:
                reached += await _attack(way, fault, name, operate, stores)
            assert redis.waiting == 0
            assert reached > len(chosen)
        # However often it was interrupted: what can be counted was counted once.
        record = await SessionStore(straight, NAMES, ttl_seconds=1).load("a", "one")
        live = (await stores_roots(straight)).live
        assert record is not None
        assert live is not None
        assert record.relay_count == int.from_bytes(live[40:48], "big")
        if ("ledger", OPERATIONS["ledger"]) in chosen:
            assert await Ledger(straight, NAMES).length("a") == 2


async def stores_roots(redis: Redis) -> Any:
    """The trie's."""
    return await TrieStore(redis, NAMES, ttl_seconds=1, session_ttl_seconds=1).roots(*WHO)


async def _attack(
    way: Any,
    fault: Fault,
    name: str,
    operate: Callable[[Stores], Awaitable[Any]],
    stores: Stores,
) -> int:
    """At each command of an operation; how many faults there were."""
    for at in range(1, MAX_COMMANDS):
        way.arm(at, fault)
        began = trio.current_time()
        with suppress(StateError):
            await operate(stores)
        # Many times the deadline of one command: the machine may be busy.
        assert trio.current_time() - began < 20 * TIMEOUT_SECONDS, (name, at)
        if way.commands < at:
            return at - 1
        way.arm(0, fault)
        with trio.fail_after(10):
            if fault is Fault.SILENCE:
                # The connection that has gone silent is left, after two deadlines at most.
                stores.redis._link.leave("the test does not wait")
            while True:
                try:
                    await stores.redis.command("PING")
                    await operate(stores)
                except StoreAwayError:
                    continue
                break
    raise AssertionError(f"{name} never ends")


async def test_a_server_that_hangs_up_is_not_stormed(store_url: str) -> None:
    """Whoever connects waits longer each time: gateway, subscription and blocking reader."""
    settings = RedisSettings(command_timeout_seconds=0.5, reconnect_backoff_max_seconds=0.4)
    async with faulty_way(parse_target(store_url).path) as way:
        url = f"redis://127.0.0.1:{way.port}"
        async with running_gateway(url, settings) as redis, redis.subscribe(["c"]) as events:
            await anext(events)
            way.closed = True
            redis._link.leave("the test begins")
            before, began = way.connections, trio.current_time()
            while trio.current_time() < began + 1.5:
                with pytest.raises(StateError):
                    await redis.command("PING", timeout_seconds=0.1)
            # 0.05 + 0.1 + 0.2 + 0.4 ... seconds, half of it by chance.
            assert way.connections - before < 2 * 15
            way.closed = False
            with trio.fail_after(5):
                await redis.wait_connected()
                assert await redis.command("PING") in {b"PONG", "PONG"}


async def test_a_server_that_lets_go_at_once_is_not_stormed(store_url: str) -> None:
    """A server that greets and then ends the connection is asked less and less often."""
    settings = RedisSettings(command_timeout_seconds=0.5, reconnect_backoff_max_seconds=0.4)
    async with faulty_way(parse_target(store_url).path) as way:
        url = f"redis://127.0.0.1:{way.port}"
        async with running_gateway(url, settings) as redis:
            before, began = way.connections, trio.current_time()
            while trio.current_time() < began + 1.5:
                way.arm(1, Fault.CUT_BEFORE)
                with pytest.raises(StateError):
                    await redis.command("GET", "x")
                way.arm(0, Fault.CUT_BEFORE)
            assert way.connections - before < 15
            await until(lambda: redis.is_connected)
