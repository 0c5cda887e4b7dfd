"""HTTP/2 to a server: many exchanges on one connection, each with its own fate."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from relayminer.net.errors import (
    BadRequestError,
    ResponseTooLargeError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.server import fetch
from tests.net.http2_kit import BIG, all_at_once, ask, echo, pool_of, stream
from tests.net.http2_server import Asked, http2_server


async def test_many_exchanges_share_a_connection() -> None:
    """Each gets its own answer, megabytes cross both ways, trailers are behind the headers."""
    async with http2_server(echo) as server:
        pool = pool_of(server)

        async def one(number: int) -> None:
            body = b"%d" % number * (1 + 30_000 * (number % 3))
            answer = await ask(pool, body)
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers[-1] == (b"x-trailer", b"behind")

        await all_at_once(60, one)
        assert (await ask(pool, BIG)).body == BIG
        assert len(server.connections) == 1
        assert pool.in_flight == 0
        fields = server.requests[0].fields
        assert fields[b":method"] == b"POST"
        assert fields[b":authority"] == b"127.0.0.1:%d" % server.port
        pool.close()
        assert pool.open_connections == 0


async def test_what_is_no_http_is_not_sent() -> None:
    """And what HTTP/1.1 says about its connection is left out."""
    async with http2_server(echo) as server:
        pool = pool_of(server)
        for method, headers in (
            (b"PO ST", []),
            (b"POST", [(b"a b", b"")]),
            (b"POST", [(b"a", b"\r\nx: y")]),
        ):
            with pytest.raises(BadRequestError):
                pool.prepare(method, b"/", headers, b"")
        request = pool.prepare(
            b"POST", b"/", [(b"Connection", b"x"), (b"TE", b"gzip"), (b"X-One", b" 1 ")], b"abc"
        )
        assert request.fields[4:] == [(b"x-one", b"1"), (b"content-length", b"3")]
        pool.close()


async def test_the_server_decides_how_many_at_once() -> None:
    """Beyond its limit further connections are opened, and beyond ours exchanges wait."""
    most, now = 0, 0

    async def slow(asked: Asked) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await trio.sleep(0.01)
        now -= 1
        await asked.answer(b"ok")

    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 3}
    async with http2_server(slow, settings=settings) as server:
        pool = pool_of(server, max_connections=2)
        await ask(pool)
        await all_at_once(40, lambda _: ask(pool))
        assert len(server.requests) == 41
        assert len(server.connections) == 2
        assert most <= 6
        pool.close()


async def test_an_exchange_that_finds_no_room_in_time_is_given_up() -> None:
    """With the one connection full, the next one hears so at its deadline."""
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    release = trio.Event()

    async def held(asked: Asked) -> None:
        if len(server.requests) > 1:
            await release.wait()
        await asked.answer(b"ok")

    async with http2_server(held, settings=settings) as server:
        pool = pool_of(server, max_connections=1)
        await ask(pool)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, pool)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with pytest.raises(WireTimeoutError, match="no free connection"):
                await ask(pool, seconds=0.05)
            release.set()
        assert (await ask(pool)).body == b"ok"
        pool.close()


async def test_a_deadline_ends_one_exchange_only() -> None:
    """The server hears of it, and those beside it on the connection go on."""
    release = trio.Event()

    async def some(asked: Asked) -> None:
        if asked.body == b"slow":
            await asked.reset.wait()
            release.set()
            return
        await release.wait()
        await asked.answer(b"ok")

    async with http2_server(some) as server:
        pool = pool_of(server)
        async with trio.open_nursery() as nursery:

            async def late() -> None:
                with pytest.raises(WireTimeoutError):
                    await ask(pool, b"slow", seconds=0.1)

            async def good() -> None:
                assert (await ask(pool, b"good")).body == b"ok"

            nursery.start_soon(late)
            nursery.start_soon(good)
        assert server.resets == [ErrorCodes.CANCEL]
        assert len(server.connections) == 1
        pool.close()


async def test_a_cancelled_reader_hands_the_reading_on() -> None:
    """Whoever reads for all may be cancelled at any time: the others still get their answers."""
    release = trio.Event()

    async def held(asked: Asked) -> None:
        await release.wait()
        await asked.answer(bytes(asked.body))

    async with http2_server(held) as server:
        pool = pool_of(server)
        done = []
        async with trio.open_nursery() as nursery:
            scopes = []

            async def one(number: int) -> None:
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    done.append((await ask(pool, b"%d" % number)).body)

            for number in range(10):
                nursery.start_soon(one, number)
                await trio.testing.wait_all_tasks_blocked()
            for scope in scopes[:7]:
                scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
            release.set()
        assert sorted(done) == [b"7", b"8", b"9"]
        assert len(server.resets) == 7
        pool.close()


async def test_the_head_has_its_own_time() -> None:
    """From the request's end on."""

    async def silent(asked: Asked) -> None:
        await asked.reset.wait()

    async with http2_server(silent) as server:
        pool = pool_of(server)
        began = trio.current_time()
        with pytest.raises(WireTimeoutError):
            await pool.open(
                b"GET",
                pool.prepare(b"GET", b"/", [], b""),
                deadline=began + 60,
                header_timeout_seconds=0.05,
                max_response_bytes=10,
            )
        assert trio.current_time() - began < 30
        pool.close()


async def test_answers_that_are_too_large_are_given_up() -> None:
    """By what is announced or by what comes; the connection goes on."""

    async def large(asked: Asked) -> None:
        told = [(b"content-length", b"100000")] if asked.body else []
        await asked.head(*told)
        await asked.send(b"x" * 100_000, end=True)

    async with http2_server(large) as server:
        pool = pool_of(server)
        for body in (b"", b"tell"):
            with pytest.raises(ResponseTooLargeError):
                await ask(pool, body, max_response_bytes=50_000)
        assert len((await ask(pool)).body) == 100_000
        assert len(server.connections) == 1
        pool.close()


async def test_a_server_that_makes_no_room_holds_one_exchange_up() -> None:
    """Its windows are respected to the byte; small questions pass beside the large one."""
    async with http2_server(echo, reads=False) as server:
        pool = pool_of(server)
        async with trio.open_nursery() as nursery:

            async def large() -> None:
                with pytest.raises(WireTimeoutError):
                    await ask(pool, BIG, seconds=0.5)

            nursery.start_soon(large)
            for _ in range(5):
                answer = await fetch(pool, b"GET", b"/", timeout_seconds=10)
                assert answer.status == 200
        pool.close()


async def test_a_stream_is_read_piece_by_piece() -> None:
    """As it comes; a reader that does not take it fills no memory; leaving it resets it."""
    sent = 0

    async def endless(asked: Asked) -> None:
        nonlocal sent
        await asked.head((b"content-type", b"text/event-stream; charset=utf-8"))
        while True:
            await asked.send(b"data: 1\n\n" * 1_000)
            sent += 9_000

    async with http2_server(endless) as server:
        pool = pool_of(server)
        first, second = await stream(pool), await stream(pool)
        assert (await first.receive()).startswith(b"data: 1")
        with trio.move_on_after(0.3):
            await trio.sleep_forever()
        assert sent < 2 * 262_144 + 200_000
        got = 0
        while got < 1_000_000:
            got += len(await second.receive())
        first.close()
        second.close()
        assert len(server.connections) == 1
        assert (pool.in_flight, len(server.resets)) == (0, 0)
        with trio.fail_after(5):
            while len(server.resets) < 2:
                await trio.lowlevel.checkpoint()
        pool.close()


async def test_a_stream_ends_breaks_and_times_out() -> None:
    """The end is empty; a break and a deadline are errors."""

    async def short(asked: Asked) -> None:
        await asked.head((b"content-type", b"text/event-stream"))
        await asked.send(b"one")
        if len(server.requests) == 1:
            await asked.trailers((b"a", b"b"))
        elif len(server.requests) == 2:
            await asked.refuse(ErrorCodes.INTERNAL_ERROR)

    async with http2_server(short) as server:
        pool = pool_of(server)
        one = await stream(pool)
        assert [await one.receive(), await one.receive()] == [b"one", b""]
        one.close()
        for seconds, error in ((10.0, WireError), (0.2, WireTimeoutError)):
            one = await stream(pool, seconds)
            with pytest.raises(error):
                while await one.receive():
                    pass
            one.close()
        pool.close()


async def test_ten_thousand_exchanges_leave_nothing(*, soak: bool) -> None:
    """One connection serves them all and remembers none."""
    async with http2_server(echo) as server:
        pool = pool_of(server)
        count = 10_000 if soak else 500

        async def some(_: int) -> None:
            for _ in range(count // 20):
                assert (await ask(pool, b"x")).body == b"x"

        await all_at_once(20, some)
        assert len(server.connections) == 1
        (connection,) = pool._connections
        assert connection.streams == 0
        assert len(connection._h2.streams) <= 20
        assert not connection._outbox
        pool.close()
