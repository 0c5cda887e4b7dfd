"""The debug endpoint over real sockets, beside a loop that works."""

from __future__ import annotations

import http.client
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.config.debug import DebugSettings, check_debug
from relayminer.insight.loop_delay import LoopDelay
from relayminer.insight.service import DebugPlane
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAIT_SECONDS = 60.0


def busy_with_a_name_of_its_own() -> int:
    """Work that a profile must show."""
    return sum(number * number for number in range(20_000))


async def work() -> None:
    """Keep the loop busy, half of the time."""
    while True:
        busy_with_a_name_of_its_own()
        await trio.sleep(0.002)


@asynccontextmanager
async def plane(*, busy: bool = False, **settings: Any) -> AsyncIterator[int]:
    """The port of a debug endpoint, in a process that has work to do if it is `busy`."""
    debug = DebugPlane(
        DebugSettings(enabled=True, listen="127.0.0.1:0", **settings),
        lambda: {"height": 7},
        lambda: {"redis.url": {"value": "redis://***@store", "origin": "default"}},
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(debug.run)
        if busy:
            nursery.start_soon(work)
        yield int(debug.addresses[0].rpartition(":")[2])
        nursery.cancel_scope.cancel()


async def get(port: int, path: str, host: str = "localhost") -> tuple[int, bytes]:
    """Status and body."""

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return await trio.to_thread.run_sync(ask)


@pytest.mark.parametrize(
    ("form", "start"), [("html", b"<!DOCTYPE html>"), ("text", b""), ("speedscope", b"{")]
)
async def test_a_profile_shows_where_the_loop_spends_its_time(form: str, start: bytes) -> None:
    """The function that keeps it busy is named, whichever format is asked for."""
    async with plane(busy=True) as port:
        status, body = await get(port, f"/debug/profile?seconds=0.3&format={form}")
    assert status == 200
    assert body.lstrip().startswith(start)
    assert b"busy_with_a_name_of_its_own" in body


async def test_two_profiles_at_once_would_measure_each_other() -> None:
    """The second one is refused, the first one goes on."""
    async with plane() as port, trio.open_nursery() as nursery:
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await get(port, "/debug/profile?seconds=0.5&format=text"))[0])

        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert sorted(answers) == [200, 409]


async def test_the_heap_summary_names_the_line_that_takes_memory() -> None:
    """Only what is taken while somebody looks; nothing is traced afterwards."""
    kept: list[bytearray] = []

    async def leak() -> None:
        while True:
            kept.append(bytearray(50_000))
            await trio.sleep(0.002)

    async with plane() as port, trio.open_nursery() as nursery:
        nursery.start_soon(leak)
        status, body = await get(port, "/debug/heap?seconds=0.3")
        nursery.cancel_scope.cancel()
    assert status == 200
    assert b"test_debug.py" in body.splitlines()[2]


async def test_tasks_are_shown_with_where_they_wait() -> None:
    """From the root down, with the functions."""
    async with plane(busy=True) as port:
        status, body = await get(port, "/debug/tasks")
    assert status == 200
    assert b"work" in body
    assert b"service.py" in body


async def test_state_and_settings_are_told_as_json() -> None:
    """What the process gave to tell, nothing else."""
    async with plane() as port:
        assert json.loads((await get(port, "/debug/state"))[1]) == {"height": 7}
        config = json.loads((await get(port, "/debug/config"))[1])
        assert config["redis.url"]["value"] == "redis://***@store"
        assert (await get(port, "/"))[0] == 200


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/debug/state", "evil.example", 403),
        ("/debug/profile?seconds=0", "localhost", 400),
        ("/debug/profile?seconds=1e9", "localhost", 400),
        ("/debug/profile?seconds=nan", "localhost", 400),
        ("/debug/profile?seconds=x", "localhost", 400),
        ("/debug/profile?format=png&seconds=1", "localhost", 400),
        ("/debug/heap?seconds=-1", "localhost", 400),
        ("/elsewhere", "localhost", 404),
    ],
)
async def test_what_cannot_be_is_refused(path: str, host: str, status: int) -> None:
    """Times that are none, other names of this machine, pages that there are not."""
    async with plane() as port:
        assert (await get(port, path, host))[0] == status


def test_it_is_for_this_machine_alone() -> None:
    """Another address is refused with the remedy."""
    (complaint,) = check_debug(DebugSettings(enabled=True, listen="0.0.0.0:6060"))
    assert "port-forward" in complaint.fix


async def test_the_delay_of_a_blocked_loop_is_measured(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A task that wakes late says by how much."""
    metrics = Metrics()
    delay = LoopDelay(metrics)
    async with trio.open_nursery() as nursery:
        await nursery.start(delay.run)
        await trio.sleep(0.3)
        autojump_clock.jump(5.0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    page = metrics.page().decode()
    assert 'relayminer_event_loop_delay_seconds_bucket{le="2.5"} 1.0' in page
    assert "relayminer_event_loop_delay_seconds_count 2.0" in page
