"""Syncs the embedded server's append-only file to the disk, once a second.

The server could do that by itself (`appendfsync everysec`), but then it puts off its writes while a
sync is underway and answers all the same: killed in that moment it loses up to two seconds of what
it has confirmed. So it runs without syncing, which makes it write before it answers, always, and
the processes that use it sync the file. The price of a slow disk is a short stall.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import structlog
import trio

if TYPE_CHECKING:
    from pathlib import Path

EVERY_SECOND: Final = "everysec"
SYNC_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.state")


async def keep_synced(directory: Path, *, every_seconds: float = SYNC_SECONDS) -> None:
    """Syncs what was appended in the server's `directory`, until cancelled."""
    synced: dict[str, int] = {}
    failing = False
    while True:
        await trio.sleep(every_seconds)
        try:
            synced = await trio.to_thread.run_sync(
                sync_appended, directory, synced, abandon_on_cancel=True
            )
            failing = False
        except OSError as error:
            if not failing:
                _log.error("store_sync_failed", directory=str(directory), reason=str(error))
            failing = True


def sync_appended(directory: Path, synced: dict[str, int]) -> dict[str, int]:
    """Syncs the append-only files that have grown beyond their sizes in `synced`.

    Returns:
        The sizes (bytes) that are on the disk now, by file name.

    Raises:
        OSError: the disk refuses.
    """
    sizes: dict[str, int] = {}
    # Files come and go when the server rewrites its history; it syncs a new base by itself.
    # Before version 7 there is one file, and it is the server's own directory that it lies in.
    for path in (*directory.glob("appendonlydir/*.incr.aof"), directory / "appendonly.aof"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            size = os.fstat(descriptor).st_size
            if synced.get(path.name) != size:
                os.fsync(descriptor)
            sizes[path.name] = size
        finally:
            os.close(descriptor)
    return sizes
