"""Who owns a supplier, and what a loss of it does."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from relayminer.miner import ownership
from relayminer.miner.metrics import OwnershipMetrics
from relayminer.miner.ownership import Ownership, Times
from relayminer.state.leases import Lease, owner_id
from relayminer.state.sessions import SessionStore
from relayminer.state.suppliers import SupplierRegistry
from relayminer.telemetry.metrics import Metrics
from relayminer.watchdog import Pulse
from tests.miner.harness import CrashingRedis, Rig, rig, session_ids, suppliers, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from relayminer.miner.service import MinerService
    from relayminer.miner.tenure import Tenure
    from relayminer.state.gateway import Redis

A, B = session_ids(2)


def lease_for(mine: Rig, owner: str, ttl_seconds: float = 0.6) -> Lease:
    """A lease on the rig's supplier."""
    return Lease(
        mine.redis,
        mine.names.miner_claim_key(mine.supplier),
        mine.names,
        owner=owner,
        ttl_seconds=ttl_seconds,
    )


class Work:
    """Work that says when it runs."""

    def __init__(self) -> None:
        self.running = 0
        self.started = 0

    async def __call__(self, tenure: Tenure) -> None:
        """Work until stopped."""
        assert tenure.supplier
        assert tenure.lease.held
        self.running += 1
        self.started += 1
        try:
            await trio.sleep_forever()
        finally:
            self.running -= 1


def owning(mine: Rig, work: Work, name: str, ttl_seconds: float = 0.6) -> Ownership:
    """A process that wants the rig's supplier."""
    one = Ownership(
        mine.redis,
        mine.names,
        owner=owner_id(name),
        work=work,
        times=Times(ttl_seconds, 0.1),
        metrics=OwnershipMetrics(Metrics(), "one"),
    )
    one.want([mine.supplier])
    return one


async def test_one_owner_and_takeover(mine: Rig) -> None:
    """Of two processes one works; when it gives up the other one begins, and not before."""
    first, second = Work(), Work()
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run_first() -> None:
            with scope:
                await owning(mine, first, "one").run(Pulse())

        nursery.start_soon(run_first)
        await until(lambda: first.running == 1)
        nursery.start_soon(owning(mine, second, "two").run, Pulse())
        await trio.sleep(0.8)
        assert (first.running, second.running) == (1, 0)
        scope.cancel()
        await until(lambda: second.running == 1)
        assert first.running == 0
        nursery.cancel_scope.cancel()


async def test_a_hand_over_is_heard_of(mine: Rig) -> None:
    """When a miner ends in order, one that looks every ten seconds has its suppliers at once."""
    keys = suppliers(6)
    mine.keys = keys
    mine.settings = attrs.evolve(mine.settings, lease_ttl_seconds=40, lease_renew_seconds=10)
    scope = trio.CancelScope()
    services = [mine.service() for _ in range(2)]

    async def run_first() -> None:
        with scope:
            await services[0].run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_first)
        await until(lambda: len(services[0]._ownership.suppliers) == 6)
        nursery.start_soon(services[1].run)
        # The newcomer is noticed at the next look only; nothing hurries here.
        await until(lambda: len(services[1]._ownership._living) == 2)
        with trio.fail_after(5):
            scope.cancel()
            await until(lambda: len(services[1]._ownership.suppliers) == 6)
        nursery.cancel_scope.cancel()


async def test_whenever_a_miner_is_stopped_no_lease_stays(mine: Rig) -> None:
    """Cancelled at each of its commands in turn, a miner leaves neither lease nor heartbeat."""
    for stop_at in range(1, 12):
        redis = CrashingRedis(mine.url)
        one = Ownership(
            redis,
            mine.names,
            owner=owner_id("one"),
            work=Work(),
            times=Times(30.0, 0.05),
            metrics=OwnershipMetrics(Metrics(), "one"),
        )
        one.want([key.address for key in suppliers(3)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(redis.run)
            await redis.wait_connected()
            with trio.CancelScope() as scope:
                redis.on_command = lambda number, at=stop_at, stop=scope: (  # type: ignore[misc]
                    stop.cancel() if number == at else None
                )
                await one.run(Pulse())
            nursery.cancel_scope.cancel()
        keys = await mine.redis.command("KEYS", f"{mine.names.miner_prefix}:*")
        assert keys == [], stop_at


async def test_a_newcomer_gets_its_share(mine: Rig) -> None:
    """Two miners have three suppliers each, and every relay is counted once all the same."""
    keys = suppliers(6)
    mine.keys = keys
    session_of = dict(zip((key.address for key in keys), session_ids(6), strict=True))
    for supplier, session in session_of.items():
        await mine.log(session, 3, supplier_operator_address=supplier)
    async with mine.mining() as first:
        for supplier, session in session_of.items():
            await mine.counted(session, 3, supplier)
        second = mine.service()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.run)
            await until(lambda: len(second._ownership.suppliers) == 3)
            await until(lambda: len(first._ownership.suppliers) == 3)
            for supplier, session in session_of.items():
                await mine.log(session, 2, first=3, supplier_operator_address=supplier)
            for supplier, session in session_of.items():
                await mine.counted(session, 5, supplier)
            nursery.cancel_scope.cancel()
        await until(lambda: len(first._ownership.suppliers) == 6)


async def test_a_stolen_lease_stops_the_work(mine: Rig) -> None:
    """Work stops when the lease is in other hands, and begins again when it is free."""
    work = Work()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owning(mine, work, "one").run, Pulse())
        await until(lambda: work.running == 1)
        await mine.redis.command("SET", mine.names.miner_claim_key(mine.supplier), "a-go-miner")
        await until(lambda: work.running == 0)
        await mine.redis.command("DEL", mine.names.miner_claim_key(mine.supplier))
        await until(lambda: work.started == 2)
        nursery.cancel_scope.cancel()


async def test_work_stops_before_the_lease_can_expire(
    mine: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When renewing hangs, our own deadline stops the work while the lease is still ours."""
    work = Work()
    seen: list[bytes | None] = []

    async def hang(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(owning(mine, work, "one", ttl_seconds=2.0).run, Pulse())
        await until(lambda: work.running == 1)
        monkeypatch.setattr(ownership, "sweep", hang)
        release = Lease.release

        async def look(self: Lease) -> bool:
            seen.append(await mine.redis.command("GET", self.key))
            return await release(self)

        monkeypatch.setattr(Lease, "release", look)
        await until(lambda: work.running == 0)
        await until(lambda: bool(seen))
        assert seen[0] is not None
        nursery.cancel_scope.cancel()


async def test_who_wakes_up_late_does_nothing(mine: Rig) -> None:
    """An owner whose process stood still beyond its lease finds itself stopped and fenced off."""
    found: list[str] = []
    standing, second = threading.Event(), Work()

    async def stand_still(redis: Redis, tenure: Tenure) -> None:
        fence = tenure.lease.fence
        standing.set()
        time.sleep(1.5)  # noqa: ASYNC251 - as SIGSTOP does it, to every task of the process
        if tenure.lease.held:
            found.append("believes in its lease")
        store = SessionStore(redis, mine.names, ttl_seconds=60)
        try:
            await store.delete(fence, tenure.supplier, [A])
        except trio.Cancelled:
            found.append("stopped")
            raise
        found.append("wrote")

    async def other_process() -> None:
        async with rig(mine.url, names=mine.names, keys=mine.keys) as other:
            work: Any = partial(stand_still, other.redis)
            await owning(other, work, "one").run(Pulse())

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(
                partial(trio.to_thread.run_sync, trio.run, until_set(other_process, found))
            )
            await trio.to_thread.run_sync(standing.wait)
            nursery.start_soon(owning(mine, second, "two").run, Pulse())
            await until(lambda: second.running == 1)
            assert found == []
            await until(lambda: bool(found))
            assert second.running == 1
            scope.cancel()
        nursery.cancel_scope.cancel()
    assert found == ["stopped"]


def until_set(work: Callable[[], Awaitable[None]], found: list[str]) -> Callable[[], Any]:
    """Runs `work` in a loop of its own until something was found."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await until(lambda: bool(found))
            nursery.cancel_scope.cancel()

    return run


async def test_six_hundred_suppliers_cost_one_script_a_look(mine: Rig) -> None:
    """The store's work for leases does not grow in commands with the number of suppliers."""
    redis, work = CrashingRedis(mine.url), Work()
    one = Ownership(
        redis,
        mine.names,
        owner=owner_id("one"),
        work=work,
        times=Times(8.0, 0.2),
        metrics=OwnershipMetrics(Metrics(), "one"),
    )
    one.want([f"pokt{number}" for number in range(600)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(redis.run)
        await redis.wait_connected()
        nursery.start_soon(one.run, Pulse())
        await until(lambda: work.running == 600)
        before, began = redis.commands, trio.current_time()
        await trio.sleep(1.0)
        looks = (trio.current_time() - began) / 0.2 + 1
        # A script that looks at all leases, and a word to the register.
        assert redis.commands - before <= 2 * looks
        nursery.cancel_scope.cancel()


async def test_keys_that_come_and_go(mine: Rig) -> None:
    """A key that is added is mined for, one that is removed is given up, others go on."""
    keys = suppliers(2)
    mine.keys = keys[:1]
    second = keys[1].address
    await mine.log(A, 2)
    await mine.log(B, 3, supplier_operator_address=second)
    async with mine.mining() as service:
        await mine.counted(A, 2)
        service.set_keys({key.address: key for key in keys})
        await mine.counted(B, 3, second)
        service.set_keys({second: keys[1]})
        await mine.log(B, 1, first=3, supplier_operator_address=second)
        await mine.counted(B, 4, second)
        # The first one has a session in flight, and nobody else has its key.
        assert await mine.redis.command("EXISTS", mine.names.miner_claim_key(mine.supplier))
        await mine.step_to(20)
        mine.chain.advance()
        with trio.fail_after(10):
            while await mine.redis.command("EXISTS", mine.names.miner_claim_key(mine.supplier)):  # noqa: ASYNC110 - another program's key
                await trio.sleep(0.01)
        assert mine.claimed_counts() == mine.sent
        assert (await mine.steps(A))[-1] == "settled"
        register = SupplierRegistry(mine.redis, mine.names)
        assert [entry.operator_address for entry in await register.all()] == [second]


async def test_two_miners_never_lose_or_double(mine: Rig) -> None:
    """A second miner waits; when the first one is stopped it goes on, in the middle of a window."""
    await mine.log(A, 5)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        first = mine.service()

        async def run(service: MinerService) -> None:
            with scope:
                await service.run()

        nursery.start_soon(run, first)
        await mine.counted(A, 5)
        await mine.step_to(12)
        scope.cancel()
        async with mine.mining():
            await mine.step_to(22)
            assert mine.claimed_counts() == mine.sent
        nursery.cancel_scope.cancel()


async def test_a_fenced_owner_changes_nothing(mine: Rig) -> None:
    """A miner whose token is old is stopped at its next write, and its relays stay in the log."""
    mine.settings = attrs.evolve(mine.settings, lease_ttl_seconds=30, lease_renew_seconds=20)
    await mine.log(A, 2)
    async with mine.mining():
        await mine.counted(A, 2)
        # Somebody else has taken the lease in the meantime, as after a long stop of this process.
        await mine.redis.command("DEL", mine.names.miner_claim_key(mine.supplier))
        other = lease_for(mine, "other-1", ttl_seconds=30)
        assert await other.acquire()
        await mine.log(A, 3, first=2)
        family = mine.metrics._families["ha_miner_supplier_claimed_count"]
        await until(lambda: sum(one.value for one in family._known.values()) == 0)  # type: ignore[attr-defined]
        record = await mine.record(A)
        assert record is not None
        assert record.relay_count == 2
        assert await mine.redis.command("XLEN", mine.names.stream_key(mine.supplier)) == 3


async def test_one_suppliers_trouble_is_its_own(mine: Rig) -> None:
    """A supplier whose records cannot be read is retried; the other ones mine on."""
    keys = suppliers(2)
    mine.keys = keys
    second = keys[1].address
    index = mine.names.miner_sessions_index_key(mine.supplier)
    await mine.redis.command("SET", index, "not a set")
    await mine.log(A, 2)
    await mine.log(B, 3, supplier_operator_address=second)
    async with mine.mining():
        await mine.counted(B, 3, second)
        await mine.redis.command("DEL", index)
        await mine.counted(A, 2)
