"""Syncing the embedded server's file: what the server must not do by itself."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from relayminer.config.settings import RedisSettings
from relayminer.state.aof_sync import keep_synced, sync_appended
from relayminer.state.embedded import open_store
from relayminer.state.errors import StoreAwayError
from relayminer.testing.store import running_gateway

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("setting", "server"), [("everysec", b"no"), ("always", b"always")])
async def test_the_server_writes_before_it_answers(
    tmp_path: Path, setting: str, server: bytes
) -> None:
    """The server's own `everysec` puts writes off behind answers, so it is never used."""
    settings = RedisSettings(appendfsync=setting)
    async with open_store(settings, tmp_path) as url, running_gateway(url) as redis:
        assert await redis.command("CONFIG", "GET", "appendfsync") == [b"appendfsync", server]
        await redis.command("SET", "key", "confirmed")
        (file,) = (tmp_path / "store").glob("**/*.aof")
        assert b"confirmed" in file.read_bytes()


async def test_nothing_confirmed_is_lost_while_a_sync_is_underway(tmp_path: Path) -> None:
    """A server killed while its file is being synced has written all that it confirmed."""
    confirmed: list[bytes] = []
    async with open_store(RedisSettings(), tmp_path) as url, running_gateway(url) as redis:
        pid = int((tmp_path / "store" / "server.pid").read_text())
        killed = trio.Event()

        async def writer() -> None:
            # One that had nothing in flight when the server died does not learn of it: the
            # server is back before the next command.
            while not killed.is_set():
                try:
                    confirmed.append(await redis.command("XADD", "log", "*", "d", "x" * 1800))
                except StoreAwayError:
                    return

        async def sync_and_kill() -> None:
            while len(confirmed) < 3000:
                await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as syncing:
                directory = tmp_path / "store"
                syncing.start_soon(trio.to_thread.run_sync, sync_appended, directory, {})
                await trio.lowlevel.checkpoint()
                os.kill(pid, signal.SIGKILL)
                killed.set()

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(writer)
            nursery.start_soon(sync_and_kill)
        await redis.command("PING", timeout_seconds=10)
        stored = {entry[0] for entry in await redis.command("XRANGE", "log", "-", "+")}
    assert set(confirmed) <= stored


def test_only_what_grew_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of known size is left alone, so an idle store costs the disk nothing."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "a.1.incr.aof").write_bytes(b"12345")
    (folder / "a.1.base.rdb").write_bytes(b"x")
    sizes = sync_appended(tmp_path, {})
    assert sizes == {"a.1.incr.aof": 5}
    assert sync_appended(tmp_path, sizes) == sizes
    assert len(synced) == 1
    assert sync_appended(tmp_path / "nowhere", sizes) == {}
    (tmp_path / "appendonly.aof").write_bytes(b"of Redis 6")
    assert sync_appended(tmp_path, sizes) == {**sizes, "appendonly.aof": 10}
    assert len(synced) == 2


async def test_a_refusing_disk_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that fails is tried again and again, and logged when it begins to fail."""
    attempts: list[int] = []

    def refuse(descriptor: int) -> None:
        attempts.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "a.1.incr.aof").write_bytes(b"x")
    with capture_logs() as logs, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(keep_synced, tmp_path, every_seconds=0.001))
            while len(attempts) < 3:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in logs] == ["store_sync_failed"]
