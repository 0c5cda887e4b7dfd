"""One cache: this process's memory, the shared store, the chain, in this order.

A value in memory is had without a turn of the loop. Of many who miss the same key at once, one
asks and the others wait for it. What the chain says does not exist is remembered for a while, and
so is, for a moment, that it could not be asked: a stream of bad requests costs the chain little.

While the chain cannot be asked, a value that has grown old is served on, with its age shown; one of
which somebody said that it has changed is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from relayminer.cache.errors import AbsentError, LoadError
from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.plugin import ALL
from relayminer.state.errors import StateError, StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.cache.metrics import CacheMetrics
    from relayminer.plugin import CacheType, ChainReader, Moment
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

Key = TypeVar("Key")
Value = TypeVar("Value")

STORE_TIMEOUT_SECONDS = 0.5
STORE_PAUSE_SECONDS = 2.0
"""For so long a store that did not answer is not asked again: the chain answers sooner."""
FAILURE_SECONDS = 1.0
STALE_SECONDS = 900.0
"""The oldest value that is served while the chain is away."""


class _Flight:
    """A load underway; `error` is set before `done` when it failed."""

    __slots__ = ("done", "error", "outdated")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: AbsentError | LoadError | None = None
        # Somebody said that the value has changed: what is on its way may be the old one.
        self.outdated = False


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
        # Value, when it is old, and when the chain told it.
        self._entries: dict[Key, tuple[Value, float, float]] = {}
        self._refused: dict[Key, tuple[AbsentError | LoadError, float]] = {}
        self._flights: dict[Key, _Flight] = {}
        self._store_asked_again_at = 0.0
        self._chain_away_since: float | None = None
        self._metrics.oldest.read = lambda: self.oldest_seconds

    @property
    def chain_away_seconds(self) -> float | None:
        """For how long the chain could not be asked for these; None while it can."""
        if self._chain_away_since is None:
            return None
        return self._clock() - self._chain_away_since

    @property
    def oldest_seconds(self) -> float:
        """Age of the value that has been in memory for longest, 0 without one."""
        if not self._entries:
            return 0.0
        return max(0.0, self._clock() - next(iter(self._entries.values()))[2])

    def age_seconds(self, key: Key) -> float | None:
        """How long ago the chain told the value that memory has; None without one."""
        entry = self._entries.get(key)
        return None if entry is None else max(0.0, self._clock() - entry[2])

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

    def put(self, key: Key, value: Value, age_seconds: float = 0.0) -> None:
        """Remember in memory a `value` that the chain told so long ago."""
        self._refused.pop(key, None)
        self._entries.pop(key, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        now = self._clock()
        self._entries[key] = (value, now + self.kind.memory_seconds, now - age_seconds)

    def hear(self, payload: bytes) -> None:
        """Forget what a message says has changed.

        Raises:
            ValueError, TypeError, KeyError: the message says nothing that can be understood.
        """
        key = self.kind.invalidated(payload)
        if key is None:
            return
        self._metrics.forgotten.value += 1
        if key is ALL:
            self.forget_all()
        else:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """Drop what memory holds of `key`."""
        self._entries.pop(key, None)
        self._refused.pop(key, None)
        if (flight := self._flights.get(key)) is not None:
            flight.outdated = True

    def forget_all(self) -> None:
        """Drop all that memory holds."""
        self._entries.clear()
        self._refused.clear()
        for flight in self._flights.values():
            flight.outdated = True

    async def _fly(self, key: Key) -> Value:
        flight = self._flights[key] = _Flight()
        self._metrics.memory_misses.value += 1
        began = self._clock()
        try:
            found = await self._read(key)
            if found is not None:
                value, age_seconds = found
                self._metrics.store_seconds.observe(self._clock() - began)
            else:
                value, age_seconds = await self._load(key), 0.0
                self._metrics.chain_seconds.observe(self._clock() - began)
            if not flight.outdated:
                self.put(key, value, age_seconds)
            if found is None:
                await self._write(key, value)
        except (AbsentError, LoadError) as error:
            if isinstance(error, LoadError) and (stale := self._stale(key)) is not None:
                return stale
            flight.error = error
            self._remember_refusal(key, error)
            raise
        else:
            return value
        finally:
            # A cancelled leader leaves without an error: the next waiter takes over.
            del self._flights[key]
            flight.done.set()

    def _stale(self, key: Key) -> Value | None:
        """An old value, for the next moment, when there is one that is not too old."""
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None or now - entry[2] > STALE_SECONDS:
            return None
        self._metrics.stale.value += 1
        self._entries[key] = (entry[0], now + FAILURE_SECONDS, entry[2])
        return entry[0]

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

    def _reachable_store(self) -> Redis | None:
        """The store, unless it is away or has not answered of late."""
        store = self._store
        if store is None or not store.is_connected or self._clock() < self._store_asked_again_at:
            return None
        return store

    def _store_failed(self, error: StateError) -> None:
        self._metrics.store_errors.value += 1
        if isinstance(error, StoreAwayError):
            self._store_asked_again_at = self._clock() + STORE_PAUSE_SECONDS

    async def _read(self, key: Key) -> tuple[Value, float] | None:
        """From the store, with its age; None when it is away, has nothing or nothing readable."""
        store = self._reachable_store()
        name = self.kind.store_key(self._names, key)
        if store is None or name is None:
            return None
        try:
            data, left_ms = await store.pipeline(
                [("GET", name), ("PTTL", name)], timeout_seconds=STORE_TIMEOUT_SECONDS
            )
        except StateError as error:
            self._store_failed(error)
            return None
        if data is None:
            self._metrics.store_misses.value += 1
            return None
        try:
            value = self.kind.decode(data)
            life_seconds = self.kind.store_seconds(key, value, self._moment)
        except Exception:  # noqa: BLE001 - third-party code and foreign data: unreadable is a miss
            self._metrics.store_errors.value += 1
            return None
        self._metrics.store_hits.value += 1
        # Values carry no time; what is left of their life tells how much has passed.
        known = life_seconds is not None and life_seconds > 0 and left_ms >= 0
        return value, max(0.0, (life_seconds or 0.0) - left_ms / 1_000) if known else 0.0

    async def _load(self, key: Key) -> Value:
        self._metrics.chain_queries.value += 1
        began = self._clock()
        try:
            value = await self.kind.load(self._chain, key)
        except (NotFoundError, LookupError) as error:
            self._chain_away_since = None
            raise AbsentError(f"{self.kind.name} {_text(key)} does not exist: {error}") from error
        except ChainError as error:
            self._metrics.chain_errors.value += 1
            self._metrics.chain_silences.value += 1
            if self._chain_away_since is None:
                self._chain_away_since = self._clock()
            raise LoadError(f"{self.kind.name} {_text(key)}: {error}") from error
        finally:
            self._metrics.query_seconds.observe(self._clock() - began)
        self._chain_away_since = None
        self._metrics.chain_answers.value += 1
        return value

    async def _write(self, key: Key, value: Value) -> None:
        store = self._reachable_store()
        name = self.kind.store_key(self._names, key)
        if store is None or name is None:
            return
        seconds = self.kind.store_seconds(key, value, self._moment)
        expiry: tuple[str | int, ...] = ()
        if seconds is not None:
            if seconds <= 0:
                return
            expiry = ("PX", max(1, int(seconds * 1_000)))
        commands: list[tuple[Any, ...]] = [("SET", name, self.kind.encode(value), *expiry)]
        # Third-party types of an older form do not say it.
        if known := getattr(self.kind, "known_set", ""):
            commands.append(("SADD", self._names.cache_known_key(known), _text(key)))
        try:
            await store.pipeline(commands, timeout_seconds=STORE_TIMEOUT_SECONDS)
        except StateError as error:
            self._store_failed(error)


def _text(key: object) -> str:
    if isinstance(key, tuple):
        return "/".join(str(part) for part in key)
    return str(key)
