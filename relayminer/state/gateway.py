"""The way to the store, built for the relay path: whatever stands behind `redis.url`.

One server and a primary that Sentinels know have one `Link`; a cluster has one per node and a map
of slots (`cluster.py`). What a server refuses because it is not the primary (any more) is sent
again, since nothing was executed; a command in flight when a connection ends never is.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import hiredis
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.cluster import Cluster
from relayminer.state.connection import Argument, DedicatedConnection, checked, pack
from relayminer.state.errors import (
    NOT_THE_PRIMARY,
    StoreAwayError,
    StoreReplyError,
    refusal_code,
    reply_error,
)
from relayminer.state.link import Backoff, Link
from relayminer.state.location import Location, Topology, parse_location
from relayminer.state.places import FixedPlace, Place, SentinelPlace
from relayminer.state.scripting import chunks
from relayminer.state.subscription import Subscription, open_subscription

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from relayminer.state.scripting import Script
    from relayminer.state.target import Target

SCAN_COUNT: Final = 500


class Redis:
    """Commands to the store; a `Service` that keeps its connections.

    Attributes:
        location: what the URL says.
        command_timeout_seconds: how long a command may take that says nothing else.
        pressure: why nothing more should be put into the store; None while there is room
            (`ServerWatch` looks).
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
        self.location: Final[Location] = parse_location(url)
        self.command_timeout_seconds: Final = settings.command_timeout_seconds
        self.pressure: str | None = None
        self._timeout_seconds = settings.command_timeout_seconds
        self._backoff = Backoff(settings.reconnect_backoff_max_seconds, jitter)
        self._sentinel: SentinelPlace | None = None
        self._cluster: Cluster | None = None
        self._place: Place = FixedPlace(self.location.seeds[0])
        if self.location.topology is Topology.SENTINEL:
            self._place = self._sentinel = SentinelPlace(
                self.location, timeout_seconds=self._timeout_seconds
            )
        elif self.location.topology is Topology.CLUSTER:
            self._place = self._cluster = Cluster(self.location, settings, self._backoff)
        self._link = Link(self._place, settings, self._backoff)

    @property
    def target(self) -> Target:
        """The first server that the URL names."""
        return self.location.seeds[0]

    @property
    def is_cluster(self) -> bool:
        """Whether commands with keys in several slots are refused."""
        return self._cluster is not None

    @property
    def has_xackdel(self) -> bool:
        """Whether the server knows XACKDEL; False until the first connection."""
        links = self._links()
        return bool(links) and all(link.has_xackdel for link in links)

    @property
    def reconnections(self) -> int:
        """Connections made after the first one."""
        return sum(link.reconnections for link in self._links())

    @property
    def reconnection_attempts(self) -> int:
        """Times that a connection was tried for after the first one."""
        return sum(link.reconnection_attempts for link in self._links())

    @property
    def is_connected(self) -> bool:
        """Whether there is a working connection at this moment; to every node of a cluster."""
        if self._cluster is not None:
            return self._cluster.is_connected
        return self._link.is_connected

    @property
    def waiting(self) -> int:
        """Commands that wait for a reply, sent or not."""
        return sum(len(link) for link in self._links())

    async def wait_connected(self) -> None:
        """Returns when there is a connection; put a deadline around it."""
        if self._cluster is not None:
            await self._cluster.wait_connected()
        else:
            await self._link.wait_connected()

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
        if self._cluster is None:
            reply = await self._submit(pack(command), 1, timeout_seconds)
        else:
            reply = await self._cluster.one(command, timeout_seconds)
        if reply.__class__ is hiredis.ReplyError:
            if self._cluster is None and refusal_code(str(reply)) in NOT_THE_PRIMARY:
                served_by = self._link.connections
                return checked(await self._again(command, str(reply), timeout_seconds, served_by))
            raise reply_error(str(reply))
        return reply

    async def pipeline(
        self, commands: Sequence[Sequence[Argument]], *, timeout_seconds: float | None = None
    ) -> list[Any]:
        """Several commands in one write and their replies in order.

        It is no transaction: each command succeeds or fails alone, and the first error is raised
        after all have run. In a cluster each node gets its part. Raises what `command` raises.
        """
        if not commands:
            return []
        if self._cluster is not None:
            replies = await self._cluster.many(commands, timeout_seconds)
        else:
            packed = b"".join([pack(command) for command in commands])
            replies = await self._submit(packed, len(commands), timeout_seconds)
            if len(commands) == 1:
                replies = [replies]
            served_by = self._link.connections
            for at, reply in enumerate(replies):
                if (
                    reply.__class__ is hiredis.ReplyError
                    and refusal_code(str(reply)) in NOT_THE_PRIMARY
                ):
                    replies[at] = await self._again(
                        commands[at], str(reply), timeout_seconds, served_by
                    )
        return [checked(reply) for reply in replies]

    async def transaction(
        self, commands: Sequence[Sequence[Argument]], *, timeout_seconds: float | None = None
    ) -> list[Any]:
        """The same inside MULTI and EXEC: all of them or, when one cannot be queued, none.

        In a cluster all keys must be in one slot.
        """
        wrapped: list[Sequence[Argument]] = [("MULTI",), *commands, ("EXEC",)]
        if self._cluster is not None:
            replies = await self._cluster.transaction(wrapped, timeout_seconds)
        else:
            replies = await self._transaction(wrapped, timeout_seconds)
        for reply in replies:
            checked(reply)
        return [checked(reply) for reply in replies[-1]]

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

    async def get_many(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        """The values of `keys`, None for those that do not exist; raises what `command` raises."""
        values: list[bytes | None] = []
        for some in chunks(keys):
            if self._cluster is None:
                values += await self.command("MGET", *some)
            else:
                values += await self.pipeline([("GET", key) for key in some])
        return values

    async def scan(self, pattern: str) -> AsyncGenerator[list[bytes], None]:
        """Keys that match, of all servers, page by page; a key may come twice.

        Raises what `command` raises.
        """
        for link in self._links():
            cursor: Any = 0
            while True:
                packed = pack(("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT))
                submit = self._submit if self._cluster is None else link.submit
                cursor, keys = checked(await submit(packed, 1, None))
                if keys:
                    yield keys
                if int(cursor) == 0:
                    break

    async def on_every_server(self, *command: Argument) -> list[Any]:
        """One command to the primary, or to every primary of a cluster, and their replies.

        Raises what `command` raises.
        """
        packed = pack(command)
        return [checked(await link.submit(packed, 1, None)) for link in self._links()]

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[DedicatedConnection]:
        """A connection for blocking reads, closed at the end; it reconnects by itself.

        In a cluster it is one to any node.
        """
        connection = DedicatedConnection(self._place, timeout_seconds=self._timeout_seconds)
        try:
            yield connection
        finally:
            await connection.aclose()

    @asynccontextmanager
    async def subscribe(self, channels: Sequence[str]) -> AsyncIterator[Subscription]:
        """Messages of `channels` over a connection of their own; see `Subscription`."""
        async with open_subscription(
            self._place,
            channels,
            timeout_seconds=self._timeout_seconds,
            backoff_seconds=self._backoff.seconds,
        ) as subscription:
            yield subscription

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the connections until cancelled."""
        if self._cluster is not None:
            await self._cluster.run(task_status=task_status)
            return
        if self._sentinel is None:
            await self._link.run(task_status=task_status)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sentinel.watch, self._follow_primary)
                await self._link.run(task_status=task_status)
        finally:
            self._sentinel.close()

    def _follow_primary(self, target: Target) -> None:
        self._link.leave(f"the primary is at {target} now")

    def _links(self) -> Sequence[Link]:
        return (self._link,) if self._cluster is None else self._cluster.links

    def _submit(
        self, packed: bytes, expected: int, timeout_seconds: float | None
    ) -> Awaitable[Any]:
        # No coroutine of its own: it is on the path of every relay.
        return self._link.submit(packed, expected, timeout_seconds)

    async def _again(
        self,
        command: Sequence[Argument],
        refusal: str,
        timeout_seconds: float | None,
        served_by: int,
    ) -> Any:
        """Sends a command that a replica refused to the primary, once there is one again.

        Args:
            command: the command.
            refusal: what was said.
            timeout_seconds: as in `command`.
            served_by: number of the connection that it was refused on; a newer one is not left.
        """
        packed = pack(command)
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = trio.current_time() + limit
        while True:
            if self._link.connections == served_by:
                self._link.leave(refusal)
            # The old connection is let go of in a turn of the loop or two.
            await trio.lowlevel.checkpoint()
            left = deadline - trio.current_time()
            if left <= 0:
                raise StoreAwayError(f"the store has no primary: {refusal}")
            reply = await self._submit(packed, 1, left)
            served_by = self._link.connections
            if (
                reply.__class__ is not hiredis.ReplyError
                or refusal_code(str(reply)) not in NOT_THE_PRIMARY
            ):
                return reply

    async def _transaction(
        self, wrapped: Sequence[Sequence[Argument]], timeout_seconds: float | None
    ) -> list[Any]:
        packed = b"".join([pack(command) for command in wrapped])
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        deadline = trio.current_time() + limit
        while True:
            replies: list[Any] = await self._submit(packed, len(wrapped), timeout_seconds)
            refused = next((one for one in replies if isinstance(one, hiredis.ReplyError)), None)
            if refused is None or refusal_code(str(refused)) not in NOT_THE_PRIMARY:
                return replies
            # A command that cannot be queued makes EXEC give up the whole.
            self._link.leave(str(refused))
            await trio.lowlevel.checkpoint()
            timeout_seconds = deadline - trio.current_time()
            if timeout_seconds <= 0:
                raise StoreAwayError(f"the store has no primary: {refused}")
