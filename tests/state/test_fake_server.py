"""What no server to be had here does: XACKDEL, slow loading, passwords, losing step."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hiredis
import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.background import background
from relayminer.state.errors import StoreAwayError
from relayminer.state.gateway import Redis
from relayminer.state.log_reader import LogReader
from relayminer.state.names import KeyNames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = KeyNames()
COMMAND_INFO = b"*1\r\n*1\r\n$7\r\nxackdel\r\n"


class FakeServer:
    """Answers each command with a prepared reply, by its first word; `+OK` without one."""

    def __init__(self, replies: dict[str, list[bytes]]) -> None:
        self.replies = replies
        self.commands: list[list[bytes]] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serves one connection."""
        parser = hiredis.Reader()
        while data := await stream.receive_some():
            parser.feed(data)
            while (command := parser.gets()) is not False:
                self.commands.append(command)
                await stream.send_all(self.reply(command))

    def reply(self, command: list[bytes]) -> bytes:
        """The next reply to a command; the last one stays."""
        prepared = self.replies.get(command[0].decode())
        if not prepared:
            return b"+PONG\r\n" if command[0] == b"PING" else b"+OK\r\n"
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]

    def said(self, word: bytes) -> list[list[bytes]]:
        """The commands that begin with `word`."""
        return [command for command in self.commands if command[0] == word]


@asynccontextmanager
async def fake(replies: dict[str, list[bytes]], login: str = "") -> AsyncIterator[Any]:
    """A fake server and a gateway to it."""
    server = FakeServer(replies)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        port = listener.socket.getsockname()[1]
        settings = RedisSettings(command_timeout_seconds=1.0)
        redis = Redis(f"redis://{login}127.0.0.1:{port}/3", settings, jitter=lambda: 0.0)
        async with background(redis.run):
            await trio.testing.wait_all_tasks_blocked()
            yield server, redis
        nursery.cancel_scope.cancel()


async def test_xackdel_is_used_where_the_server_knows_it() -> None:
    """A server that knows XACKDEL gets it, in the form of the Go implementation."""
    async with fake({"COMMAND": [COMMAND_INFO], "XACKDEL": [b"*2\r\n:1\r\n:1\r\n"]}) as (
        server,
        redis,
    ):
        await redis.wait_connected()
        assert redis.has_xackdel
        await LogReader(redis, NAMES, "c").acknowledge("a", [b"1-0", b"2-0"])
        words = b"XACKDEL ha:relays:a ha-miners DELREF IDS 2 1-0 2-0".split()
        assert server.said(b"XACKDEL") == [words]


async def test_a_loading_server_is_waited_for() -> None:
    """While the server loads, commands wait; the login and database come first."""
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    replies = {"PING": [loading, loading, loading, b"+PONG\r\n"], "COMMAND": [b"*1\r\n*-1\r\n"]}
    async with fake(replies, login="user:secret@") as (server, redis):
        with trio.fail_after(5):
            assert await redis.command("ECHO") == b"OK"
        assert not redis.has_xackdel
        assert server.commands[:2] == [[b"AUTH", b"user", b"secret"], [b"SELECT", b"3"]]
        assert len(server.said(b"PING")) == 4


async def test_a_refused_login_is_told() -> None:
    """A command that waits for a store which refuses us says why, without the password."""
    refusal = b"-WRONGPASS invalid username-password pair\r\n"
    async with fake({"AUTH": [refusal]}, login="user:secret@") as (_, redis):
        with pytest.raises(StoreAwayError, match="WRONGPASS") as caught:
            await redis.command("ECHO")
        assert "secret" not in str(caught.value)
        assert not caught.value.maybe_executed


async def test_a_server_that_loses_step_is_left() -> None:
    """A reply too many, or one that is no RESP, ends the connection; the next one works."""
    for extra in (b"+OK\r\n+OK\r\n", b"?junk\r\n"):
        replies = {"COMMAND": [b"*1\r\n*-1\r\n"], "ECHO": [extra, b"+fine\r\n"]}
        async with fake(replies) as (_, redis):
            with trio.fail_after(5):
                await redis.wait_connected()
                with trio.move_on_after(0.5):
                    try:
                        await redis.command("ECHO")
                    except StoreAwayError as error:
                        assert error.maybe_executed  # noqa: PT017 - one of the two cases raises
                while redis.reconnections == 0:
                    await trio.lowlevel.checkpoint()
                assert await redis.command("ECHO") == b"fine"
