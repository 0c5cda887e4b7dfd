"""Files of the embedded store: where they are, and the locks that processes share them by."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

import attrs

from relayminer.state.errors import StoreStartError

PRIVATE_DIRECTORY: Final = 0o700
MAX_SOCKET_PATH_BYTES: Final = 100
"""A little under what the systems allow for the path of a Unix socket (103 to 107 bytes)."""
MAX_LOG_BYTES: Final = 1_000_000


@attrs.frozen
class StoreHome:
    """The directory `store` in the home directory, and what is in it."""

    directory: Path

    @property
    def start_lock(self) -> Path:
        """Held while a server is looked for, started or stopped."""
        return self.directory / "start.lock"

    @property
    def members_lock(self) -> Path:
        """Shared by every process that uses the server; whoever gets it alone was the last."""
        return self.directory / "members.lock"

    @property
    def pid_file(self) -> Path:
        """Written by the server."""
        return self.directory / "server.pid"

    @property
    def log_file(self) -> Path:
        """Written by the server."""
        return self.directory / "server.log"

    @property
    def socket_record(self) -> Path:
        """Says where the socket is: a process with another TMPDIR must find the same one."""
        return self.directory / "socket-path"

    def prepare(self) -> None:
        """Creates the directory, for its owner only, and keeps the server's log bounded."""
        try:
            self.directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self.directory.chmod(PRIVATE_DIRECTORY)
            if self.log_file.exists() and self.log_file.stat().st_size > MAX_LOG_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
        except OSError as error:
            raise StoreStartError(
                f"cannot use {self.directory} for the embedded store: {error}; "
                "choose another data directory with --home"
            ) from error

    def socket(self) -> Path:
        """Where the server's socket is; call it with the start lock held."""
        try:
            return self._recorded_socket() or self._choose_socket()
        except (OSError, ValueError) as error:
            raise StoreStartError(
                f"cannot use {self.socket_record}: {error}; make room there or choose another data "
                "directory with --home"
            ) from error

    def _recorded_socket(self) -> Path | None:
        """What the record says; None without one, or with one that a power loss left empty."""
        if not self.socket_record.exists():
            return None
        path = Path(self.socket_record.read_text("utf-8").strip("\0\n"))
        return path if path.is_absolute() else None

    def _choose_socket(self) -> Path:
        path = self.directory / "server.sock"
        if not _is_short_enough(path):
            path = self._runtime_directory() / "server.sock"
        draft = self.socket_record.with_suffix(".new")
        draft.write_text(str(path), "utf-8")
        draft.replace(self.socket_record)
        return path

    def _runtime_directory(self) -> Path:
        """A short directory of our own in the system's place for such things."""
        name = "relayminer-" + hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        parents = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()]
        places = [Path(parent) / name for parent in parents if parent]
        path = next((place for place in places if _is_short_enough(place / "server.sock")), None)
        if path is None:
            raise StoreStartError(
                f"the path of the embedded store's socket is too long in {self.directory} and in "
                f"{' and '.join(map(str, places))}; use a shorter --home"
            )
        path.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        # The parent may be open to everybody: somebody else's directory or a link is no place for
        # the socket of a store.
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise StoreStartError(
                f"{path} belongs to somebody else; set XDG_RUNTIME_DIR or use a shorter --home"
            )
        path.chmod(PRIVATE_DIRECTORY)
        return path


def _is_short_enough(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES


def store_home(home: Path) -> StoreHome:
    """The embedded store's place in the data directory `home`, created when missing."""
    place = StoreHome(home.expanduser().absolute() / "store")
    place.prepare()
    return place


class FileLock:
    """An advisory lock on a file, let go by the system when the process dies."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire_shared(self) -> bool:
        """Whether the lock could be had together with others, without waiting."""
        return self._acquire(fcntl.LOCK_SH)

    def acquire_alone(self) -> bool:
        """Whether nobody else has the lock; a lock that we share is given up for the try."""
        return self._acquire(fcntl.LOCK_EX)

    def close(self) -> None:
        """Lets go of the lock."""
        os.close(self._descriptor)

    def _acquire(self, mode: int) -> bool:
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def open_lock(path: Path) -> FileLock:
    """A lock of the store's home, not acquired yet.

    Raises:
        StoreStartError: the file cannot be had.
    """
    try:
        return FileLock(path)
    except OSError as error:
        raise StoreStartError(
            f"cannot use {path}: {error}; choose another data directory with --home"
        ) from error
