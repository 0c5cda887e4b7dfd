"""The gateway against a real server: load, order, deadlines, disconnects."""

from __future__ import annotations

import os
import signal

import attrs
import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.errors import StoreAwayError, StoreReplyError, StoreUrlError
from relayminer.state.gateway import Redis
from relayminer.state.scripting import Script
from relayminer.state.subscription import Gap, Message
from relayminer.state.target import parse_target
from relayminer.testing.store import running_gateway


async def server_pid(redis: Redis) -> int:
    """The process id of the server."""
    text = (await redis.command("INFO", "server")).decode()
    return int(dict(line.split(":", 1) for line in text.splitlines() if ":" in line)["process_id"])


async def test_replies_go_to_their_commands(redis: Redis) -> None:
    """Under load from many tasks each command must get its own reply."""

    async def worker(number: int) -> None:
        for turn in range(100):
            word = f"{number}-{turn}"
            assert await redis.command("ECHO", word) == word.encode()

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(worker, number)
    assert redis.waiting == 0


async def test_commands_of_one_turn_leave_in_one_write(redis: Redis) -> None:
    """Many tasks that ask in one turn of the loop must cause few writes."""
    connection_writes = 0
    take = redis._link._line.take_unsent

    def counted() -> bytes:
        nonlocal connection_writes
        connection_writes += 1
        return take()

    redis._link._line.take_unsent = counted  # type: ignore[method-assign]  # counts
    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(redis.command, "SET", number, number)
    assert connection_writes <= 3


async def test_errors_are_raised_where_they_belong(redis: Redis) -> None:
    """A refused command raises the server's error and its neighbours are not touched."""
    await redis.command("SET", "text", "x")
    with pytest.raises(StoreReplyError) as caught:
        await redis.command("INCR", "text")
    assert caught.value.code == "ERR"
    assert await redis.pipeline([("SET", "a", 1), ("INCR", "a")]) == [b"OK", 2]
    assert await redis.pipeline([]) == []
    assert await redis.pipeline([("GET", "a")]) == [b"2"]
    with pytest.raises(StoreReplyError):
        await redis.transaction([("INCR", "text"), ("INCR", "a")])
    assert await redis.command("GET", "a") == b"3"


async def test_a_script_is_sent_once(redis: Redis) -> None:
    """A script unknown to the server is sent with its text, afterwards by digest alone."""
    script = Script(text="return {KEYS[1], ARGV[1]}", digest="3178ebb9ddc7a6b30fe6dfe7ff1a1bd2" * 1)
    script = attrs.evolve(script, digest="0" * 40)
    assert await redis.script(script, ["k"], ["v"]) == [b"k", b"v"]


async def test_a_cancelled_command_does_not_disturb_the_others(redis: Redis) -> None:
    """Commands cancelled in flight leave the connection in step."""
    for _ in range(50):
        with trio.move_on_after(0):
            await redis.command("ECHO", "cancelled")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(redis.command, "ECHO", "x")
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert await redis.command("ECHO", "mine") == b"mine"


async def test_a_deadline_raises_and_late_replies_are_dropped(store_url: str) -> None:
    """A silent server costs a command its deadline, not the connection its step."""
    settings = RedisSettings(command_timeout_seconds=0.3)
    async with running_gateway(store_url, settings) as redis:
        pid = await server_pid(redis)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreAwayError) as caught:
                await redis.command("ECHO", "late")
            assert caught.value.maybe_executed
            with pytest.raises(StoreAwayError):
                await redis.command("ECHO", "later", timeout_seconds=0.01)
        finally:
            os.kill(pid, signal.SIGCONT)
        with trio.fail_after(5):
            assert await redis.command("ECHO", "now") == b"now"


async def test_a_stuck_connection_is_replaced(store_url: str) -> None:
    """A server that stays silent for two time limits loses the connection, which comes back."""
    settings = RedisSettings(command_timeout_seconds=0.1)
    async with running_gateway(store_url, settings) as redis:
        pid = await server_pid(redis)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreAwayError):
                await redis.command("PING")
            with trio.fail_after(5):
                while redis.is_connected:
                    await trio.lowlevel.checkpoint()
        finally:
            os.kill(pid, signal.SIGCONT)
        with trio.fail_after(5):
            await redis.wait_connected()
        assert redis.reconnections == 1


async def test_commands_wait_for_the_connection(store_url: str) -> None:
    """A command issued while the store is away is executed once it is back; one in flight fails."""
    async with running_gateway(store_url) as redis, running_gateway(store_url) as other:
        client = await redis.command("CLIENT", "ID")
        failures: list[StoreAwayError] = []

        async def blocked() -> None:
            try:
                await redis.command("BLPOP", "nothing", 0)
            except StoreAwayError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked)
            await trio.testing.wait_all_tasks_blocked()
            await other.command("CLIENT", "KILL", "ID", client)
        assert failures[0].maybe_executed
        assert await redis.command("ECHO", "again") == b"again"
        assert redis.reconnections == 1
        assert redis.reconnection_attempts >= 1


async def test_nobody_home() -> None:
    """A command to a store that cannot be reached fails as certainly not executed."""
    settings = RedisSettings(command_timeout_seconds=0.1)
    redis = Redis("unix:///nonexistent/socket", settings)
    with pytest.raises(StoreAwayError, match="not running"):
        await redis.command("PING")
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)
        with pytest.raises(StoreAwayError, match="away") as caught:
            await redis.command("PING")
        assert not caught.value.maybe_executed
        nursery.cancel_scope.cancel()


async def test_stopping_the_gateway_frees_its_callers(store_url: str) -> None:
    """Nobody may wait for a gateway that is gone."""
    redis = Redis(store_url)
    failures: list[StoreAwayError] = []

    async def blocked() -> None:
        try:
            await redis.command("BLPOP", "nothing", 0)
        except StoreAwayError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery, trio.open_nursery() as services:
        await services.start(redis.run)
        await redis.wait_connected()
        nursery.start_soon(blocked)
        await trio.testing.wait_all_tasks_blocked()
        services.cancel_scope.cancel()
    assert len(failures) == 1


async def test_a_dedicated_connection_comes_back(redis: Redis) -> None:
    """A blocking read that is cancelled closes its connection; the next command opens another."""
    async with redis.dedicated() as connection:
        with trio.move_on_after(0.02):
            await connection.command("BLPOP", "nothing", 0, timeout_seconds=float("inf"))
        with pytest.raises(StoreAwayError):
            await connection.command("BLPOP", "nothing", 0, timeout_seconds=0.02)
        assert await connection.command("ECHO", "x") == b"x"
        with pytest.raises(StoreReplyError):
            await connection.command("NOSUCH")
        assert await connection.command("ECHO", "y") == b"y"


async def test_a_subscription_begins_with_a_gap_and_survives(redis: Redis) -> None:
    """Messages arrive in order; losing the connection shows as another gap."""
    with trio.fail_after(10):
        async with redis.subscribe(["one", "two"]) as events:
            assert await anext(events) == Gap()
            await redis.command("PUBLISH", "two", b"\xff")
            await redis.command("PUBLISH", "one", "x")
            assert await anext(events) == Message("two", b"\xff")
            assert await anext(events) == Message("one", b"x")
            await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            assert await anext(events) == Gap()
            await redis.command("PUBLISH", "one", "back")
            assert await anext(events) == Message("one", b"back")


async def test_a_slow_subscriber_is_told_of_its_loss(redis: Redis) -> None:
    """When a subscriber does not keep up, the end of its backlog is a gap."""
    with trio.fail_after(10):
        async with redis.subscribe(["one"]) as events:
            assert await anext(events) == Gap()
            for _ in range(1200):
                await redis.command("PUBLISH", "one", "x")
            while not events._lost:
                await trio.lowlevel.checkpoint()
            seen = [await anext(events) for _ in range(1000)]
            assert seen[-1] == Message("one", b"x")
            assert await anext(events) == Gap()


def test_urls() -> None:
    """URLs are understood as redis-py does; a wrong one is refused without its password."""
    target = parse_target("redis://user:p%40ss@host:1234/5")
    assert (target.host, target.port, target.database) == ("host", 1234, 5)
    assert (target.username, target.password) == ("user", "p@ss")
    assert "p@ss" not in repr(target)
    assert parse_target("unix:///a%20b/sock?db=2").path == "/a b/sock"
    assert parse_target("rediss://host").tls is not None
    for url in ("http://host", "redis://:secret@a:1,b:2", "redis://host:port"):
        with pytest.raises(StoreUrlError) as caught:
            parse_target(url)
        assert "secret" not in str(caught.value)
