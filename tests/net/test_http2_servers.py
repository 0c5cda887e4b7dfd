"""HTTP/2 to servers that leave, break, fall silent, or are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes

from relayminer.net.alpn_pool import AlpnPool
from relayminer.net.client import HttpPool
from relayminer.net.errors import (
    BadResponseError,
    DialTimeoutError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http2_pool import Http2Pool
from relayminer.net.server import fetch
from relayminer.net.tls import ClientTls, client_context
from relayminer.net.url import Origin
from relayminer.net.watchdog import Watchdog
from tests.net.http2_kit import all_at_once, ask, echo, pool_of
from tests.net.http2_server import Asked, http2_server

if TYPE_CHECKING:
    from relayminer.net.server import Server


async def test_a_silent_connection_gets_no_more_exchanges() -> None:
    """When nothing at all came since the question, the next question has another connection."""

    async def first_is_mute(asked: Asked) -> None:
        if asked.connection is server.connections[0]:
            await trio.sleep_forever()
        await asked.answer(b"ok")

    async with http2_server(first_is_mute) as server:
        pool = pool_of(server)
        # The server's settings come with the first exchange; from then on it is mute.
        for _ in range(2):
            with pytest.raises(WireTimeoutError):
                await ask(pool, seconds=0.1)
        assert (await ask(pool)).body == b"ok"
        assert len(server.connections) == 2
        pool.close()


async def test_a_refused_stream_is_asked_again() -> None:
    """REFUSED_STREAM says that nothing was done; any other reset is an error."""

    async def refuse_twice(asked: Asked) -> None:
        if len(server.requests) <= 2:
            await asked.refuse(ErrorCodes.REFUSED_STREAM)
        elif bytes(asked.body) == b"bad":
            await asked.refuse(ErrorCodes.INTERNAL_ERROR)
        else:
            await asked.answer(b"ok")

    async with http2_server(refuse_twice) as server:
        pool = pool_of(server)
        assert (await ask(pool, b"body")).body == b"ok"
        assert len(server.requests) == 3
        with pytest.raises(WireError, match="INTERNAL_ERROR"):
            await ask(pool, b"bad")
        assert len(server.requests) == 4
        server.requests.clear()
        server.serve = always_refuse
        with pytest.raises(WireError, match="REFUSED_STREAM"):
            await ask(pool, b"body")
        assert len(server.requests) == 3
        pool.close()


async def always_refuse(asked: Asked) -> None:
    """Never."""
    await asked.refuse(ErrorCodes.REFUSED_STREAM)


async def test_a_server_that_leaves_finishes_what_it_has_seen() -> None:
    """After GOAWAY what it has seen is answered there, what it has not is asked elsewhere."""
    gone = trio.Event()

    async def leave(asked: Asked) -> None:
        if asked.connection is server.connections[0]:
            if asked.number == 3:
                await asked.connection.leave(1)
                gone.set()
            if asked.number > 1:
                return
            await gone.wait()
        await asked.answer(b"%d" % server.connections.index(asked.connection))

    async with http2_server(leave) as server:
        pool = pool_of(server)
        answers = []

        async def one(_: int) -> None:
            answers.append((await ask(pool, b"x")).body)

        await all_at_once(5, one)
        assert sorted(answers) == [b"0", b"1", b"1", b"1", b"1"]
        assert pool.open_connections == 1
        pool.close()


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    """With a farewell or without one, unnoticed by whoever asks next."""
    async with http2_server(echo) as server:
        pool = pool_of(server)
        for number in range(3):
            assert (await ask(pool, b"x")).body == b"x"
            connection = server.connections[-1]
            if number == 1:
                await connection.leave(2**31 - 1)
            await trio.aclose_forcefully(connection.stream)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(server.connections) == 3
        pool.close()


async def test_a_connection_that_breaks_fails_all_on_it() -> None:
    """Those who wait and those who send; the next exchange has a new connection."""

    async def break_off(asked: Asked) -> None:
        if len(server.requests) >= 5:
            await trio.aclose_forcefully(asked.connection.stream)

    async with http2_server(break_off) as server:
        pool = pool_of(server)

        async def one(_: int) -> None:
            with pytest.raises(WireError):
                await ask(pool, b"x")

        await all_at_once(5, one)
        server.serve = echo
        assert (await ask(pool, b"x")).body == b"x"
        assert pool.in_flight == 0
        pool.close()


async def test_pings_are_answered_while_nobody_asks() -> None:
    """`prune`, called now and then, sees to it; it closes what is idle for too long."""
    async with http2_server(echo) as server:
        pool = pool_of(server, idle_seconds=0.2)
        await ask(pool, b"x")
        connection = server.connections[0]
        connection.h2.ping(b"12345678")
        await connection.flush()
        with trio.fail_after(5):
            while not connection.pinged.is_set():
                pool.prune()
                await trio.sleep(0.001)
            assert pool.open_connections == 1
            while pool.open_connections:
                pool.prune()
                await trio.sleep(0.01)


async def test_what_is_no_http2_is_said_so() -> None:
    """A server of another protocol, and a port where nobody is."""

    async def http1(connection: trio.SocketStream) -> None:
        await connection.receive_some(100)
        await connection.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, http1, 0)
        pool = Http2Pool(Origin("http", "127.0.0.1", listeners[0].socket.getsockname()[1]))
        with pytest.raises(BadResponseError, match="not HTTP/2"):
            await ask(pool, b"x")
        assert (pool.in_flight, pool.open_connections) == (0, 0)
        nursery.cancel_scope.cancel()
    refused = Http2Pool(Origin("http", "127.0.0.1", 1))
    with pytest.raises(WireError):
        await ask(refused)
    assert (refused.in_flight, refused.open_connections) == (0, 0)


async def test_a_server_that_does_not_greet_is_given_up_in_time() -> None:
    """It counts as never connected: nothing was asked."""

    async def mute(connection: trio.SocketStream) -> None:
        while await connection.receive_some(100):
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, mute, 0)
        origin = Origin("http", "127.0.0.1", listeners[0].socket.getsockname()[1])
        pool = Http2Pool(origin, dial_timeout_seconds=0.1)
        with pytest.raises(DialTimeoutError):
            await ask(pool, b"x")
        assert (pool.in_flight, pool.open_connections) == (0, 0)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["http2", "alpn"])
async def test_whoever_waits_for_a_connection_hears_that_there_is_none(kind: str) -> None:
    """One attempt to connect is for all who wait for it, not one after another."""

    async def mute(connection: trio.SocketStream) -> None:
        while await connection.receive_some(100):
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, mute, 0)
        scheme = "http" if kind == "http2" else "https"
        origin = Origin(scheme, "127.0.0.1", listeners[0].socket.getsockname()[1])
        pool: Server = Http2Pool(origin, dial_timeout_seconds=0.3)
        if kind == "alpn":
            both = ClientTls(client_context(protocols=["h2", "http/1.1"]))
            pool = AlpnPool(HttpPool(origin, Watchdog()), Http2Pool(origin), both, 0.3)
        began = trio.current_time()

        async def one(_: int) -> None:
            with pytest.raises((DialTimeoutError, WireError)):
                await fetch(pool, b"POST", b"/", body=b"x", timeout_seconds=60)

        await all_at_once(50, one)
        assert trio.current_time() - began < 10
        assert (pool.in_flight, pool.open_connections) == (0, 0)
        nursery.cancel_scope.cancel()
