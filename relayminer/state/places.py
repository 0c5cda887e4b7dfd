"""Where to connect to at this moment: a fixed server, or the primary that the Sentinels name.

redis-py asks the Sentinels, in a worker thread, since it blocks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from relayminer.state.errors import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.state.location import Location
    from relayminer.state.target import Target

SENTINEL_SECONDS: Final = 1.0
"""Time for one Sentinel to answer, at most."""
WATCH_SECONDS: Final = 1.0
"""How often the Sentinels are asked while all is well."""


class Place(Protocol):
    """Somewhere to connect to."""

    async def locate(self) -> Target:
        """The server to connect to now; raises StoreAwayError when nobody can say."""
        ...

    def is_current(self, target: Target) -> bool:
        """Whether `target`, located before, is still the one, as far as is known."""
        ...


class FixedPlace:
    """One server that is where it is."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def locate(self) -> Target:
        """The server."""
        return self._target

    def is_current(self, target: Target) -> bool:
        """Always."""
        return target == self._target


class SentinelPlace:
    """The primary of the servers that some Sentinels watch.

    Args:
        location: of the Sentinels.
        timeout_seconds: for each of them to answer; not more than `SENTINEL_SECONDS`.
    """

    def __init__(self, location: Location, *, timeout_seconds: float) -> None:
        self._location = location
        self._known: Target | None = None
        # redis-py's clients are not for several threads at once where their order changes.
        self._one_at_a_time = trio.CapacityLimiter(1)
        login: dict[str, Any] = {}
        if location.sentinel_password:
            login["password"] = location.sentinel_password
            login["username"] = location.sentinel_username or None
        self._sentinel: Final = Sentinel(  # type: ignore[no-untyped-call]  # redis-py
            [(seed.host, seed.port) for seed in location.seeds],
            sentinel_kwargs={
                "socket_timeout": min(timeout_seconds, SENTINEL_SECONDS),
                "socket_connect_timeout": min(timeout_seconds, SENTINEL_SECONDS),
                "protocol": 2,
                # A Sentinel that is away is not waited for: there are others, and another try.
                "retry": Retry(NoBackoff(), 0),
                **login,
                **location.tls_options,
            },
        )

    async def locate(self) -> Target:
        """The primary, from the first Sentinel that answers.

        Raises:
            StoreAwayError: none does, or none sees a primary.
        """
        ask = partial(self._sentinel.discover_master, self._location.primary_name)
        try:
            host, port = await trio.to_thread.run_sync(
                ask, abandon_on_cancel=True, limiter=self._one_at_a_time
            )
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"no primary known at {self._location}: {error}") from error
        self._known = self._location.at(str(host), int(port))
        return self._known

    def is_current(self, target: Target) -> bool:
        """Whether the Sentinels named another one since."""
        return self._known is None or target == self._known

    def close(self) -> None:
        """Ends the connections to the Sentinels."""
        for sentinel in self._sentinel.sentinels:
            sentinel.close()

    async def watch(self, moved: Callable[[Target], None]) -> None:
        """Asks the Sentinels now and then; calls `moved` with a primary that is another one.

        A primary that was cut off from them may answer us for as long as it likes: what it
        confirms is lost when it comes back as a replica.
        """
        while True:
            await trio.sleep(WATCH_SECONDS)
            before = self._known
            try:
                found = await self.locate()
            except StoreAwayError:
                # Without Sentinels the primary goes on; without a primary the link notices.
                continue
            if before is not None and found != before:
                moved(found)
