"""Where spools are: one directory per process in the home, and what dead processes left there.

A process keeps the lock of its own directory for as long as it lives; whoever gets the lock of
another's knows that its owner is dead, and replays what is in it.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

import structlog

from relayminer.relayer.spool_file import SUFFIX
from relayminer.state.store_home import PRIVATE_DIRECTORY, FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = "lock"

_log = structlog.get_logger("relayminer.relayer")


class SpoolDirectory:
    """A directory that this process has the lock of."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock
        self._next_number = 0

    def new_segment(self) -> Path:
        """The path of a segment that is not there yet; later ones sort behind earlier ones."""
        self._next_number += 1
        return self.path / f"{self._next_number:010d}{SUFFIX}"

    def segments(self) -> list[Path]:
        """The segments that are there, oldest first."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def close(self) -> bool:
        """Gives the directory up, and removes it when it is empty; True when it was."""
        empty = not self.segments()
        if empty:
            # Nobody can take it over between the two: we still have the lock.
            (self.path / LOCK_NAME).unlink(missing_ok=True)
            self.path.rmdir()
        self._lock.close()
        return empty


def own_directory(home: Path) -> SpoolDirectory:
    """A new directory for this process in the data directory `home`.

    Raises:
        OSError: it cannot be made.
    """
    parent = home / "spool"
    parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    # Locked before it has its name: nobody may find it there without its lock.
    draft = parent / f".{name}"
    draft.mkdir(mode=PRIVATE_DIRECTORY)
    lock = FileLock(draft / LOCK_NAME)
    lock.acquire_alone()
    return SpoolDirectory(draft.rename(parent / name), lock)


def dead_directories(home: Path) -> Iterator[SpoolDirectory]:
    """The directories of processes that are dead; empty ones are removed on the way."""
    for path in sorted((home / "spool").glob("[!.]*")):
        try:
            lock = FileLock(path / LOCK_NAME)
        except OSError as error:
            if path.exists():
                _log.warning("spool_not_readable", path=str(path), reason=str(error))
            continue
        if not lock.acquire_alone():
            lock.close()
            continue
        directory = SpoolDirectory(path, lock)
        if directory.segments():
            yield directory
        else:
            try:
                directory.close()
            except OSError as error:
                lock.close()
                _log.warning("spool_not_removed", path=str(path), reason=str(error))
