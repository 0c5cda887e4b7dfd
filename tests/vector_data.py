"""The golden vectors: data produced by the Go implementation.

They live beside the repository (`../shared/vectors`) or where VECTORS_DIR says. A plain clone has
none; then the tests that need them are skipped with a message that says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = REPOSITORY.parent / "shared" / "vectors"


def directory() -> Path:
    """Where the vectors are, whether or not they are there."""
    return Path(os.environ.get("VECTORS_DIR") or DEFAULT_DIRECTORY)


def load(name: str) -> Any:
    """The parsed file `name` (a path below the directory); skips the test when there are none."""
    if not directory().is_dir():
        pytest.skip(f"no golden vectors at {directory()}: set VECTORS_DIR to run this test")
    path = directory() / name
    if not path.is_file():
        pytest.skip(f"this set of golden vectors has no {name}")
    with path.open(encoding="utf-8") as file:
        return json.load(file)
