"""The way to the store: one pipelined connection for everybody, built for the relay path.

All commands of one turn of the loop leave in one write, and replies are matched in order. Commands
issued while the store is away wait for it until their deadline; those in flight when a connection
ends fail with StoreAwayError and are never repeated here, because an XADD is not idempotent.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import hiredis
import structlog
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from relayminer.config.settings import RedisSettings
from relayminer.state.connection import (
    GONE,
    NOT_YET,
    RECEIVE_BYTES,
    Argument,
    DedicatedConnection,
    RawConnection,
    checked,
    connect,
    knows_command,
    pack,
)
from relayminer.state.errors import StoreAwayError, StoreReplyError
from relayminer.state.line import Line, Waiter
from relayminer.state.subscription import Subscription, open_subscription
from relayminer.state.target import Target, parse_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from relayminer.state.scripting import Script

BACKOFF_MIN_SECONDS: Final = 0.05
EXPIRY_GRAIN_SECONDS: Final = 0.01
"""Deadlines are looked at this often at most, so that a stuck server does not cost a core."""


class Redis:
    """Commands to one server; a `Service` that keeps its connection.

    Attributes:
        has_xackdel: whether the server knows XACKDEL; False until the first connection.
        reconnections: connections made after the first one.
        command_timeout_seconds: how long a command may take that says nothing else.
    """

    name = "store gateway"

    def __init__(
        self,
        url: str,
        settings: RedisSettings | None = None,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        settings = settings or RedisSettings()
        self.target: Final[Target] = parse_target(url)
        self.has_xackdel = False
        self.reconnections = 0
        self.command_timeout_seconds: Final = settings.command_timeout_seconds
        self._timeout_seconds = settings.command_timeout_seconds
        self._backoff_max_seconds = settings.reconnect_backoff_max_seconds
        self._jitter = jitter
        self._line = Line(settings.max_queued_commands)
        self._log = structlog.get_logger("relayminer.state")
        self._running = False
        self._connected = trio.Event()
        self._away_reason = "not connected yet"
        # The writer while it has nothing to write.
        self._idle_writer: Task | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a working connection at this moment."""
        return self._connected.is_set()

    @property
    def waiting(self) -> int:
        """Commands that wait for a reply, sent or not."""
        return len(self._line)

    async def wait_connected(self) -> None:
        """Returns when there is a connection; put a deadline around it."""
        await self._connected.wait()

    async def command(self, *command: Argument, timeout_seconds: float | None = None) -> Any:
        """One command and its reply: bytes, int, None or a list of these.

        Args:
            *command: the command's words.
            timeout_seconds: None takes `redis.command_timeout_seconds`.

        Raises:
            StoreAwayError: no reply in time, or the connection ended before it.
            StoreReplyError: the server refused the command.
            StoreFullError: too many commands wait already.
        """
        reply = await self._submit(pack(command), 1, timeout_seconds)
        if reply.__class__ is hiredis.ReplyError:
            raise StoreReplyError(str(reply))
        return reply

    async def pipeline(
        self, commands: Sequence[Sequence[Argument]], *, timeout_seconds: float | None = None
    ) -> list[Any]:
        """Several commands in one write and their replies in order; nothing comes between them.

        It is no transaction: each command succeeds or fails alone, and the first error is raised
        after all have run. Raises what `command` raises.
        """
        if not commands:
            return []
        packed = b"".join([pack(command) for command in commands])
        replies = await self._submit(packed, len(commands), timeout_seconds)
        if len(commands) == 1:
            replies = [replies]
        return [checked(reply) for reply in replies]

    async def transaction(
        self, commands: Sequence[Sequence[Argument]], *, timeout_seconds: float | None = None
    ) -> list[Any]:
        """The same inside MULTI and EXEC: all of them or, when one cannot be queued, none."""
        wrapped: list[Sequence[Argument]] = [("MULTI",), *commands, ("EXEC",)]
        replies = (await self.pipeline(wrapped, timeout_seconds=timeout_seconds))[-1]
        return [checked(reply) for reply in replies]

    async def script(
        self,
        script: Script,
        keys: Sequence[Argument],
        arguments: Sequence[Argument] = (),
        *,
        timeout_seconds: float | None = None,
    ) -> Any:
        """Runs a Lua script by its digest, by its text when the server has not got it yet.

        Raises what `command` raises.
        """
        rest = (len(keys), *keys, *arguments)
        try:
            return await self.command(
                "EVALSHA", script.digest, *rest, timeout_seconds=timeout_seconds
            )
        except StoreReplyError as error:
            if error.code != "NOSCRIPT":
                raise
        # NOSCRIPT says that nothing was executed, so this is no repetition.
        return await self.command("EVAL", script.text, *rest, timeout_seconds=timeout_seconds)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[DedicatedConnection]:
        """A connection for blocking reads, closed at the end; it reconnects by itself."""
        connection = DedicatedConnection(self.target, timeout_seconds=self._timeout_seconds)
        try:
            yield connection
        finally:
            await connection.aclose()

    @asynccontextmanager
    async def subscribe(self, channels: Sequence[str]) -> AsyncIterator[Subscription]:
        """Messages of `channels` over a connection of their own; see `Subscription`."""
        async with open_subscription(
            self.target,
            channels,
            timeout_seconds=self._timeout_seconds,
            backoff_seconds=self._backoff,
        ) as subscription:
            yield subscription

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the connection until cancelled."""
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire_commands)
                task_status.started()
                await self._stay_connected()
        finally:
            self._running = False
            self._line.fail_all("the gateway to the store is stopped")

    async def _submit(self, packed: bytes, expected: int, timeout_seconds: float | None) -> Any:
        if not self._running:
            raise StoreAwayError("the gateway to the store is not running")
        default = self._timeout_seconds
        if timeout_seconds is None:
            waiter = self._line.enqueue(packed, expected, trio.current_time() + default)
            self._wake_writer()
            await wait_task_rescheduled(waiter.abandon)
            return waiter.reply
        # The waiter's own deadline is only a backstop here: the usual deadlines are kept by one
        # task for all, which would notice a shorter one too late.
        deadline = trio.current_time() + max(timeout_seconds, default)
        waiter = self._line.enqueue(packed, expected, deadline)
        self._wake_writer()
        await self._wait_at_most(waiter, timeout_seconds)
        return waiter.reply

    async def _wait_at_most(self, waiter: Waiter, timeout_seconds: float) -> None:
        with trio.move_on_after(timeout_seconds) as scope:
            await wait_task_rescheduled(waiter.abandon)
        if scope.cancelled_caught:
            raise StoreAwayError(self._late(), maybe_executed=waiter.sent)

    def _wake_writer(self) -> None:
        if self._idle_writer is not None:
            task, self._idle_writer = self._idle_writer, None
            trio.lowlevel.reschedule(task)

    def _late(self) -> str:
        if self.is_connected:
            return f"the store at {self.target} did not answer in time"
        return f"the store at {self.target} is away: {self._away_reason}"

    async def _expire_commands(self) -> None:
        while True:
            now = trio.current_time()
            following = self._line.expire(now, self._late())
            # A command that comes while we sleep cannot be due before this.
            wake_at = following if following is not None else now + self._timeout_seconds
            await trio.sleep_until(max(wake_at, now + EXPIRY_GRAIN_SECONDS))

    def _backoff(self, attempt: int) -> float:
        """Seconds before the next attempt: doubling, capped, with half of it left to chance."""
        ceiling: float = min(self._backoff_max_seconds, BACKOFF_MIN_SECONDS * 2 ** min(attempt, 16))
        return ceiling * (0.5 + self._jitter() / 2)

    async def _stay_connected(self) -> None:
        attempt = 0
        served_before = False
        while True:
            try:
                connection = await self._connect()
            except StoreAwayError as error:
                self._away(str(error), first=attempt == 0)
                await trio.sleep(self._backoff(attempt))
                attempt += 1
                continue
            self.reconnections += served_before
            served_before = True
            attempt = 0
            try:
                reason = await self._serve(connection)
            finally:
                self._connected = trio.Event()
                self._line.fail_in_flight(f"the connection to {self.target} ended")
                await connection.aclose()
            self._away(reason, first=True)
            await trio.sleep(self._backoff(0))

    async def _connect(self) -> RawConnection:
        connection = await connect(self.target, timeout_seconds=self._timeout_seconds)
        try:
            with trio.fail_after(self._timeout_seconds):
                self.has_xackdel = await knows_command(connection, "XACKDEL")
        except (*GONE, trio.TooSlowError) as error:
            await connection.aclose()
            raise StoreAwayError(f"the store at {self.target} went away: {error}") from error
        except BaseException:
            await connection.aclose()
            raise
        return connection

    def _away(self, reason: str, *, first: bool) -> None:
        self._away_reason = reason
        if first:
            self._log.warning("store_away", target=str(self.target), reason=reason)

    async def _serve(self, connection: RawConnection) -> str:
        """Lets commands flow until the connection ends; returns why it did."""
        ended: list[str] = []

        async def until_it_ends(work: Callable[[RawConnection], Any]) -> None:
            try:
                await work(connection)
            except (*GONE, StoreAwayError, StoreReplyError, hiredis.ProtocolError) as error:
                ended.append(str(error) or type(error).__name__)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            self._connected.set()
            nursery.start_soon(until_it_ends, self._write)
            nursery.start_soon(until_it_ends, self._read)
            nursery.start_soon(until_it_ends, self._watch_for_stall)
        return ended[0] if ended else "cancelled"

    async def _write(self, connection: RawConnection) -> None:
        line, send_all = self._line, connection.stream.send_all
        while True:
            if not line.has_unsent:
                self._idle_writer = current_task()
                await wait_task_rescheduled(self._abandon_idle_writer)
            if data := line.take_unsent():
                await send_all(data)

    def _abandon_idle_writer(self, _raise_cancel: RaiseCancelT) -> Abort:
        self._idle_writer = None
        return Abort.SUCCEEDED

    async def _read(self, connection: RawConnection) -> None:
        receive_some, answer = connection.stream.receive_some, self._line.answer
        feed, gets = connection.parser.feed, connection.parser.gets
        while True:
            data = await receive_some(RECEIVE_BYTES)
            if not data:
                raise EOFError("the server closed the connection")
            feed(data)
            while (reply := gets()) is not NOT_YET:
                answer(reply)

    async def _watch_for_stall(self, connection: RawConnection) -> None:
        """Ends a connection whose first command got no reply for two time limits."""
        while True:
            await trio.sleep(self._timeout_seconds / 2)
            deadline = self._line.oldest_deadline()
            if deadline is not None and deadline + self._timeout_seconds < trio.current_time():
                raise StoreAwayError(f"{connection.stream} has been silent for too long")
