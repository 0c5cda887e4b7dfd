"""Looks at the server: whether it keeps what it confirms, and whether there is room in it.

A server that may evict keys or that writes nothing to disk loses money sooner or later; it is
refused at the first look. Memory is looked at all the time: relays are turned away before the
server refuses writes, because the miners need room to take in what was answered already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from relayminer.state.errors import StateError, StoreReplyError, StoreUnsafeError

if TYPE_CHECKING:
    from relayminer.config.settings import RedisSettings
    from relayminer.state.gateway import Redis
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics

SAFE_POLICY: Final = "noeviction"
HYSTERESIS: Final = 0.98
"""Relays are let in again when less than this part of the limit is in use."""
REMEDY: Final = "; or set redis.accept_unsafe: true and live with the loss"

GATEWAY: Final = "gateway"
"""The connections that all commands of a process share, by their name in the metrics."""

_log = structlog.get_logger("relayminer.state")


@attrs.frozen(kw_only=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        version: of Redis or Valkey.
        policy: what it does when its memory is full.
        appends: whether it writes every command to disk.
        snapshots: when it writes everything to disk (`save`); None when that is not told.
        used_bytes: memory in use.
        limit_bytes: `maxmemory`, else the machine's memory; 0 when neither is told.
        fault: what keeps it from writing to disk at this moment, or empty.
    """

    version: str = ""
    policy: str = SAFE_POLICY
    appends: bool = True
    snapshots: str | None = None
    used_bytes: int = 0
    limit_bytes: int = 0
    fault: str = ""

    @property
    def used_ratio(self) -> float:
        """Share of the memory in use; 0 when its limit is not known."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0

    @property
    def danger(self) -> str | None:
        """Why the server loses what it has confirmed, with the remedy; None when it does not."""
        if self.policy != SAFE_POLICY:
            return (
                f"its maxmemory-policy is {self.policy}, so it may drop relays and tries when its "
                f"memory is full: CONFIG SET maxmemory-policy {SAFE_POLICY} (and in its file)"
            )
        if not self.appends and not self.snapshots:
            told = (
                "it keeps nothing on disk"
                if self.snapshots == ""
                else ("it has no append-only file and does not tell whether it has snapshots")
            )
            return f"{told}: CONFIG SET appendonly yes (and in its file)"
        return None


def read_facts(info: bytes, snapshots: str | None) -> ServerFacts:
    """From the answers to INFO and CONFIG GET save."""
    lines = info.decode("utf-8", "replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    faults = [
        text
        for name, text in (
            ("aof_last_write_status", "the append-only file cannot be written"),
            ("aof_last_bgrewrite_status", "the append-only file cannot be rewritten"),
        )
        if fields.get(name, "ok") != "ok"
    ]
    family = "valkey" if "valkey_version" in fields else "redis"
    return ServerFacts(
        version=f"{family.capitalize()} {fields.get(f'{family}_version', 'of unknown version')}",
        policy=fields.get("maxmemory_policy", "unknown"),
        appends=fields.get("aof_enabled") == "1",
        snapshots=snapshots,
        used_bytes=_number(fields, "used_memory"),
        limit_bytes=_number(fields, "maxmemory") or _number(fields, "total_system_memory"),
        fault=", ".join(faults),
    )


def _number(fields: dict[str, str], name: str) -> int:
    text = fields.get(name, "")
    return int(text) if text.isdecimal() else 0


async def look(redis: Redis) -> list[ServerFacts]:
    """What every server that holds data says of itself.

    Raises:
        StateError: one of them was not asked, or said nothing.
    """
    infos = await redis.on_every_server("INFO")
    if all(b"\naof_enabled:1" in info for info in infos):
        return [read_facts(info, None) for info in infos]
    try:
        found = await redis.on_every_server("CONFIG", "GET", "save")
        saves = [reply[1].decode() if len(reply) > 1 else None for reply in found]
    except StoreReplyError:
        # A managed server keeps its configuration to itself.
        saves = [None] * len(infos)
    return [read_facts(info, save) for info, save in zip(infos, saves, strict=True)]


class ServerWatch:
    """A `Service` that refuses an unsafe server and sheds load before a full one does.

    While there is too little room, `Redis.pressure` says so to those who would add relays.

    Args:
        redis: running.
        settings: `redis`.
        health: where it is told.
        metrics: where the memory in use is shown.

    Raises (`run`):
        StoreUnsafeError: the server loses what it confirms, by its configuration.
    """

    name = "store watch"

    def __init__(
        self, redis: Redis, settings: RedisSettings, *, health: Health, metrics: Metrics
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._facts: list[ServerFacts] = []
        self._trouble: str | None = None
        self._was_low = False
        health.add("store safety", lambda: self._trouble)
        health.add("store memory", lambda: redis.pressure)
        health.show("store_memory", self._detail)
        for name, text, read in (
            ("used_memory_bytes", "Memory in use, of the fullest server", self._used_bytes),
            ("max_memory_bytes", "Memory that it may use", self._limit_bytes),
            ("memory_usage_ratio", "Share of it in use, -1 when not known", self._ratio),
        ):
            metrics.gauge(f"ha_miner_redis_{name}", text).bind().read = read
        prefix, component = "ha_transport_redis_reconnection_", ("component",)
        metrics.counter(
            prefix + "attempts",
            "Attempts to have a lost connection to the store again",
            component,
        ).read_all = lambda: {(GATEWAY,): redis.reconnection_attempts}
        metrics.counter(
            prefix + "success", "Connections to the store made after the first", component
        ).read_all = lambda: {(GATEWAY,): redis.reconnections}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look until cancelled. A store that is away at the start is looked at when it comes."""
        with trio.move_on_after(self._redis.command_timeout_seconds):
            await self._first_look()
        task_status.started()
        if not self._facts:
            await self._first_look()
        while True:
            await trio.sleep(self._settings.watch_interval_seconds)
            try:
                facts = await look(self._redis)
            except StateError:
                # Whether the store is reached is told by its own check.
                continue
            self._take(facts)

    async def _first_look(self) -> None:
        facts: list[ServerFacts] = []
        while not facts:
            await self._redis.wait_connected()
            try:
                facts = await look(self._redis)
            except StoreReplyError as error:
                facts = [ServerFacts(policy=f"not told ({error})")]
            except StateError:
                await trio.sleep(self._settings.watch_interval_seconds)
        danger = next((one.danger for one in facts if one.danger), None)
        if danger is not None and not self._settings.accept_unsafe:
            raise StoreUnsafeError(
                f"the store at {self._redis.location} is not safe: {danger}{REMEDY}"
            )
        for one in facts:
            if one.danger or not one.appends:
                _log.warning("store_may_lose", danger=one.danger or "it has snapshots only")
        self._take(facts)

    def _take(self, facts: list[ServerFacts]) -> None:
        self._facts = facts
        self._trouble = next((one.fault for one in facts if one.fault), None)
        danger = next((one.danger for one in facts if one.danger), None)
        if danger is not None and not self._settings.accept_unsafe:
            self._trouble = f"the store is not safe any more: {danger}"
        ratio = self._ratio()
        shed = self._settings.memory_shed_ratio
        if self._redis.pressure is not None:
            shed *= HYSTERESIS
        before = self._redis.pressure
        self._redis.pressure = None
        if ratio >= shed:
            self._redis.pressure = f"{ratio:.0%} of the store's memory is in use"
        if (before is None) != (self._redis.pressure is None):
            _log.warning("store_memory_full" if before is None else "store_memory_back", used=ratio)
        is_low = ratio >= self._settings.memory_warn_ratio
        if is_low and not self._was_low:
            _log.warning("store_memory_low", used=ratio, limit_bytes=self._limit_bytes())
        self._was_low = is_low

    def _detail(self) -> dict[str, object] | None:
        if not self._facts:
            return None
        return {
            "used_bytes": int(self._used_bytes()),
            "limit_bytes": int(self._limit_bytes()),
            "low": self._was_low,
        }

    def _fullest(self) -> ServerFacts:
        return max(self._facts, key=lambda one: one.used_ratio, default=ServerFacts())

    def _used_bytes(self) -> float:
        return self._fullest().used_bytes

    def _limit_bytes(self) -> float:
        return self._fullest().limit_bytes

    def _ratio(self) -> float:
        fullest = self._fullest()
        return fullest.used_ratio if fullest.limit_bytes else -1.0
