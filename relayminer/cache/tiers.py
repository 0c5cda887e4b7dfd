"""One cache: this process's memory, the shared store, the chain, in this order.

A value in memory is had without a turn of the loop. Of many who miss the same key at once, one
asks and the others wait for it. What the chain says does not exist is remembered for a while, and
so is, for a moment, that it could not be asked: a stream of bad requests costs the chain little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from relayminer.cache.errors import AbsentError, LoadError
from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.cache.metrics import CacheMetrics
    from relayminer.plugin import CacheType, ChainReader, Moment
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

Key = TypeVar("Key")
Value = TypeVar("Value")

STORE_TIMEOUT_SECONDS = 0.5
FAILURE_SECONDS = 1.0


class _Flight:
    """A load underway; `error` is set before `done` when it failed."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: AbsentError | LoadError | None = None


class Cache(Generic[Key, Value]):
    """Values of one cache type.

    Args:
        kind: what they are and how they are coded.
        chain: the last resort.
        store: the shared store, or None without one.
        names: its key names.
        moment: the present.
        max_entries: in memory; beyond it the oldest go.
        metrics: hits and misses.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        kind: CacheType[Key, Value],
        *,
        chain: ChainReader,
        store: Redis | None,
        names: KeyNames,
        moment: Moment,
        max_entries: int,
        metrics: CacheMetrics,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.kind = kind
        self._chain = chain
        self._store = store
        self._names = names
        self._moment = moment
        self._max_entries = max_entries
        self._metrics = metrics.of(kind.name)
        self._clock = clock
        self._entries: dict[Key, tuple[Value, float]] = {}
        self._refused: dict[Key, tuple[AbsentError | LoadError, float]] = {}
        self._flights: dict[Key, _Flight] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get_cached(self, key: Key) -> Value | None:
        """The value if memory has it fresh. No turn of the loop, about half a microsecond."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]

    async def get(self, key: Key) -> Value:
        """The value, from wherever it can be had.

        Raises:
            AbsentError: there is no such thing.
            LoadError: nobody could be asked, or the answer was an error.
        """
        while True:
            value = self.get_cached(key)
            if value is not None:
                self._metrics.memory_hits.value += 1
                return value
            self._raise_remembered(key)
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key)
            await flight.done.wait()
            if flight.error is not None:
                raise type(flight.error)(str(flight.error))

    async def refresh(self, key: Key) -> Value:
        """Ask the chain whatever memory and store hold, and tell both.

        Raises:
            AbsentError, LoadError: as `get`.
        """
        value = await self._load(key)
        self.put(key, value)
        await self._write(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember `value` in memory."""
        self._refused.pop(key, None)
        self._entries.pop(key, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (value, self._clock() + self.kind.memory_seconds)

    def forget(self, key: Key) -> None:
        """Drop what memory holds of `key`."""
        self._entries.pop(key, None)
        self._refused.pop(key, None)

    def forget_all(self) -> None:
        """Drop all that memory holds."""
        self._entries.clear()
        self._refused.clear()

    async def _fly(self, key: Key) -> Value:
        flight = self._flights[key] = _Flight()
        try:
            value = await self._read(key)
            if value is None:
                value = await self._load(key)
                self.put(key, value)
                await self._write(key, value)
            else:
                self.put(key, value)
        except (AbsentError, LoadError) as error:
            flight.error = error
            self._remember_refusal(key, error)
            raise
        else:
            return value
        finally:
            # A cancelled leader leaves without an error: the next waiter takes over.
            del self._flights[key]
            flight.done.set()

    def _raise_remembered(self, key: Key) -> None:
        refused = self._refused.get(key)
        if refused is None:
            return
        if refused[1] <= self._clock():
            del self._refused[key]
            return
        raise type(refused[0])(str(refused[0]))

    def _remember_refusal(self, key: Key, error: AbsentError | LoadError) -> None:
        absent = isinstance(error, AbsentError)
        seconds = self.kind.absent_seconds if absent else FAILURE_SECONDS
        if seconds <= 0:
            return
        if len(self._refused) >= self._max_entries:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = (error, self._clock() + seconds)

    async def _read(self, key: Key) -> Value | None:
        """From the store; None when it is away, has nothing, or nothing that can be read."""
        if self._store is None or not self._store.is_connected:
            return None
        name = self.kind.store_key(self._names, key)
        if name is None:
            return None
        try:
            data: Any = await self._store.command(
                "GET", name, timeout_seconds=STORE_TIMEOUT_SECONDS
            )
        except StateError:
            self._metrics.store_errors.value += 1
            return None
        if data is None:
            self._metrics.store_misses.value += 1
            return None
        try:
            value = self.kind.decode(data)
        except Exception:  # noqa: BLE001 - third-party code and foreign data: unreadable is a miss
            self._metrics.store_errors.value += 1
            return None
        self._metrics.store_hits.value += 1
        return value

    async def _load(self, key: Key) -> Value:
        self._metrics.chain_queries.value += 1
        try:
            return await self.kind.load(self._chain, key)
        except (NotFoundError, LookupError) as error:
            raise AbsentError(f"{self.kind.name} {_text(key)} does not exist: {error}") from error
        except ChainError as error:
            self._metrics.chain_errors.value += 1
            raise LoadError(f"{self.kind.name} {_text(key)}: {error}") from error

    async def _write(self, key: Key, value: Value) -> None:
        if self._store is None or not self._store.is_connected:
            return
        name = self.kind.store_key(self._names, key)
        if name is None:
            return
        seconds = self.kind.store_seconds(key, value, self._moment)
        expiry: tuple[str | int, ...] = ()
        if seconds is not None:
            if seconds <= 0:
                return
            expiry = ("PX", max(1, int(seconds * 1_000)))
        try:
            await self._store.command(
                "SET",
                name,
                self.kind.encode(value),
                *expiry,
                timeout_seconds=STORE_TIMEOUT_SECONDS,
            )
        except StateError:
            self._metrics.store_errors.value += 1


def _text(key: object) -> str:
    if isinstance(key, tuple):
        return "/".join(str(part) for part in key)
    return str(key)
