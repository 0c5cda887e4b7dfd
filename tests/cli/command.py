"""Running `relayminer` as users do: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from attrs import frozen

from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = [sys.executable, "-m", "relayminer"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'plugins'}",
    # Tables as wide as what is in them.
    "COLUMNS": "240",
}
SECONDS = 60


@frozen
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str


def relayminer(*arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run one command to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**ENVIRONMENT, **(environment or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)
