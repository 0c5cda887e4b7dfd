"""Keep key material in this process: no core dumps, no other process of the user reading memory."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def protect_process() -> bool:
    """Switch core dumps off, and with them reading this process's memory from outside.

    Called before the first key is read; it cannot be taken back by accident. Debuggers and
    profilers that attach from outside no longer can, unless they run as root.

    Returns:
        Whether the kernel was told too (Linux); elsewhere only the limit is set.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return False
    # A core pattern that pipes to a program ignores the limit; this flag is what stops it.
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0
