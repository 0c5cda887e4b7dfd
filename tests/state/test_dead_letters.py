"""Refused log entries: listed, bounded, put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.state.dead_letters import DeadLetters
from relayminer.state.log_reader import DEAD_LETTER_BYTES_MAX, LogEntry, LogReader
from relayminer.state.names import KeyNames

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()


async def bury(redis: Redis, supplier: str, count: int, data: bytes = b"entry %d") -> None:
    """Let entries of a supplier be refused."""
    reader = LogReader(redis, NAMES, "consumer")
    await reader.ensure_group([supplier])
    entries = [
        (LogEntry(b"%d-1" % number, data % number if b"%d" in data else data), f"why {number}")
        for number in range(1, count + 1)
    ]
    await reader.dead_letter(supplier, entries)


async def test_letters_are_listed_over_pages(redis: Redis) -> None:
    """Every letter is read in order with its entry, its reason and its data."""
    await bury(redis, "a", 450)
    await bury(redis, "b", 1)
    letters = DeadLetters(redis, NAMES)
    assert await letters.suppliers() == ["a", "b"]
    assert await letters.count("a") == 450
    found = [one async for one in letters.read("a")]
    assert [one.data for one in found] == [b"entry %d" % number for number in range(1, 451)]
    assert (found[6].entry_id, found[6].reason) == ("7-1", "why 7")


async def test_a_letter_is_replayed_once(redis: Redis) -> None:
    """A replayed letter is in the log and no more among the dead; doing it again does nothing."""
    await bury(redis, "a", 3)
    letters = DeadLetters(redis, NAMES)
    ids = [one.id async for one in letters.read("a")]
    assert await letters.replay("a", ids[:2]) == 2
    assert await letters.replay("a", [*ids[:2], "5-5"]) == 0
    assert await letters.count("a") == 1
    rows = await redis.command("XRANGE", NAMES.stream_key("a"), "-", "+")
    assert [fields for _, fields in rows] == [[b"data", b"entry 1"], [b"data", b"entry 2"]]


async def test_large_letters_are_named_only(redis: Redis) -> None:
    """An entry beyond the bound leaves its reason, and cannot be replayed."""
    await bury(redis, "a", 1, bytes(DEAD_LETTER_BYTES_MAX + 1))
    letters = DeadLetters(redis, NAMES)
    (letter,) = [one async for one in letters.read("a")]
    assert (letter.data, letter.reason) == (b"", "why 1")
    assert await letters.replay("a", [letter.id]) == 0
    assert await letters.count("a") == 1
