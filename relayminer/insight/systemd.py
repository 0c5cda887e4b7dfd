"""Telling systemd how we are: started, stopping, still alive (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MICROSECONDS: Final = 1_000_000
_SHARE: Final = 0.5
"""Of the watchdog's time: how often we say that we are alive."""


class Systemd:
    """Tells the service manager, where there is one; a `Service`.

    Args:
        problem: what keeps the process from working, None when nothing does; shown as its status.
        environ: has `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `SYSTEMD_EXEC_PID` below systemd; None:
            this process's.
    """

    name = "systemd"

    def __init__(
        self, problem: Callable[[], str | None], environ: Mapping[str, str] | None = None
    ) -> None:
        found = os.environ if environ is None else environ
        self._address = found.get("NOTIFY_SOCKET", "")
        usec = found.get("WATCHDOG_USEC", "")
        self._watchdog_seconds = int(usec) / _MICROSECONDS if usec.isdecimal() else 0.0
        # Below a supervisor (cosmovisor) our end is not that of the unit, and its main process
        # is the supervisor: whoever said otherwise would be killed with it at the next upgrade.
        self._is_main = found.get("SYSTEMD_EXEC_PID", "") in {"", str(os.getpid())}
        self._problem = problem
        self._told = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Say that everything has started, then that it lives; at the end, that it stops.

        The loop itself says so: when it stands still, systemd hears nothing and acts.
        """
        self._say("READY=1", *([f"MAINPID={os.getpid()}"] if self._is_main else []))
        task_status.started()
        if not self._address:
            return
        pause = self._watchdog_seconds * _SHARE or 10.0
        try:
            while True:
                status = self._problem() or "serving"
                words = ["WATCHDOG=1"]
                if status != self._told:
                    words.append(f"STATUS={status}")
                    self._told = status
                self._say(*words)
                await trio.sleep(pause)
        finally:
            if self._is_main:
                self._say("STOPPING=1")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto("\n".join(words).encode(), address)
            except OSError:
                # Nobody listens, or not now: it is said again.
                self._told = ""
