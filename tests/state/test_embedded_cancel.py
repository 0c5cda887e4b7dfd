"""A start of the embedded server that is given up leaves nothing behind."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import open_store
from relayminer.state.server_process import Health, Server

if TYPE_CHECKING:
    import pytest


def servers(home: Path) -> list[int]:
    """Processes of servers whose socket is under `home`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if bytes(home) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


async def test_a_start_that_is_cancelled_at_any_moment_leaves_no_server(tmp_path: Path) -> None:
    """However far the start had come, cancelling it ends the server that it had started."""
    for milliseconds in (0, 2, 5, 10, 15, 20, 30, 50):
        home = tmp_path / str(milliseconds)
        with trio.move_on_after(milliseconds / 1000):
            async with open_store(RedisSettings(), home):
                await trio.sleep_forever()
    # What a starter left behind appears a moment later.
    await trio.sleep(0.3)
    assert servers(tmp_path) == []


async def test_a_start_cancelled_while_data_is_read_leaves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was still loading when its starter gave up is stopped too."""
    loading = trio.Event()

    async def never_loaded(self: Server, health: Health) -> None:
        assert self.home.directory.is_dir()
        assert health is not Health.ABSENT
        loading.set()
        await trio.sleep_forever()

    monkeypatch.setattr(Server, "_wait_until_loaded", never_loaded)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                async with open_store(RedisSettings(), tmp_path):
                    pass

            nursery.start_soon(start)
            await loading.wait()
            nursery.cancel_scope.cancel()
    assert servers(tmp_path) == []
