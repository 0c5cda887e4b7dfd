"""The server is looked at: what is unsafe, what is full, and that both are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.errors import StoreRefusesWritesError, StoreUnsafeError
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from relayminer.state.watch import ServerFacts, ServerWatch, look, read_facts
from relayminer.telemetry.health import Health
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import running_gateway
from tests.miner.harness import until
from tests.state.servers import HOST, ServerProcess, one_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.state.gateway import Redis

SETTINGS = RedisSettings(command_timeout_seconds=5.0, watch_interval_seconds=0.02)


def url_of(server: ServerProcess) -> str:
    """For `redis.url`."""
    return f"redis://{HOST}:{server.port}"


def watch(redis: Redis, health: Health, **changes: object) -> ServerWatch:
    """A watch over the server."""
    settings = attrs.evolve(SETTINGS, **changes)  # type: ignore[arg-type]  # settings by name
    return ServerWatch(redis, settings, health=health, metrics=Metrics())


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy noeviction"),
        ({"maxmemory-policy": "volatile-ttl"}, "maxmemory-policy noeviction"),
        ({"appendonly": "no"}, "appendonly yes"),
    ],
)
async def test_an_unsafe_server_is_refused(options: Mapping[str, str], remedy: str) -> None:
    """A server that loses what it confirms is refused with the remedy, unless that is accepted."""
    async with one_server(dict(options)) as server, running_gateway(url_of(server)) as redis:
        with pytest.raises(StoreUnsafeError, match=remedy) as caught:
            await watch(redis, Health()).run()
        assert "accept_unsafe" in str(caught.value)
        health = Health()
        async with trio.open_nursery() as nursery:
            await nursery.start(watch(redis, health, accept_unsafe=True).run)
            assert health.problems() == {}
            nursery.cancel_scope.cancel()


async def test_a_server_that_becomes_unsafe_is_told() -> None:
    """After the start an unsafe server makes the process not ready, and safe again ready."""
    async with one_server() as server, running_gateway(url_of(server)) as redis:
        health = Health()
        async with trio.open_nursery() as nursery:
            await nursery.start(watch(redis, health).run)
            assert health.problems() == {}
            await redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            await until(lambda: "not safe" in health.problems().get("store safety", ""))
            await redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await until(lambda: not health.problems())
            nursery.cancel_scope.cancel()


async def test_load_is_shed_before_writes_are_refused() -> None:
    """A server that fills is told as low, then as full before it refuses, and its room is seen."""
    async with (
        one_server({"maxmemory": "20mb"}) as server,
        running_gateway(url_of(server)) as redis,
    ):
        health = Health()
        async with trio.open_nursery() as nursery:
            await nursery.start(watch(redis, health, memory_shed_ratio=0.9).run)
            assert health.details()["store_memory"]["low"] is False  # type: ignore[index]  # a dict
            for number in range(10_000):
                await redis.command("SET", f"filler {number}", b"x" * 100_000)
                await trio.sleep(0.005)
                if redis.pressure is not None:
                    break
            assert "in use" in health.problems()["store memory"]
            assert health.details()["store_memory"]["low"] is True  # type: ignore[index]  # a dict
            with pytest.raises(StoreRefusesWritesError) as caught:
                for _ in range(100):
                    await RelayLog(redis, KeyNames()).append("a", b"x" * 100_000)
            assert caught.value.code == "OOM"
            await redis.command("FLUSHALL")
            await until(lambda: redis.pressure is None)
            assert health.problems() == {}
            nursery.cancel_scope.cancel()


async def test_what_a_server_does_not_tell_is_not_trusted() -> None:
    """A user who may not ask is told so; one who may ask INFO alone needs an append-only file."""
    async with one_server() as server:
        await server.ask("ACL", "SETUSER", "blind", "on", ">pw", "~*", "+@all", "-info")
        await server.ask("ACL", "SETUSER", "short", "on", ">pw", "~*", "+@all", "-config")
        async with running_gateway(f"redis://blind:pw@{HOST}:{server.port}") as redis:
            with pytest.raises(StoreUnsafeError, match="not told"):
                await watch(redis, Health()).run()
        async with running_gateway(f"redis://short:pw@{HOST}:{server.port}") as redis:
            assert [facts.danger for facts in await look(redis)] == [None]
            await server.ask("CONFIG", "SET", "appendonly", "no")
            (facts,) = await look(redis)
            assert "does not tell" in (facts.danger or "")


def test_snapshots_are_something() -> None:
    """Snapshots alone are not refused; neither is a server that says what we do not know."""
    info = b"# Memory\r\nused_memory:50\r\nmaxmemory:0\r\ntotal_system_memory:100\r\n"
    info += b"maxmemory_policy:noeviction\r\naof_enabled:0\r\nredis_version:7.4.1\r\n"
    info += b"aof_last_write_status:err\r\n"
    facts = read_facts(info, "3600 1")
    assert (facts.danger, facts.used_ratio, facts.version) == (None, 0.5, "Redis 7.4.1")
    assert "cannot be written" in facts.fault
    assert read_facts(b"", None).danger is not None
    assert read_facts(info, "").danger is not None
    assert ServerFacts().used_ratio == 0
