"""The line of waiting commands, without any connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.lowlevel import wait_task_rescheduled

from relayminer.state.errors import StoreAwayError, StoreFullError
from relayminer.state.line import Line


async def ask(line: Line, packed: bytes, into: list[Any], expected: int = 1) -> None:
    """Stands in line like a command does and keeps what comes out."""
    waiter = line.enqueue(packed, expected, trio.current_time() + 5)
    try:
        await wait_task_rescheduled(waiter.abandon)
    except StoreAwayError as error:
        into.append(error)
    else:
        into.append(waiter.reply)


async def test_a_cancelled_command_keeps_its_place() -> None:
    """A reply that comes after its command was cancelled must not go to the next command."""
    line, first, second = Line(10, 1000), [], []  # type: ignore[var-annotated]  # lists of anything
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(ask, line, b"2", second)
            async with trio.open_nursery() as inner:
                inner.start_soon(ask, line, b"1", first)
                await trio.testing.wait_all_tasks_blocked()
                assert sorted(line.take_unsent()) == sorted(b"12")
                scope.cancel()
        order = [b"1" if waiter.task is None else b"2" for waiter in line._in_flight]
        for packed in order:
            line.answer(packed)
    assert first == []
    assert second == [b"2"]


async def test_the_line_is_bounded() -> None:
    """A command beyond the bound is refused, unless places of abandoned ones can be had."""
    line: Line = Line(2, 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, line, b"a", [])
        nursery.start_soon(ask, line, b"b", [])
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StoreFullError, match="max_queued_commands"):
            line.enqueue(b"c", 1, 0)
        nursery.cancel_scope.cancel()
    line.enqueue(b"c", 1, 0)
    assert len(line) == 1


async def test_commands_in_flight_fail_with_the_connection() -> None:
    """When a connection ends, what was sent fails as maybe executed and the rest waits on."""
    line, sent, unsent = Line(10, 1000), [], []  # type: ignore[var-annotated]  # lists of anything
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, line, b"a", sent)
        await trio.testing.wait_all_tasks_blocked()
        line.take_unsent()
        nursery.start_soon(ask, line, b"b", unsent)
        await trio.testing.wait_all_tasks_blocked()
        line.fail_in_flight("gone")
        await trio.testing.wait_all_tasks_blocked()
        assert sent[0].maybe_executed
        assert unsent == []
        line.fail_all("stopped")
    assert not unsent[0].maybe_executed


async def test_a_pipeline_gets_all_its_replies() -> None:
    """A waiter that expects several replies wakes with the list of them."""
    line: Line = Line(10, 1000)
    replies: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, line, b"ab", replies, 2)
        await trio.testing.wait_all_tasks_blocked()
        line.take_unsent()
        line.answer(1)
        await trio.testing.wait_all_tasks_blocked()
        assert replies == []
        line.answer(2)
    assert replies == [[1, 2]]


def test_an_unasked_reply_is_an_error() -> None:
    """A reply without a command means that the two sides have lost step."""
    with pytest.raises(StoreAwayError, match="nobody asked"):
        Line(1, 1000).answer(b"x")


async def test_the_bytes_in_line_are_bounded() -> None:
    """What waits to be sent has a bound in bytes; one command alone may be larger."""
    line = Line(10, 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, line, b"a" * 50, [])
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StoreFullError, match="max_queued_bytes"):
            line.enqueue(b"b", 1, 0)
        line.take_unsent()
        line.enqueue(b"b" * 10, 1, 0)
        nursery.cancel_scope.cancel()
    # The one that nobody waits for any more makes room.
    line._unsent[0].task = None
    line.enqueue(b"c" * 10, 1, 0)
