"""Loops that get on, have nothing to do, or hang."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.telemetry.metrics import Metrics
from relayminer.watchdog import LOOK_SECONDS, Pulse, StalledError, Watchdog

if TYPE_CHECKING:
    from trio.testing import MockClock

DEADLINE_SECONDS = 20.0


class World:
    """A watchdog with one loop, on a clock that jumps."""

    def __init__(self, clock: MockClock) -> None:
        assert clock.autojump_threshold == 0
        self.metrics = Metrics()
        self.watchdog = Watchdog(self.metrics)
        self.work = False
        self.begun = 0

    async def hang(self, pulse: Pulse) -> None:
        """Say one word, then nothing."""
        self.begun += 1
        pulse.got_on()
        await trio.sleep_forever()

    async def wait(self, pulse: Pulse) -> None:
        """Say that there is nothing to do, then nothing."""
        self.begun += 1
        pulse.idle()
        await trio.sleep_forever()

    def has_work(self) -> bool:
        """Whether something is waiting for the loop."""
        return self.work


async def test_a_loop_that_gets_on_is_left_alone(autojump_clock: MockClock) -> None:
    """Words within the deadline keep a loop running, however long."""
    world = World(autojump_clock)

    async def work(pulse: Pulse) -> None:
        world.begun += 1
        for _ in range(20):
            await trio.sleep(DEADLINE_SECONDS * 0.9)
            pulse.got_on()

    async with trio.open_nursery() as nursery:
        await nursery.start(world.watchdog.run)
        await world.watchdog.keep("work", work, DEADLINE_SECONDS)
        assert world.begun == 1
        assert world.watchdog.problem() is None
        nursery.cancel_scope.cancel()


async def test_a_loop_without_work_may_be_silent(autojump_clock: MockClock) -> None:
    """Nothing to do is no stall, until there is work that nobody touches."""
    world = World(autojump_clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.watchdog.run)
        nursery.start_soon(
            world.watchdog.keep, "work", world.wait, DEADLINE_SECONDS, world.has_work
        )
        await trio.sleep(DEADLINE_SECONDS * 10)
        assert world.begun == 1
        world.work = True
        await trio.sleep(DEADLINE_SECONDS * 0.9)
        assert world.begun == 1
        await trio.sleep(DEADLINE_SECONDS * 0.1 + 3 * LOOK_SECONDS)
        assert world.begun == 2
        nursery.cancel_scope.cancel()


async def test_a_stalled_loop_is_told_and_begun_again(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readiness turns false until the loop speaks again; the log shows where it hung."""
    world = World(autojump_clock)
    problems = []

    async def hang_once(pulse: Pulse) -> None:
        problems.append(world.watchdog.problem())
        if world.begun == 0:
            await world.hang(pulse)
        world.begun += 1
        pulse.got_on()
        problems.append(world.watchdog.problem())

    async with trio.open_nursery() as nursery:
        await nursery.start(world.watchdog.run)
        await world.watchdog.keep("work pokt1", hang_once, DEADLINE_SECONDS)
        nursery.cancel_scope.cancel()
    assert problems == [None, "stalled: work pokt1", None]
    assert world.begun == 2
    said = capsys.readouterr().out
    assert "test_watchdog.py" in said
    assert "World.hang" in said
    assert 'relayminer_loop_stalls_total{loop="work"} 1.0' in world.metrics.page().decode()


async def test_who_runs_it_again_is_asked(autojump_clock: MockClock) -> None:
    """A guarded loop that stalls ends with an error, and is remembered for a while."""
    world = World(autojump_clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.watchdog.run)
        with pytest.raises(StalledError, match="work was silent"):
            await world.watchdog.guard("work", world.hang, DEADLINE_SECONDS)
        assert world.watchdog.problem() == "stalled: work"
        await trio.sleep(100)
        assert world.watchdog.problem() is None
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_stopped_is_told(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stalled loop that does not even end when cancelled keeps the process unready."""
    world = World(autojump_clock)
    release = trio.Event()

    async def stuck(pulse: Pulse) -> None:
        with trio.CancelScope(shield=True):
            await release.wait()
        pulse.got_on()

    async with trio.open_nursery() as nursery:
        await nursery.start(world.watchdog.run)
        nursery.start_soon(world.watchdog.keep, "work", stuck, DEADLINE_SECONDS)
        await trio.sleep(DEADLINE_SECONDS + 100)
        assert world.watchdog.problem() == "stalled: work"
        assert "restart this process" in capsys.readouterr().out
        release.set()
        await trio.sleep(DEADLINE_SECONDS / 2)
        assert world.watchdog.problem() is None
        nursery.cancel_scope.cancel()


async def test_errors_leave_as_they_are() -> None:
    """A watched loop's own failure is no stall and is not wrapped."""

    async def fail(_: Pulse) -> None:
        raise LookupError

    watchdog = Watchdog(Metrics())
    with pytest.raises(LookupError):
        await watchdog.keep("work", fail, DEADLINE_SECONDS)
    assert watchdog.problem() is None
