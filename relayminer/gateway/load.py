"""A load test: signed requests over many lines, as fast as they are answered or at a given rate.

At a rate the loop is open: a relay is due at its moment whether or not earlier ones were answered,
and its latency counts from that moment. So a relayer that stands still for a second shows it in
every relay that was due in that second, not in one.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field, frozen

from relayminer.gateway.alarm import Alarm
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.histogram import Histogram
from relayminer.protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from relayminer.gateway.lines import Line

MAX_ERROR_KINDS: Final = 1_000
"""Different messages; what comes beyond them is counted as one."""
_MAX_ERROR_CHARACTERS: Final = 300


@define
class Tally:
    """What became of relays.

    Attributes:
        latencies: of those that were answered well.
    """

    sent: int = 0
    good: int = 0
    latencies: Histogram = field(factory=Histogram)


@define
class Results:
    """Of a load test, while it runs and after it.

    Attributes:
        seconds: for which relays were sent; signing and pauses not counted.
        errors: message to how often.
    """

    seconds: float = 0.0
    errors: Counter[str] = field(factory=Counter)
    by_supplier: dict[str, Tally] = field(factory=dict)

    @property
    def sent(self) -> int:
        """Relays that were answered or given up."""
        return sum(tally.sent for tally in self.by_supplier.values())

    @property
    def good(self) -> int:
        """Relays that were answered with all that belongs to it."""
        return sum(tally.good for tally in self.by_supplier.values())

    @property
    def success_percent(self) -> float:
        """0 while nothing was sent."""
        return 100.0 * self.good / self.sent if self.sent else 0.0

    @property
    def latencies(self) -> Histogram:
        """Of all good relays."""
        all_of_them = Histogram()
        all_of_them.merge(tally.latencies for tally in self.by_supplier.values())
        return all_of_them

    def count(self, supplier: str, seconds: float, complaint: str) -> None:
        """One relay more; a `complaint` is a failure."""
        tally = self.by_supplier.setdefault(supplier, Tally())
        tally.sent += 1
        if not complaint:
            tally.good += 1
            tally.latencies.add(seconds)
            return
        complaint = complaint[:_MAX_ERROR_CHARACTERS]
        if complaint not in self.errors and len(self.errors) >= MAX_ERROR_KINDS:
            complaint = "(other errors)"
        self.errors[complaint] += 1


@frozen(kw_only=True)
class Aim:
    """A supplier to load.

    Attributes:
        supplier: its operator address.
        open: makes a line to its relayer; raises GatewayError.
        judge: a complaint about the answer's bytes, empty when there is none; may raise
            GatewayError and ProtocolError.
    """

    supplier: str
    open: Callable[[], Awaitable[Line]]
    judge: Callable[[bytes], str]


class LoadTest:
    """Sends requests; request i goes to aim i modulo their number.

    Args:
        aims: at least one.
        concurrency: relays in flight.
        relays_per_second: 0: as fast as they are answered.
        clock: seconds, rising.
    """

    def __init__(
        self,
        aims: Sequence[Aim],
        *,
        concurrency: int,
        relays_per_second: float = 0.0,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._aims = aims
        self._concurrency = concurrency
        self._rate = relays_per_second
        self._clock = clock
        self._idle: list[deque[Line]] = [deque() for _ in aims]
        self.results = Results()

    async def run(
        self, requests: Iterable[bytes], count: int, *, is_over: Callable[[], bool]
    ) -> int:
        """Send `count` requests, or as many as there is time for until `is_over`.

        Lines are opened before the clock starts. What is in flight at the end is waited for.

        Returns:
            How many were sent.
        """
        await self._open_lines()
        numbered = self._until(islice(requests, count), is_over)
        before = self.results.sent
        began = self._clock()
        try:
            if self._rate:
                await self._at_rate(numbered, count, began, is_over)
            else:
                await self._as_answered(numbered)
        finally:
            self.results.seconds += self._clock() - began
            self._close_lines()
        return self.results.sent - before

    @staticmethod
    def _until(
        requests: Iterable[bytes], is_over: Callable[[], bool]
    ) -> Iterator[tuple[int, bytes]]:
        for numbered in enumerate(requests):
            if is_over():
                return
            yield numbered

    async def _open_lines(self) -> None:
        """One for each relay that may be in flight; whoever is not there is learnt of later."""

        async def open_one(number: int) -> None:
            place = number % len(self._aims)
            try:
                self._idle[place].append(await self._aims[place].open())
            except GatewayError:
                return

        async with trio.open_nursery() as nursery:
            for number in range(self._concurrency):
                nursery.start_soon(open_one, number)

    def _close_lines(self) -> None:
        for lines in self._idle:
            while lines:
                lines.pop().close()

    async def _as_answered(self, numbered: Iterator[tuple[int, bytes]]) -> None:
        async def work() -> None:
            for number, request in numbered:  # shared: every worker takes the next one
                await self._send(number, request, self._clock())

        async with trio.open_nursery() as nursery:
            for _ in range(self._concurrency):
                nursery.start_soon(work)

    async def _at_rate(
        self,
        numbered: Iterator[tuple[int, bytes]],
        count: int,
        began: float,
        is_over: Callable[[], bool],
    ) -> None:
        """Due relays wait for one of `concurrency` workers, and their latency grows meanwhile."""
        # Only the times wait: a request is read when it is sent.
        give, take = trio.open_memory_channel[float](math.inf)

        async def work() -> None:
            async for due in take:
                for number, request in islice(numbered, 1):
                    await self._send(number, request, due)

        async with trio.open_nursery() as nursery:
            for _ in range(self._concurrency):
                nursery.start_soon(work)
            with Alarm() as alarm, give:
                for number in range(count):
                    due = began + number / self._rate
                    # Also when it is late: answers must be heard between two dispatches.
                    await alarm.sleep(due - self._clock())
                    if is_over():
                        break
                    give.send_nowait(due)

    async def _send(self, number: int, request: bytes, since: float) -> None:
        place = number % len(self._aims)
        aim, idle = self._aims[place], self._idle[place]
        line: Line | None = None
        is_in_use = True
        seconds, complaint = 0.0, ""
        try:
            # The latest is the likeliest to be open still.
            line = idle.pop() if idle else await aim.open()
            answer = await line.ask(request)
            seconds = self._clock() - since
            is_in_use = False
            complaint = aim.judge(answer)
        except (GatewayError, ProtocolError) as problem:
            is_in_use = False
            complaint = str(problem) or repr(problem)
        finally:
            if line is not None and line.is_open and not is_in_use:
                idle.append(line)
            elif line is not None:
                line.close()
        self.results.count(aim.supplier, seconds, complaint)
