"""The embedded store: a private server that lives in the data directory.

The first process with a home starts the server, later ones join it, the last to leave stops it. A
server that dies is started again on the same append-only file by whichever process notices first;
one that survived our own death is adopted by the next start.
"""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
import trio

from relayminer.config.settings import EMBEDDED, RedisSettings
from relayminer.state.aof_sync import EVERY_SECOND, keep_synced
from relayminer.state.background import background
from relayminer.state.errors import StoreStartError
from relayminer.state.server_process import Server, wait_for_exit
from relayminer.state.store_home import FileLock, StoreHome, open_lock, store_home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOCK_POLL_SECONDS: Final = 0.01
RESTART_PAUSE_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 60.0

_log = structlog.get_logger("relayminer.state")


@asynccontextmanager
async def open_store(settings: RedisSettings, home: Path) -> AsyncIterator[str]:
    """The URL of the store: `redis.url` as it is, or that of the embedded one while the block runs.

    Raises:
        StoreStartError: the embedded store cannot be had; the text says what to do.
    """
    if settings.url != EMBEDDED:
        yield settings.url
        return
    store = EmbeddedStore(store_home(home), appendfsync=settings.appendfsync)
    await store.join()
    try:
        async with background(store.supervise):
            yield store.url
    finally:
        # However we end: a server that nobody needs must not stay behind.
        with trio.move_on_after(LEAVE_SECONDS, shield=True):
            await store.leave()


class EmbeddedStore:
    """This process's share in the server of a home.

    Attributes:
        pid: the server's process id.
        restarts: how often this process has started it again.
    """

    def __init__(self, home: StoreHome, *, appendfsync: str = EVERY_SECOND) -> None:
        self._home = home
        self._appendfsync = appendfsync
        self._membership: FileLock | None = None
        self._server: Server | None = None
        self.pid = 0
        self.restarts = 0

    @property
    def url(self) -> str:
        """For `Redis`; known after `join`."""
        return f"unix://{quote(str(self._joined.socket))}"

    async def join(self) -> None:
        """Finds or starts the server, and keeps it from being stopped by others.

        Raises:
            StoreStartError: it cannot be had.
        """
        async with _locked(self._home):
            membership = open_lock(self._home.members_lock)
            try:
                _share(membership, self._home)
                self._server = Server(
                    self._home, self._home.socket(), appendfsync=self._appendfsync
                )
                self.pid = await self._server.ensure_running()
            except trio.Cancelled:
                # Given up while the server started or read its data: nobody else would stop it.
                with trio.move_on_after(LEAVE_SECONDS, shield=True):
                    if self._server is not None and membership.acquire_alone():
                        await self._server.stop_recorded()
                membership.close()
                raise
            except BaseException:
                membership.close()
                raise
            self._membership = membership

    async def supervise(self) -> None:
        """Starts the server again whenever it dies, and syncs its file; never ends by itself.

        A start that fails is tried again.
        """
        async with trio.open_nursery() as nursery:
            if self._appendfsync == EVERY_SECOND:
                nursery.start_soon(keep_synced, self._home.directory)
            await self._restart_when_dead(self._joined)

    @property
    def _joined(self) -> Server:
        if self._server is None:
            raise StoreStartError("the embedded store is not joined yet")
        return self._server

    async def _restart_when_dead(self, server: Server) -> None:
        while True:
            await wait_for_exit(self.pid)
            _log.warning("store_died", pid=self.pid)
            try:
                async with _locked(self._home):
                    self.pid = await server.ensure_running()
            except StoreStartError as error:
                _log.error("store_restart_failed", reason=str(error))
                await trio.sleep(RESTART_PAUSE_SECONDS)
            else:
                self.restarts += 1

    async def leave(self) -> None:
        """Gives up the share; stops the server when nobody else has one."""
        membership, self._membership = self._membership, None
        if membership is None or self._server is None:
            return
        try:
            async with _locked(self._home):
                if membership.acquire_alone():
                    await self._server.stop(self.pid)
        finally:
            membership.close()


@asynccontextmanager
async def _locked(home: StoreHome) -> AsyncIterator[None]:
    """Holds the start lock; whoever has it may take as long as the server needs to load."""
    with contextlib.closing(open_lock(home.start_lock)) as lock:
        while not lock.acquire_alone():  # noqa: ASYNC110 - a file lock has no event
            await trio.sleep(LOCK_POLL_SECONDS)
        yield


def _share(membership: FileLock, home: StoreHome) -> None:
    # Nobody takes this lock alone without holding the start lock, which we have.
    if not membership.acquire_shared():
        raise StoreStartError(f"{home.members_lock} is locked by a stranger")
