"""Services start in order, stop in the opposite order, and fail with their reason."""

from __future__ import annotations

import pytest
import trio

from relayminer.service import ServiceGroup


class Recorded:
    """A service that writes down its start and its end."""

    def __init__(self, name: str, journal: list[str], fail: trio.Event | None = None) -> None:
        self.name = name
        self._journal = journal
        self._fail = fail

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until told to fail."""
        self._journal.append(f"start {self.name}")
        task_status.started()
        try:
            if self._fail is not None:
                await self._fail.wait()
                raise ValueError(f"{self.name} broke")
            await trio.sleep_forever()
        finally:
            self._journal.append(f"stop {self.name}")


class NeverStarts:
    """A service that fails before it has started."""

    name = "never"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fail at once."""
        del task_status
        raise ValueError("no start")


async def test_stops_in_the_opposite_order() -> None:
    """The last started service stops first."""
    journal: list[str] = []
    async with ServiceGroup(stop_timeout_seconds=5) as group:
        await group.start(Recorded("store", journal))
        await group.start(Recorded("relayer", journal))
    assert journal == ["start store", "start relayer", "stop relayer", "stop store"]


async def test_a_failure_stops_the_others_and_keeps_its_reason() -> None:
    """A service that fails ends the body; the others stop in order; the reason leaves the group."""
    journal: list[str] = []
    fail = trio.Event()
    with pytest.raises(ValueError, match="relayer broke"):
        async with ServiceGroup(stop_timeout_seconds=5) as group:
            await group.start(Recorded("store", journal))
            await group.start(Recorded("relayer", journal, fail))
            fail.set()
            await trio.sleep_forever()
    assert journal == ["start store", "start relayer", "stop relayer", "stop store"]


async def test_a_service_that_does_not_start_fails_its_starter() -> None:
    """The error of a service that never started reaches whoever started it."""
    journal: list[str] = []
    with pytest.raises((ValueError, ExceptionGroup)):
        async with ServiceGroup(stop_timeout_seconds=5) as group:
            await group.start(Recorded("store", journal))
            await group.start(NeverStarts())
    assert journal == ["start store", "stop store"]
