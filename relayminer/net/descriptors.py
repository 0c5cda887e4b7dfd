"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

UNLIMITED: Final = resource.RLIM_INFINITY


def raise_open_files_limit() -> int:
    """Take all that this process is allowed: the soft limit is often 1,024, the hard one far more.

    The soft limit is kept small for programs that use `select`, which we do not.

    Returns:
        How many files may be open now.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Refused by systems that do not let it be unlimited; then it stays as it was.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_files_limit() -> int:
    """How many files a process may open that takes all it is allowed; `UNLIMITED` for any."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
