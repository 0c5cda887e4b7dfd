"""One pipelined connection to one server, for everybody.

All commands of one turn of the loop leave in one write, and replies are matched in order. Commands
issued while the server is away wait for it until their deadline; those in flight when a connection
ends fail with StoreAwayError and are never repeated here, because an XADD is not idempotent.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import attrs
import hiredis
import structlog
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from relayminer.state.connection import (
    GONE,
    NOT_YET,
    RECEIVE_BYTES,
    RawConnection,
    connect,
    knows_command,
    refuse_replica,
)
from relayminer.state.errors import StoreAwayError, StoreReplyError
from relayminer.state.line import Line, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.settings import RedisSettings
    from relayminer.state.places import Place
    from relayminer.state.target import Target

BACKOFF_MIN_SECONDS: Final = 0.05
EXPIRY_GRAIN_SECONDS: Final = 0.01
"""Deadlines are looked at this often at most, so that a stuck server does not cost a core."""

_log = structlog.get_logger("relayminer.state")


@attrs.frozen
class Backoff:
    """How long to wait before another attempt: doubling, capped, with half of it left to chance."""

    max_seconds: float
    jitter: Callable[[], float] = random.random

    def seconds(self, attempt: int) -> float:
        """Before the attempt after so many that failed in a row, from 0."""
        ceiling: float = min(self.max_seconds, BACKOFF_MIN_SECONDS * 2 ** min(attempt, 16))
        return ceiling * (0.5 + self.jitter() / 2)


class Link:
    """Commands to one server; `run` keeps the connection.

    Attributes:
        has_xackdel: whether the server knows XACKDEL; False until the first connection.
        connections: made so far.
        reconnection_attempts: times that a connection was tried for after the first one.
        target: the server of the last connection.
    """

    def __init__(self, place: Place, settings: RedisSettings, backoff: Backoff) -> None:
        self._place = place
        self._timeout_seconds = settings.command_timeout_seconds
        self._backoff = backoff
        self._line = Line(settings.max_queued_commands, settings.max_queued_bytes)
        self.has_xackdel = False
        self.connections = 0
        self.reconnection_attempts = 0
        self.target: Target | None = None
        self._running = False
        self._connected = trio.Event()
        self._serving: trio.CancelScope | None = None
        self._left_because = ""
        self._away_reason = "not connected yet"
        # The writer while it has nothing to write.
        self._idle_writer: Task | None = None

    def __len__(self) -> int:
        """Commands that wait for a reply, sent or not."""
        return len(self._line)

    @property
    def is_connected(self) -> bool:
        """Whether there is a working connection at this moment."""
        return self._connected.is_set()

    @property
    def reconnections(self) -> int:
        """Connections made after the first one."""
        return max(0, self.connections - 1)

    async def wait_connected(self) -> None:
        """Returns when there is a connection; put a deadline around it."""
        while not self._connected.is_set():
            await self._connected.wait()

    def prepare(self) -> None:
        """Takes commands from now on, though `run` begins a moment later."""
        self._running = True

    def leave(self, reason: str) -> None:
        """Ends the connection, if there is one, and looks anew where to connect to."""
        if self._serving is not None:
            self._left_because = reason
            self._serving.cancel()

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

    async def submit(self, packed: bytes, expected: int, timeout_seconds: float | None) -> Any:
        """One write and its `expected` replies: the reply itself, or a list of several.

        Errors of the server are values here.

        Raises:
            StoreAwayError: no reply in time, or the connection ended before it.
            StoreFullError: too much waits already.
        """
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
        where = "" if self.target is None else f" at {self.target}"
        if self.is_connected:
            return f"the store{where} did not answer in time"
        return f"the store{where} is away: {self._away_reason}"

    async def _expire_commands(self) -> None:
        while True:
            now = trio.current_time()
            following = self._line.expire(now, self._late())
            # A command that comes while we sleep cannot be due before this.
            wake_at = following if following is not None else now + self._timeout_seconds
            await trio.sleep_until(max(wake_at, now + EXPIRY_GRAIN_SECONDS))

    async def _stay_connected(self) -> None:
        attempt = cut_short = 0
        while True:
            self.reconnection_attempts += self.connections > 0
            try:
                connection = await self._connect()
            except StoreAwayError as error:
                self._away(str(error), first=attempt == 0)
                await trio.sleep(self._backoff.seconds(attempt))
                attempt += 1
                continue
            self.connections += 1
            attempt, connected_at = 0, trio.current_time()
            try:
                reason = await self._serve(connection)
            finally:
                self._connected = trio.Event()
                self._line.fail_in_flight(f"the connection to {self.target} ended")
                await connection.aclose()
            # A server that takes us and lets us go at once is not asked more often for that.
            stayed = trio.current_time() - connected_at > self._backoff.max_seconds
            cut_short = 0 if stayed else cut_short + 1
            self._away(reason, first=cut_short <= 1)
            await trio.sleep(self._backoff.seconds(max(0, cut_short - 1)))

    async def _connect(self) -> RawConnection:
        self.target = target = await self._place.locate()
        connection = await connect(
            target,
            timeout_seconds=self._timeout_seconds,
            is_wanted=lambda: self._place.is_current(target),
        )
        try:
            with trio.fail_after(self._timeout_seconds):
                await refuse_replica(connection, target)
                self.has_xackdel = await knows_command(connection, "XACKDEL")
        except (*GONE, trio.TooSlowError) as error:
            await connection.aclose()
            raise StoreAwayError(f"the store at {target} went away: {error}") from error
        except BaseException:
            await connection.aclose()
            raise
        return connection

    def _away(self, reason: str, *, first: bool) -> None:
        self._away_reason = reason
        if first:
            _log.warning("store_away", target=str(self.target), reason=reason)

    async def _serve(self, connection: RawConnection) -> str:
        """Lets commands flow until the connection ends; returns why it did."""
        ended: list[str] = []

        async def until_it_ends(work: Callable[[RawConnection], Any]) -> None:
            try:
                await work(connection)
            except (*GONE, StoreAwayError, StoreReplyError, hiredis.ProtocolError) as error:
                ended.append(str(error) or type(error).__name__)
                nursery.cancel_scope.cancel()

        self._left_because = "cancelled"
        try:
            async with trio.open_nursery() as nursery:
                self._serving = nursery.cancel_scope
                self._connected.set()
                nursery.start_soon(until_it_ends, self._write)
                nursery.start_soon(until_it_ends, self._read)
                nursery.start_soon(until_it_ends, self._watch_for_stall)
        finally:
            self._serving = None
        return ended[0] if ended else self._left_because

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
