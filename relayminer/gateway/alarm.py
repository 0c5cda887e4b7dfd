"""Waking up on time: to within some tens of microseconds, where the kernel helps.

An event loop's own sleep is as coarse as `epoll_wait`: a millisecond. For a load test that counts
latency from the moment at which a relay was due, that would be a millisecond of nobody's.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Self

import trio

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = 0o4000
_TFD_CLOEXEC = 0o2000000
_NANOSECONDS = 1_000_000_000
_COUNTER_BYTES = 8


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Sleeps for one task at a time; a context manager."""

    def __init__(self) -> None:
        self._descriptor = -1
        if sys.platform.startswith("linux"):
            self._library = ctypes.CDLL(None, use_errno=True)
            create = getattr(self._library, "timerfd_create", None)
            if create is not None:
                self._descriptor = create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`, at the earliest."""
        if seconds <= 0:
            await trio.lowlevel.checkpoint()
        elif self._descriptor < 0:
            await trio.sleep(seconds)
        else:
            total = max(1, int(seconds * _NANOSECONDS))
            timer = _Timer(_Timespec(0, 0), _Timespec(*divmod(total, _NANOSECONDS)))
            if self._library.timerfd_settime(self._descriptor, 0, ctypes.byref(timer), None):
                await trio.sleep(seconds)
                return
            await trio.lowlevel.wait_readable(self._descriptor)
            os.read(self._descriptor, _COUNTER_BYTES)
