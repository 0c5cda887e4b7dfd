"""One simulated process: what it suffers, and the lines that connect it with the store."""

from __future__ import annotations

import hashlib
import math
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import hiredis
import trio
from attrs import define, field

from relayminer.state.connection import pack
from relayminer.state.errors import StoreAwayError, StoreReplyError
from relayminer.state.gateway import Redis
from relayminer.state.subscription import Gap, Message, Subscription
from tests.histories.model_values import ReplyError, Status

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterator, Sequence

    from relayminer.state.connection import DedicatedConnection
    from tests.histories.model import Model
    from tests.histories.plan import Weather

EPOCH_SECONDS = 1_795_000_000.0
"""What the server's clock says when the simulated one says 0."""
HEALING_SECONDS = 1.0
"""How long after it was healed a process may take to notice."""
WRITES = frozenset({b"SET", b"DEL", b"HSET", b"HDEL", b"HINCRBY", b"SADD", b"SREM"})


@define
class Sky:
    """What everybody shares: the weather, and whether it is rough at this moment."""

    weather: Weather
    nursery: trio.Nursery
    rough: bool = False


@define(eq=False)
class Process:
    """One life of a simulated miner process.

    Attributes:
        owner: its id in leases.
        dead: nothing leaves it any more.
        died: set at the moment of death.
    """

    owner: str
    rng: random.Random
    sky: Sky
    stops_in_order: bool = False
    """Whether its end is a SIGTERM: it may still give back what it has."""
    dead: bool = False
    died: trio.Event = field(factory=trio.Event)
    away_until: float = -math.inf
    """Until then nothing leaves it and nothing reaches it: stopped, or cut off."""

    def die(self) -> None:
        """As `kill -9`, or as SIGTERM when that is its way."""
        self.dead = not self.stops_in_order
        self.died.set()

    def cut_off(self, seconds: float) -> None:
        """As SIGSTOP for so long: what it has said arrives when it wakes up."""
        self.away_until = max(self.away_until, trio.current_time() + seconds)

    def suffers(self, chance: float) -> bool:
        """Whether a fault of this chance strikes now."""
        return self.sky.rough and self.rng.random() < chance

    async def outage(self) -> None:
        """Wait while it is cut off; for ever when it is dead."""
        await self.back()
        if self.dead:
            await trio.sleep_forever()

    async def back(self) -> None:
        """Wait while it is cut off; that may be prolonged or healed meanwhile."""
        await trio.lowlevel.checkpoint()
        while (now := trio.current_time()) < self.away_until:  # noqa: ASYNC110 - known, not told
            await trio.sleep_until(min(self.away_until, now + HEALING_SECONDS))

    def heal(self) -> None:
        """It is cut off no more."""
        self.away_until = min(self.away_until, trio.current_time())


@define(eq=False)
class Listener:
    """A subscription of one process; what is published while it is cut off is lost to it."""

    process: Process
    channels: frozenset[str]
    subscription: Subscription = field(factory=Subscription)
    missed: bool = False

    async def catch_up(self) -> None:
        """Subscribe anew, which begins with a gap."""
        await self.process.back()
        self.missed = False
        self.subscription.deliver(Gap())

    def hear(self, channel: str, message: bytes) -> None:
        """Deliver a message, after a gap where some were lost."""
        if trio.current_time() < self.process.away_until:
            if not self.missed:
                self.missed = True
                self.process.sky.nursery.start_soon(self.catch_up)
        elif channel in self.channels:
            self.subscription.deliver(Message(channel, message))


class SharedStore:
    """The server: a model, who waits for it, and a watch over who changes what."""

    def __init__(self, model: Model, lease_prefix: str, guarded: Sequence[str]) -> None:
        self.model = model
        self.trace: list[tuple[list[bytes], Any]] | None = None
        """Commands with their replies, if they are wanted; what expires is a DEL there."""
        self.commands = 0
        self.digest = hashlib.sha256()
        self.violations: list[str] = []
        self._lease_prefix = lease_prefix.encode()
        self._guarded = tuple(prefix.encode() for prefix in guarded)
        self._holders: dict[bytes, bytes] = {}
        self._added = trio.Event()
        self._listeners: list[Listener] = []
        model.on_entry = self._wake
        model.on_publish = self._publish

    def run(self, commands: list[list[bytes]], owner: str) -> list[Any]:
        """Execute what one process sent."""
        self.model.space.now = EPOCH_SECONDS + trio.current_time()
        replies = self.model.run(commands)
        for words, reply in zip(commands, replies, strict=True):
            self._watch(words, reply, owner.encode())
        self.commands += len(commands)
        self.digest.update(
            b"%r %r" % (trio.current_time(), [[words[0], *words[1:4:2]] for words in commands])
        )
        if self.trace is not None:
            self.trace += [([b"DEL", key], 1) for key in self.model.space.expired]
            self.trace += zip(commands, replies, strict=True)
        self.model.space.expired.clear()
        return replies

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Deliver what is published while the block runs."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _publish(self, channel: bytes, message: bytes) -> int:
        for listener in self._listeners:
            listener.hear(channel.decode(), message)
        # A real server counts its clients; nobody may depend on how many there are.
        return 0

    async def entry_added(self) -> None:
        """Return when something was added to a stream."""
        await self._added.wait()

    def _wake(self) -> None:
        self._added.set()
        self._added = trio.Event()

    def _watch(self, words: list[bytes], reply: Any, owner: bytes) -> None:
        """Note holders of leases; a change by anybody but the last holder is a violation."""
        if words[0] not in {b"EVALSHA", b"EVAL"}:
            if owner and words[0] in WRITES and words[1].startswith(self._guarded):
                self.violations.append(f"{owner!r} changed {words[1]!r} without a token")
            return
        keys = words[3 : 3 + int(words[2])]
        for key in keys:
            if key.startswith(self._lease_prefix):
                holder = self.model.space.values.get(key)
                if isinstance(holder, bytes):
                    self._holders[key] = holder
        if isinstance(reply, ReplyError) or not owner:
            return
        if any(key.startswith(self._guarded) for key in keys):
            leases = [key for key in keys if key in self._holders]
            if not leases:
                self.violations.append(f"{owner!r} changed {keys} under no lease")
            elif self._holders[leases[0]] != owner:
                holder = self._holders[leases[0]]
                self.violations.append(f"{owner!r} changed {keys}, which {holder!r} owns")


@define(eq=False)
class _Parcel:
    """Commands on their way."""

    commands: list[list[bytes]]
    replies: list[Any] | None = None
    arrived: trio.Event = field(factory=trio.Event)


class StoreLine:
    """One connection to the store: in order, and as unreliable as the weather."""

    def __init__(self, store: SharedStore, process: Process) -> None:
        self._store = store
        self._process = process
        self._held: list[_Parcel] = []

    async def exchange(self, commands: list[list[bytes]], timeout_seconds: float) -> list[Any]:
        """Send commands and get their replies; StoreAwayError as the real gateway says it."""
        process = self._process
        if process.dead:
            raise StoreAwayError("this process is dead")
        await trio.lowlevel.checkpoint()
        if process.suffers(process.sky.weather.store_fault):
            return await self._mishap(commands, timeout_seconds)
        if self._held or trio.current_time() < process.away_until:
            return await self._late(commands, timeout_seconds)
        return self._store.run(commands, process.owner)

    async def _mishap(self, commands: list[list[bytes]], timeout_seconds: float) -> list[Any]:
        process, weather = self._process, self._process.sky.weather
        kind = process.rng.choices(
            ("lost", "unanswered", "late", "overtaken", "dies before", "dies after"),
            weather.store_kinds,
        )[0]
        if kind == "late":
            process.cut_off(process.rng.uniform(0.05, weather.longest_pause_seconds))
            return await self._late(commands, timeout_seconds)
        if kind == "overtaken":
            process.sky.nursery.start_soon(self._overtaken, commands)
        if kind in {"unanswered", "dies after"}:
            self._store.run(commands, process.owner)
        if kind.startswith("dies"):
            process.die()
            await trio.sleep_forever()
        if process.rng.random() < 0.5:
            await trio.sleep(timeout_seconds)
        raise StoreAwayError("the connection ended", maybe_executed=True)

    async def _overtaken(self, commands: list[list[bytes]]) -> None:
        """What was stuck in a connection that was given up arrives after what came by the next."""
        process = self._process
        await trio.sleep(process.rng.uniform(0.05, process.sky.weather.longest_pause_seconds))
        self._store.run(commands, process.owner)

    async def _late(self, commands: list[list[bytes]], timeout_seconds: float) -> list[Any]:
        """What is on its way arrives although its sender has given up, is gone or was fenced."""
        parcel = _Parcel(commands)
        self._held.append(parcel)
        if len(self._held) == 1:
            self._process.sky.nursery.start_soon(self._release)
        with trio.move_on_after(timeout_seconds):
            await parcel.arrived.wait()
        if parcel.replies is None:
            raise StoreAwayError("no answer in time", maybe_executed=True)
        return parcel.replies

    async def _release(self) -> None:
        process = self._process
        await process.back()
        held, self._held = self._held, []
        # A connection that stood still for long may have been closed meanwhile.
        if process.rng.random() < 0.3:
            held = held[:1]
        for parcel in held:
            parcel.replies = self._store.run(parcel.commands, process.owner)
            parcel.arrived.set()

    async def blocking(self, words: list[bytes], timeout_seconds: float) -> Any:
        """A read that waits for entries; its own BLOCK says how long."""
        process = self._process
        wait_seconds = 0.0
        if b"BLOCK" in words:
            wait_seconds = int(words[words.index(b"BLOCK") + 1]) / 1000
        deadline = trio.current_time() + wait_seconds
        while True:
            (reply,) = await self.exchange([words], timeout_seconds)
            if reply is not None or trio.current_time() >= deadline or process.dead:
                return reply
            with trio.move_on_at(deadline):
                await self._store.entry_added()


class SimulatedRedis(Redis):
    """The gateway of one process; everything above it is the real one."""

    def __init__(self, store: SharedStore, process: Process) -> None:
        super().__init__("redis://simulated:1", jitter=lambda: 0.5)
        self._store = store
        self._process = process
        self._wire = StoreLine(store, process)

    @property
    def is_connected(self) -> bool:
        """Whether the process is alive."""
        return not self._process.dead

    @property
    def has_xackdel(self) -> bool:
        """The server is one of those that do not know it."""
        return False

    async def wait_connected(self) -> None:
        """Nothing to wait for."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be connected until cancelled."""
        task_status.started()
        await trio.sleep_forever()

    async def _submit(self, packed: bytes, expected: int, timeout_seconds: float | None) -> Any:
        limit = self._process.sky.weather.command_timeout_seconds
        replies = await self._wire.exchange(unpack(packed), timeout_seconds or limit)
        plain = [plain_reply(reply) for reply in replies]
        return plain[0] if expected == 1 else plain

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[DedicatedConnection]:
        """A line of its own."""
        line: Any = DedicatedLine(self._store, self._process)
        yield line

    @asynccontextmanager
    async def subscribe(self, channels: Sequence[str]) -> AsyncIterator[Subscription]:
        """Messages of the simulated store."""
        listener = Listener(self._process, frozenset(channels))
        with self._store.listening(listener):
            self._process.sky.nursery.start_soon(listener.catch_up)
            yield listener.subscription


class DedicatedLine:
    """A connection for blocking reads."""

    def __init__(self, store: SharedStore, process: Process) -> None:
        self._line = StoreLine(store, process)

    async def command(self, *words: Any, timeout_seconds: float = 10.0) -> Any:
        """One command and its reply."""
        (command,) = unpack(pack(words))
        reply = plain_reply(await self._line.blocking(command, timeout_seconds))
        if isinstance(reply, hiredis.ReplyError):
            raise StoreReplyError(str(reply))
        return reply


def unpack(packed: bytes) -> list[list[bytes]]:
    """The commands in what a client writes."""
    reader = hiredis.Reader()
    reader.feed(packed)
    commands: list[list[bytes]] = []
    while (words := reader.gets()) is not False:
        commands.append(words)
    return commands


def plain_reply(reply: Any) -> Any:
    """A reply as the parser of the real gateway hands it over."""
    if isinstance(reply, ReplyError):
        return hiredis.ReplyError(str(reply))
    if isinstance(reply, Status):
        return bytes(reply)
    if isinstance(reply, list):
        return [plain_reply(each) for each in reply]
    return reply
