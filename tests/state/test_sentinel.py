"""A primary, a replica and a Sentinel: the primary dies under load, or is cut off."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.errors import StoreAwayError
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from relayminer.state.subscription import Gap, Message
from relayminer.testing.store import running_gateway
from tests.miner.harness import until
from tests.state.servers import HOST, Guarded, one_server, sentinel_servers, until_true

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.state.servers import ServerProcess

SETTINGS = RedisSettings(command_timeout_seconds=10.0, reconnect_backoff_max_seconds=0.1)
STREAM = KeyNames().stream_key("a")


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    """The servers."""
    async with sentinel_servers() as servers:
        yield servers


async def entries(server: ServerProcess) -> dict[bytes, int]:
    """The numbers in the stream of a server, by entry id."""
    rows = await server.ask("XRANGE", STREAM, "-", "+")
    return {entry_id: int(fields[1]) for entry_id, fields in rows}


async def test_the_primary_is_killed_under_load(guarded: Guarded) -> None:
    """What was confirmed is lost only where the server lost it, and nothing is logged twice."""
    primary, replica = guarded.servers
    confirmed: list[tuple[bytes, int]] = []
    failed: list[StoreAwayError] = []
    stop = trio.Event()

    async def write(redis: Redis, first: int) -> None:
        log, number = RelayLog(redis, KeyNames()), first
        while not stop.is_set():
            number += 10
            try:
                entry_id = await log.append("a", str(number).encode())
            except StoreAwayError as error:
                failed.append(error)
            else:
                confirmed.append((entry_id, number))

    with trio.fail_after(60):
        async with running_gateway(guarded.url, SETTINGS) as redis:
            async with trio.open_nursery() as nursery, redis.subscribe(["c"]) as events:
                assert await anext(events) == Gap()
                for first in range(10):
                    nursery.start_soon(write, redis, first)
                await until(lambda: len(confirmed) > 500)
                primary.kill()
                before = len(confirmed)
                await until(lambda: len(confirmed) > before + 500)
                # Who listens finds the new primary as well, and is told that it missed something.
                assert await anext(events) == Gap()
                await redis.command("PUBLISH", "c", "x")
                assert await anext(events) == Message("c", b"x")
                stop.set()
            async with redis.dedicated() as connection:
                await connection.command("PING")
            assert redis.reconnections == 1
    kept = await entries(replica)
    assert (await guarded.primary_port()) == replica.port
    # Of all that was confirmed only what had not reached the replica is gone.
    assert set(confirmed[before:]) <= set(kept.items())
    lost = {number for entry, number in confirmed if entry not in kept}
    assert len(lost) < 100
    assert len(set(kept.values())) == len(kept)
    # Of unknown fate is what was in flight at that moment: one entry of each writer.
    assert len([error for error in failed if error.maybe_executed]) <= 10


async def test_a_primary_that_was_replaced_is_left(guarded: Guarded) -> None:
    """A primary that stands still while another takes over is not gone back to when it wakes up."""
    primary, replica = guarded.servers
    with trio.fail_after(60):
        settings = attrs.evolve(SETTINGS, command_timeout_seconds=1.0)
        async with running_gateway(guarded.url, settings) as redis:
            assert await redis.command("INCR", "n") == 1
            primary.freeze()
            # In flight when the primary stands still: nobody knows, so it is not repeated.
            with pytest.raises(StoreAwayError) as caught:
                await redis.command("INCR", "n")
            assert caught.value.maybe_executed
            await until(lambda: redis.reconnections == 1)
            assert await redis.command("INCR", "m") == 1
            assert int(await replica.ask("GET", "m")) == 1
            primary.thaw()
            # It takes itself for the primary until a Sentinel tells it otherwise.
            assert int((await replica.info("replication"))["connected_slaves"]) == 0
            for expected in range(2, 100):
                assert await redis.command("INCR", "m") == expected
            assert await primary.ask("GET", "m") is None


async def test_a_demoted_primary_refuses_nothing_we_see(guarded: Guarded) -> None:
    """When the operator swaps the two, what the old one refuses is done by the new one, once."""
    with trio.fail_after(60):
        async with running_gateway(guarded.url, SETTINGS) as redis:
            done: list[int] = []

            async def write() -> None:
                while len(done) < 2000:
                    try:
                        found = await redis.pipeline([("INCR", "n"), ("RPUSH", "l", "x")])
                        done.append(found[0])
                        await redis.transaction([("INCR", "t"), ("INCR", "u")])
                    except StoreAwayError as error:
                        assert error.maybe_executed  # noqa: PT017 - in flight when it was demoted
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await until(lambda: len(done) > 100)
                await until_true(partial(guarded.sentinel.ask, "SENTINEL", "FAILOVER", "mymaster"))
            # What the old primary did in its last moment may not have reached the new one.
            (counted,) = await redis.get_many(["n"])
            assert len(done) - 100 < int(counted or 0) <= len(done) + 5
            assert (await redis.get_many(["t"])) == (await redis.get_many(["u"]))


async def test_nobody_knows_the_primary() -> None:
    """Without a Sentinel that answers, commands fail in time and say why."""
    settings = RedisSettings(command_timeout_seconds=0.3)
    async with one_server() as server:
        # A server that is no Sentinel.
        redis = Redis(f"redis-sentinel://{HOST}:{server.port},{HOST}:1/mymaster", settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(redis.run)
            with pytest.raises(StoreAwayError, match="no primary known") as caught:
                await redis.command("PING", timeout_seconds=1)
            assert not caught.value.maybe_executed
            nursery.cancel_scope.cancel()


async def test_a_replica_is_no_store() -> None:
    """A URL that names a replica is told with the address of the primary."""
    settings = RedisSettings(command_timeout_seconds=0.5)
    async with one_server() as primary, one_server({"replicaof": f"{HOST} {primary.port}"}) as two:
        redis = Redis(f"redis://{HOST}:{two.port}", settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(redis.run)
            with pytest.raises(StoreAwayError, match=f"its primary is {HOST}:{primary.port}"):
                await redis.command("PING")
            # Made a primary by somebody, it is one.
            await two.ask("REPLICAOF", "NO", "ONE")
            await redis.wait_connected()
            assert await redis.command("INCR", "n") == 1
            # And when it is demoted under our hands, what it refuses waits for a primary.
            await two.ask("REPLICAOF", HOST, primary.port)
            with pytest.raises(StoreAwayError):
                await redis.command("INCR", "n")
            nursery.cancel_scope.cancel()
