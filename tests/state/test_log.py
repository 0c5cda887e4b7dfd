"""The relay log: confirmed, read, taken over, acknowledged, never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.state.log_reader import LogEntry, LogReader
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()


async def read(redis: Redis, reader: LogReader, *suppliers: str) -> dict[str, list[LogEntry]]:
    """What is new in the logs."""
    async with redis.dedicated() as connection:
        return await reader.read_new(connection, suppliers, count=100, block_seconds=0.01)


async def test_entries_are_read_once_and_leave_when_acknowledged(redis: Redis) -> None:
    """Entries of several logs come in order, and only an acknowledgement deletes them."""
    log = RelayLog(redis, NAMES)
    reader = LogReader(redis, NAMES, "one")
    await reader.ensure_group(["a", "b"])
    await reader.ensure_group(["a", "b"])
    assert await read(redis, reader) == {}
    assert await read(redis, reader, "a", "b") == {}
    ids = [await log.append("a", b"%d" % n) for n in range(3)]
    other = await log.append("b", b"x")
    found = await read(redis, reader, "a", "b")
    assert [(entry.id, entry.data) for entry in found["a"]] == list(
        zip(ids, [b"0", b"1", b"2"], strict=True)
    )
    assert [entry.id for entry in found["b"]] == [other]
    assert await read(redis, reader, "a", "b") == {}
    backlog = await reader.backlog("a")
    assert (backlog.entries, backlog.pending) == (3, 3)
    await reader.acknowledge("a", ids[:2])
    assert await log.length("a") == 1
    assert [e.id for e in await reader.read_own_pending("a", count=10)] == ids[2:]
    assert await reader.read_own_pending("a", count=10, after=ids[2]) == []
    assert (await reader.backlog("nobody")).entries == 0


async def test_what_a_dead_consumer_left_is_taken_over(redis: Redis) -> None:
    """The next owner gets every pending entry of all others, and empty consumers disappear."""
    log = RelayLog(redis, NAMES)
    dead, gone, heir = (LogReader(redis, NAMES, name) for name in ("dead", "gone", "heir"))
    await heir.ensure_group(["a"])
    ids = [await log.append("a", b"%d" % n) for n in range(5)]
    found = await read(redis, dead, "a")
    assert len(found["a"]) == 5
    await log.append("a", b"own")
    own = (await read(redis, heir, "a"))["a"]
    last = await log.append("a", b"x")
    await read(redis, gone, "a")
    await gone.acknowledge("a", [last])
    first = await heir.take_over("a", count=3)
    second = await heir.take_over("a", count=3)
    assert [entry.id for entry in first + second] == ids
    assert {entry.deliveries for entry in first} == {2}
    assert await heir.take_over("a", count=3) == []
    pending = await heir.read_own_pending("a", count=100)
    assert [entry.id for entry in pending] == [*ids, own[0].id]
    consumers = await redis.command("XINFO", "CONSUMERS", NAMES.stream_key("a"), "ha-miners")
    assert [row[1] for row in consumers] == [b"heir"]


async def test_entries_that_were_handed_out_just_now_are_left_alone(redis: Redis) -> None:
    """A take-over with a minimum idle time spares what is being worked on."""
    log = RelayLog(redis, NAMES)
    one, other = LogReader(redis, NAMES, "one"), LogReader(redis, NAMES, "other")
    await one.ensure_group(["a"])
    await log.append("a", b"x")
    await read(redis, one, "a")
    assert await other.take_over("a", count=10, idle_seconds=60) == []
    assert len(await one.read_own_pending("a", count=10)) == 1


async def test_a_deleted_stream_comes_back(redis: Redis) -> None:
    """Reading a log that somebody deleted makes it anew."""
    reader = LogReader(redis, NAMES, "one")
    assert await read(redis, reader, "a") == {}
    await RelayLog(redis, NAMES).append("a", b"x")
    assert len((await read(redis, reader, "a"))["a"]) == 1


async def test_an_entry_deleted_while_pending_is_not_hidden(redis: Redis) -> None:
    """An entry that vanished under us comes back without data, so that it can be acknowledged."""
    log, reader = RelayLog(redis, NAMES), LogReader(redis, NAMES, "one")
    await reader.ensure_group(["a"])
    entry_id = await log.append("a", b"x")
    await redis.command("XADD", NAMES.stream_key("a"), "*", "other", "y")
    found = (await read(redis, reader, "a"))["a"]
    assert [entry.data for entry in found] == [b"x", None]
    await redis.command("XDEL", NAMES.stream_key("a"), entry_id)
    pending = await reader.read_own_pending("a", count=10)
    assert [entry.data for entry in pending] == [None, None]
    await reader.acknowledge("a", [entry.id for entry in pending])
    assert await reader.read_own_pending("a", count=10) == []


async def test_dead_letters_keep_entry_and_reason(redis: Redis) -> None:
    """What cannot be used moves to the dead letters in one step."""
    log, reader = RelayLog(redis, NAMES), LogReader(redis, NAMES, "one")
    await reader.ensure_group(["a"])
    entry_id = await log.append("a", b"junk")
    (entry,) = (await read(redis, reader, "a"))["a"]
    await reader.dead_letter("a", [(entry, "no relay")])
    assert await log.length("a") == 0
    ((_, fields),) = await redis.command("XRANGE", NAMES.dead_letter_key("a"), "-", "+")
    assert fields == [b"entry", entry_id, b"reason", b"no relay", b"data", b"junk"]
    assert (await reader.backlog("a")).pending == 0


async def test_a_replay_is_logged_once(redis: Redis) -> None:
    """The same request hash makes one entry in a session, and one in another session."""
    log = RelayLog(redis, NAMES)

    async def append(session_id: str) -> bytes | None:
        return await log.append_once(
            "a", b"x", session_id=session_id, request_hash=b"\xff" * 32, ttl_seconds=60
        )

    assert await append("one") is not None
    assert await append("one") is None
    assert await append("two") is not None
    assert await log.length("a") == 2
    assert 0 < await redis.command("TTL", NAMES.relay_replay_key("one", "a")) <= 60


async def test_trimming_is_by_age(redis: Redis) -> None:
    """An operator's trim drops what is older than a moment."""
    key = NAMES.stream_key("a")
    for number in (1000, 2000, 3000):
        await redis.command("XADD", key, f"{number}-0", "data", "x")
    assert await LogReader(redis, NAMES, "one").trim("a", older_than_unix_ms=2000) == 1
