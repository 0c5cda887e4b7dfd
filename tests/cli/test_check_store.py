"""`relayminer check` looks at the store: version, safety, latency, room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from relayminer.cli.checks.store import (
    check_store,
    store_latency,
    store_safety,
    store_version,
)
from relayminer.config.settings import RedisSettings, Settings
from relayminer.net.ports import free_port
from relayminer.state.watch import ServerFacts
from tests.state.servers import one_server

if TYPE_CHECKING:
    from relayminer.cli.checks.clock import Reading
    from relayminer.cli.checks.findings import Finding

DELAY_SECONDS = 0.006


async def found(port: int, readings: list[Reading] | None = None) -> dict[str, Finding]:
    """What is said of a server, by subject."""
    redis = RedisSettings(url=f"redis://127.0.0.1:{port}", command_timeout_seconds=5.0)
    looked = check_store(Settings(redis=redis), [] if readings is None else readings)
    return {finding.subject: finding async for finding in looked}


async def test_a_server_is_looked_over() -> None:
    """A good one: what it is, that it keeps what it confirms, how near it is, its clock."""
    readings: list[Reading] = []
    async with one_server() as server:
        told = await found(server.port, readings)
    assert set(told) == {"store", "store safety", "store latency"}
    assert {finding.result for finding in told.values()} == {"ok"}
    assert "Valkey" in told["store"].found
    assert told["store latency"].found.startswith("0.")
    (reading,) = readings
    assert not reading.differs


async def test_a_server_that_forgets_is_a_failure() -> None:
    """One that evicts keys: the remedy is the command that stops it."""
    async with one_server({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as server:
        safety = (await found(server.port))["store safety"]
    assert safety.result == "fail"
    assert "CONFIG SET maxmemory-policy noeviction" in safety.remedy


async def test_a_server_far_away_is_told() -> None:
    """Every answer takes 6 ms on the way: each relay would wait as long."""
    async with one_server() as server, trio.open_nursery() as nursery:

        async def serve(client: trio.SocketStream) -> None:
            far = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with client, far, trio.open_nursery() as both:
                both.start_soon(pass_on, client, far, 0.0)
                await pass_on(far, client, DELAY_SECONDS)
                both.cancel_scope.cancel()

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        latency = (await found(listener.socket.getsockname()[1]))["store latency"]
        nursery.cancel_scope.cancel()
    assert latency.result == "warn"
    assert "nearer" in latency.remedy


async def pass_on(source: trio.SocketStream, sink: trio.SocketStream, delay_seconds: float) -> None:
    """Bytes, later."""
    async for data in source:
        await trio.sleep(delay_seconds)
        await sink.send_all(data)


async def test_a_command_that_is_refused_is_a_failure_of_the_store_alone() -> None:
    """An account that may not ask for the time: one finding with the server's words."""
    async with one_server() as server:
        await server.ask("ACL", "SETUSER", "default", "-time")
        told = await found(server.port)
    assert set(told) == {"store"}
    assert told["store"].result == "fail"
    assert "time" in told["store"].found


async def test_nobody_there_is_a_failure() -> None:
    """A store that is away is told as such, and nothing is said of its clock."""
    readings: list[Reading] = []
    redis = RedisSettings(url=f"redis://127.0.0.1:{free_port()}", command_timeout_seconds=0.2)
    (finding,) = [one async for one in check_store(Settings(redis=redis), readings)]
    assert finding.result == "fail"
    assert finding.remedy
    assert readings == []


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("Redis 6.0.16", "fail"),
        ("Redis 6.2.1", "ok"),
        ("Redis 7.4.0", "ok"),
        ("Valkey 9.1.2", "ok"),
        ("Redis of unknown version", "ok"),
    ],
)
def test_old_servers_are_refused(version: str, result: str) -> None:
    """Redis 6.2 brought commands that are used; every Valkey is newer."""
    finding = store_version("redis://x", [ServerFacts(version="Valkey 9"), ServerFacts()])
    assert finding.result == "ok"
    finding = store_version("redis://x", [ServerFacts(version=version)])
    assert finding.result == result
    assert version in finding.found


@pytest.mark.parametrize(
    ("usual_seconds", "result"), [(0.0004, "ok"), (0.006, "warn"), (0.2, "fail")]
)
def test_latency_is_the_usual_one(usual_seconds: float, result: str) -> None:
    """One slow answer among many is no distance."""
    assert store_latency([*[usual_seconds] * 20, 0.9]).result == result


def test_a_disk_that_refuses_is_a_failure() -> None:
    """An append-only file that cannot be written, memory that runs out, snapshots only."""
    settings = Settings()
    good = ServerFacts(version="Valkey 9")
    assert store_safety([good], settings).result == "ok"
    refused = attrs.evolve(good, fault="the append-only file cannot be written")
    assert store_safety([good, refused], settings).result == "fail"
    full = attrs.evolve(good, used_bytes=99, limit_bytes=100)
    assert store_safety([full], settings).result == "warn"
    snapshots = attrs.evolve(good, appends=False, snapshots="60 1")
    assert store_safety([snapshots], settings).result == "warn"
