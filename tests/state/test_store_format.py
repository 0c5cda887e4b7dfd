"""A version reads what it and the one before it wrote, and nothing newer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.state import store_format
from relayminer.state.errors import StoreFormatError
from relayminer.state.names import KeyNames
from relayminer.state.store_format import FORMAT, StoreFormat, check_format

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()


async def mark(redis: Redis, value: object) -> None:
    """Let the store have this format."""
    await redis.command("SET", NAMES.format_key, str(value))


async def test_a_store_without_a_mark_gets_one(redis: Redis) -> None:
    """An empty store, or one of the Go fleet, is of the format before the first."""
    assert await check_format(redis, NAMES) == 0
    assert await redis.command("GET", NAMES.format_key) == str(FORMAT).encode()
    assert await check_format(redis, NAMES) == FORMAT


async def test_the_format_before_is_read_and_marked_as_ours(redis: Redis) -> None:
    """After an upgrade the store is marked, so that the older version leaves it alone."""
    await mark(redis, FORMAT - 1)
    assert await check_format(redis, NAMES) == FORMAT - 1
    assert await check_format(redis, NAMES) == FORMAT


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (FORMAT + 1, "written by a newer version"),
        (FORMAT - 2, "start the versions between them"),
        ("a word", "no version wrote"),
    ],
)
async def test_other_formats_are_refused(redis: Redis, value: object, words: str) -> None:
    """A process does not start on them, says why, and leaves the mark as it is."""
    await mark(redis, value)
    with pytest.raises(StoreFormatError, match=words):
        await check_format(redis, NAMES)
    async with trio.open_nursery() as nursery:
        with pytest.raises(StoreFormatError, match=words):
            await StoreFormat(redis, NAMES).run()
        nursery.cancel_scope.cancel()
    assert await redis.command("GET", NAMES.format_key) == str(value).encode()


async def test_a_process_that_runs_outlives_an_upgrade_beside_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was readable at the start is left to the process until it is replaced."""
    monkeypatch.setattr(store_format, "LOOK_SECONDS", 0.01)
    looks = 0
    original = check_format

    async def counted(*arguments: Any) -> int:
        nonlocal looks
        looks += 1
        return await original(*arguments)

    monkeypatch.setattr(store_format, "check_format", counted)
    async with trio.open_nursery() as nursery:
        await nursery.start(StoreFormat(redis, NAMES).run)
        await mark(redis, FORMAT + 1)
        before = looks
        with trio.fail_after(10):
            while True:
                if looks >= before + 3:
                    break
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
