"""The model of the server answers as a real one does, to random commands and to real traffic."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import hiredis
import pytest
import trio

from relayminer.state.connection import RawConnection, connect
from relayminer.state.target import parse_target
from relayminer.testing.store import fresh_store
from tests.histories.history import run_history
from tests.histories.model import Model
from tests.histories.model_values import ReplyError
from tests.histories.plan import plan_of
from tests.histories.process import plain_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Trace = list[tuple[list[bytes], Any]]
XPENDING_SUMMARY_WORDS: Final = 3
A_TIME_MS: Final = 1
TIMED: Final = frozenset({b"TTL", b"PTTL"})


@pytest.fixture
async def server() -> AsyncIterator[RawConnection]:
    """A connection to an empty real server."""
    async with fresh_store() as url:
        connection = await connect(parse_target(url), timeout_seconds=10)
        try:
            yield connection
        finally:
            await connection.aclose()


def comparable(words: list[bytes], reply: Any) -> Any:
    """A reply without what depends on the time, or on an order that nobody promises."""
    name = words[0].upper()
    if isinstance(reply, hiredis.ReplyError | ReplyError):
        # The code of an error is its meaning; its words differ among servers.
        return ("error", str(reply).split()[0])
    if name in TIMED and isinstance(reply, int):
        return min(reply, 0)
    if not isinstance(reply, list):
        return reply
    forms: dict[bytes, Callable[[list[Any]], Any]] = {
        b"SMEMBERS": sorted,
        b"HKEYS": sorted,
        b"HGETALL": lambda found: sorted(zip(found[::2], found[1::2], strict=True)),
        b"XINFO": lambda found: [row[:4] for row in found],
        b"SCAN": lambda found: sorted(found[1]),
        b"HSCAN": lambda found: sorted(found[1]),
    }
    if name in {b"EVAL", b"EVALSHA"}:
        return [without_times(each) for each in reply]
    if name == b"XPENDING" and len(words) > XPENDING_SUMMARY_WORDS:
        return [[row[0], row[1], row[3]] for row in reply]
    return forms[name](reply) if name in forms else reply


def without_times(reply: Any) -> Any:
    """A script's reply with the lives of keys, in milliseconds, all alike."""
    if isinstance(reply, list):
        return [without_times(each) for each in reply]
    return min(reply, A_TIME_MS) if isinstance(reply, int) else reply


async def real_reply(server: RawConnection, words: list[bytes]) -> Any:
    """What the real server says."""
    await server.send(*words)
    with trio.fail_after(20):
        return await server.receive()


def asked(words: list[bytes], reply: Any) -> list[bytes]:
    """A command as the real server must be asked, whose time is another one.

    Ids are those that the model chose; nothing waits; and of idle entries those are meant that the
    model found idle.
    """
    name = words[0].upper()
    words = list(words)
    if name == b"XADD" and b"*" in words and isinstance(reply, bytes):
        words[words.index(b"*")] = reply
    elif b"BLOCK" in words:
        at = words.index(b"BLOCK")
        del words[at : at + 2]
    elif name == b"XPENDING" and b"IDLE" in words:
        words[words.index(b"IDLE") + 1] = b"0"
    elif name == b"XCLAIM" and isinstance(reply, list):
        words[4:] = [b"0", *(row[0] for row in reply)]
    return words


async def replay(server: RawConnection, trace: Trace) -> int:
    """Give a real server what the model was given; returns how many replies were compared."""
    compared = 0
    for words, answered in trace:
        wanted = plain_reply(answered)
        question = asked(words, wanted)
        if question[0] == b"XCLAIM" and not wanted:
            continue
        ours = comparable(words, wanted)
        theirs = comparable(words, await real_reply(server, question))
        if b"IDLE" in words:
            theirs = [row for row in theirs if row in ours]
        # The real server's time is in the ids that it gives to a script's or a transaction's XADD.
        if words[0].upper() not in {b"EXEC", b"XRANGE", b"XREVRANGE"}:
            assert ours == theirs, f"{[word[:80] for word in words[:12]]}"
        compared += 1
    return compared


async def same_keys(server: RawConnection, model: Model) -> None:
    """Both hold the same keys of the same kinds, with the same plain values."""
    theirs = sorted(await real_reply(server, [b"KEYS", b"*"]))
    assert model.space.living() == theirs
    reads = {b"string": b"GET", b"hash": b"HGETALL", b"set": b"SMEMBERS", b"stream": b"XLEN"}
    for key in theirs:
        kind = await real_reply(server, [b"TYPE", key])
        assert plain_reply(model.execute([b"TYPE", key])) == kind
        words = [reads[kind], key]
        ours = comparable(words, plain_reply(model.execute(words)))
        found = comparable(words, await real_reply(server, words))
        # The ids of ledger entries are made of the time.
        if not key.startswith((b"ha:relayminer:ledger", b"ha:ledger")):
            assert ours == found, key


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
async def test_a_history_on_a_real_server(server: RawConnection, seed: int) -> None:
    """Every command that miners sent in a history gets the same reply from a real server."""
    trace: Trace = []
    await trio.to_thread.run_sync(lambda: run_history(plan_of(seed), trace=trace))
    assert await replay(server, trace) > 300


def random_commands(rng: random.Random, count: int) -> list[list[bytes]]:
    """Commands that meet each other on few keys, with sense and without."""
    keys = [b"a", b"b", b"c"]
    words = [b"x", b"y", b"z", b"7", b"-3", b"0", b"1"]

    def key() -> bytes:
        return rng.choice(keys)

    def word() -> bytes:
        return rng.choice(words)

    def entry_id() -> bytes:
        return b"%d-%d" % (rng.randint(1, 9), rng.randint(0, 2))

    def some(made: Any) -> list[bytes]:
        return [made() for _ in range(rng.randint(1, 3))]

    forms: list[Any] = [
        lambda: [b"SET", key(), word()],
        lambda: [b"SET", key(), word(), rng.choice([b"NX", b"XX", b"KEEPTTL", b"GET"])],
        lambda: [b"SET", key(), word(), b"EX", b"1000"],
        lambda: [b"GET", key()],
        lambda: [b"MGET", *some(key)],
        lambda: [rng.choice([b"INCR", b"TTL", b"PTTL", b"TYPE", b"PERSIST"]), key()],
        lambda: [rng.choice([b"INCRBY", b"DECRBY"]), key(), word()],
        lambda: [rng.choice([b"DEL", b"EXISTS"]), *some(key)],
        lambda: [b"EXPIRE", key(), rng.choice([b"1000", b"0", b"x"])],
        lambda: [b"PEXPIRE", key(), rng.choice([b"1000000", b"-1"])],
        lambda: [b"HSET", key(), *some(word)],
        lambda: [b"HSET", key(), word(), word()],
        lambda: [b"HSETNX", key(), word(), word()],
        lambda: [rng.choice([b"HGET", b"HEXISTS"]), key(), word()],
        lambda: [rng.choice([b"HMGET", b"HDEL"]), key(), *some(word)],
        lambda: [rng.choice([b"HGETALL", b"HLEN", b"HKEYS"]), key()],
        lambda: [b"HINCRBY", key(), word(), word()],
        lambda: [b"HSCAN", key(), b"0", b"MATCH", rng.choice([b"*", b"x*", b"?"])],
        lambda: [rng.choice([b"SADD", b"SREM"]), key(), *some(word)],
        lambda: [rng.choice([b"SMEMBERS", b"SCARD"]), key()],
        lambda: [b"SISMEMBER", key(), word()],
        lambda: [b"XADD", key(), entry_id(), word(), word()],
        lambda: [b"XADD", key(), b"MAXLEN", b"=", b"2", entry_id(), word(), word()],
        lambda: [b"XGROUP", b"CREATE", key(), b"g", rng.choice([b"0", b"$"]), b"MKSTREAM"],
        lambda: [b"XGROUP", b"CREATE", key(), b"g", b"0"],
        lambda: [b"XGROUP", b"DELCONSUMER", key(), b"g", word()],
        lambda: [b"XREADGROUP", b"GROUP", b"g", word(), b"COUNT", b"2", b"STREAMS", key(), b">"],
        lambda: [b"XREADGROUP", b"GROUP", b"g", word(), b"STREAMS", key(), b"0"],
        lambda: [b"XACK", key(), b"g", *some(entry_id)],
        lambda: [b"XDEL", key(), *some(entry_id)],
        lambda: [rng.choice([b"XLEN"]), key()],
        lambda: [b"XRANGE", key(), b"-", b"+", b"COUNT", b"2"],
        lambda: [b"XRANGE", key(), b"(2-0", entry_id()],
        lambda: [b"XREVRANGE", key(), b"+", b"-", b"COUNT", b"2"],
        lambda: [b"XPENDING", key(), b"g"],
        lambda: [b"XPENDING", key(), b"g", b"-", b"+", b"5"],
        lambda: [b"XPENDING", key(), b"g", b"IDLE", b"0", b"-", b"+", b"5", word()],
        lambda: [b"XCLAIM", key(), b"g", word(), b"0", *some(entry_id)],
        lambda: [b"XINFO", b"CONSUMERS", key(), b"g"],
        lambda: [b"XTRIM", key(), b"MINID", entry_id()],
        lambda: [b"XTRIM", key(), b"MAXLEN", b"=", b"3"],
        lambda: [b"SCAN", b"0", b"MATCH", b"*", b"COUNT", b"1000"],
        lambda: [b"PING"],
    ]
    return [rng.choice(forms)() for _ in range(count)]


async def test_random_commands(server: RawConnection, soak: bool) -> None:
    """Whatever is asked, in whatever order, both say the same and hold the same."""
    model = Model()
    for seed in range(40 if soak else 4):
        rng = random.Random(seed)  # noqa: S311 - a test's dice
        await real_reply(server, [b"FLUSHALL"])
        model.space.values.clear()
        model.space.ends.clear()
        for words in random_commands(rng, 1500):
            (answered,) = model.run([words])
            reply = await real_reply(server, words)
            ours, theirs = comparable(words, plain_reply(answered)), comparable(words, reply)
            assert ours == theirs, f"seed {seed}: {words}"
        await same_keys(server, model)
