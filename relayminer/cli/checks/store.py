"""The store as `relayminer check` sees it: new enough, near, safe, with room."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from relayminer.cli.checks import clock
from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.config.masking import masked_url
from relayminer.config.settings import EMBEDDED, Settings
from relayminer.state.embedded import open_store
from relayminer.state.errors import StateError
from relayminer.state.gateway import Redis
from relayminer.state.watch import ServerFacts, look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.cli.checks.clock import Reading

LEAST_REDIS: Final = (6, 2)
STORE_SECONDS: Final = 20.0
"""For starting the embedded store, which reads its log first."""
PINGS: Final = 21
PING_SECONDS: Final = 1.0
"""No more questions after this: a store that is far away is known by the first few."""
SLOW_SECONDS: Final = 0.005
"""A relay is answered after the store has confirmed it, so this is added to each of them."""
TOO_SLOW_SECONDS: Final = 0.1
"""Nothing fails, but no gateway keeps a supplier that is this much slower than others."""
_MICROSECONDS: Final = 1_000_000


@frozen
class StoreLook:
    """What was found of the store.

    Attributes:
        servers: one, or every primary of a cluster.
        round_trips_seconds: of one question after the other; of a cluster to all of its primaries.
    """

    servers: list[ServerFacts]
    round_trips_seconds: list[float]


async def check_store(settings: Settings, readings: list[Reading]) -> AsyncIterator[Finding]:
    """The store answers; the embedded one is started for that, and stopped.

    What a server's clock says of ours is added to `readings`.
    """
    url = settings.redis.url
    embedded = url == EMBEDDED
    subject = "store"
    seconds = STORE_SECONDS if embedded else settings.redis.command_timeout_seconds * 2
    try:
        with trio.fail_after(seconds):
            async with open_store(settings.redis, settings.home) as where:
                found = await _ask(where, settings, [] if embedded else readings)
    except trio.TooSlowError:
        what = f"{masked_url(url)} does not answer"
        yield Finding(subject, FAIL, what, "is the server up, and redis.url right?")
    except (StateError, OSError) as error:
        remedy = f"is {settings.home} writable?" if embedded else "check redis.url and the server"
        yield Finding(subject, FAIL, f"{masked_url(url)}: {error}", remedy)
    else:
        where = f"embedded in {settings.home}" if embedded else masked_url(url)
        yield store_version(where, found.servers)
        yield store_safety(found.servers, settings)
        yield store_latency(found.round_trips_seconds)


async def _ask(url: str, settings: Settings, readings: list[Reading]) -> StoreLook:
    redis = Redis(url, settings.redis)
    found: StoreLook | StateError
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)
        await redis.wait_connected()
        try:
            found = await _look(redis, readings)
        except StateError as error:
            # Raised in here it would come out in a group.
            found = error
        nursery.cancel_scope.cancel()
    if isinstance(found, StateError):
        raise found
    return found


async def _look(redis: Redis, readings: list[Reading]) -> StoreLook:
    servers = await look(redis)
    round_trips: list[float] = []
    while len(round_trips) < PINGS and sum(round_trips) < PING_SECONDS:
        started_at = trio.current_time()
        await redis.on_every_server("PING")
        round_trips.append(trio.current_time() - started_at)
    asked_at = time.time()
    seconds, microseconds = (await redis.on_every_server("TIME"))[0]
    told = int(seconds) + int(microseconds) / _MICROSECONDS
    readings.append(clock.of_moment("the store", asked_at, told, time.time()))
    return StoreLook(servers, round_trips)


def store_version(where: str, servers: Sequence[ServerFacts]) -> Finding:
    """Every server is new enough for the commands that are used."""
    versions = sorted({server.version for server in servers})
    found = f"{where}: {', '.join(versions)}"
    for version in versions:
        family, _, number = version.partition(" ")
        parts = [int(part) for part in number.split(".")[:2] if part.isdigit()]
        if family == "Redis" and parts and tuple(parts) < LEAST_REDIS:
            return Finding("store", FAIL, found, "use Redis 6.2 or newer, or Valkey")
    return Finding("store", OK, found)


def store_latency(round_trips_seconds: Sequence[float]) -> Finding:
    """How long the store takes to answer, which every relay waits for."""
    subject = "store latency"
    usual, worst = statistics.median(round_trips_seconds), max(round_trips_seconds)
    found = f"{usual * 1e3:.1f} ms, the slowest of {len(round_trips_seconds)} {worst * 1e3:.1f} ms"
    if usual < SLOW_SECONDS:
        return Finding(subject, OK, found)
    remedy = "put the store nearer, or on a machine that is less busy: every relay waits for it"
    return Finding(subject, WARN if usual < TOO_SLOW_SECONDS else FAIL, found, remedy)


def store_safety(servers: Sequence[ServerFacts], settings: Settings) -> Finding:
    """Whether the store keeps what it confirms, and has room."""
    subject = "store safety"
    danger = next((server.danger for server in servers if server.danger), None)
    if danger is not None:
        found, _, remedy = danger.rpartition(": ")
        return Finding(subject, WARN if settings.redis.accept_unsafe else FAIL, found, remedy)
    fault = next((server.fault for server in servers if server.fault), None)
    if fault is not None:
        return Finding(subject, FAIL, fault, "look at the server's log and the room on its disk")
    used = max(server.used_ratio for server in servers)
    found = f"nothing is evicted, {used:.0%} of the memory in use"
    if used >= settings.redis.memory_warn_ratio:
        return Finding(subject, WARN, found, "give it more memory, or more miners to the log")
    if any(not server.appends for server in servers):
        remedy = "CONFIG SET appendonly yes: snapshots lose what came after the last one"
        return Finding(subject, WARN, f"{found}; snapshots only", remedy)
    return Finding(subject, OK, f"{found}, written to disk")
