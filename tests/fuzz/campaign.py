"""Runs one parser over many inputs, and says which one it did not survive."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

    from tests.fuzz.mutate import Mutator

FULL, REDUCED = 250_000, 3_000
HANG_SECONDS = 10.0
SLOW_SECONDS = 2.0


class HangError(Exception):
    """A parser did not come back."""


def inputs(soak: bool) -> int:
    """How many inputs a campaign has."""
    return FULL if soak else REDUCED


@contextmanager
def _alarm() -> Iterator[None]:
    """Whatever works longer than a hang may is interrupted, even in one turn of a loop.

    Work is the process's own: on a busy machine nobody is accused of what others do.
    """

    def ring(number: int, frame: FrameType | None) -> Never:
        del number, frame
        raise HangError(f"no answer after {HANG_SECONDS} s of work")

    before = signal.signal(signal.SIGVTALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def campaign(
    mutator: Mutator,
    parse: Callable[[bytes], object],
    *,
    count: int,
    allowed: tuple[type[Exception], ...],
) -> int:
    """Give `count` inputs to `parse`; returns how many it took for good.

    Raises:
        AssertionError: it raised something else than `allowed`, or took too long; the text names
            the input's number, from which `Mutator.make` makes it again.
    """
    good = 0
    with _alarm():
        for number in range(count):
            data = mutator.make(number)
            signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
            began = time.process_time()
            try:
                parse(data)
            except allowed:
                pass
            except Exception as error:
                raise AssertionError(told(mutator, number, data, error)) from error
            else:
                good += 1
            seconds = time.process_time() - began
            assert seconds < SLOW_SECONDS, told(mutator, number, data, f"{seconds:.1f} s")
    return good


async def async_campaign(
    mutator: Mutator,
    parse: Callable[[bytes], Awaitable[object]],
    *,
    count: int,
    allowed: tuple[type[Exception], ...],
) -> int:
    """As `campaign`, for a parser that waits for its bytes."""
    good = 0
    with _alarm():
        for number in range(count):
            data = mutator.make(number)
            signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
            try:
                await parse(data)
            except allowed:
                pass
            except Exception as error:
                raise AssertionError(told(mutator, number, data, error)) from error
            else:
                good += 1
    return good


def told(mutator: Mutator, number: int, data: bytes, what: object) -> str:
    """Everything that is needed to see it again."""
    return f"{mutator.name}, input {number}: {what!r}\n{data.hex()}"
