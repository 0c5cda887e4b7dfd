"""Every file of golden vectors is loaded by some test."""

from __future__ import annotations

import pytest

from tests.tidy.test_layers import sources
from tests.vector_data import directory

pytestmark = pytest.mark.vectors


def test_every_vector_file_is_used() -> None:
    """A file that no test names proves nothing."""
    if not directory().is_dir():
        pytest.skip(f"no golden vectors at {directory()}: set VECTORS_DIR to run this test")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources("tests"))
    unused = [
        str(path.relative_to(directory()))
        for path in sorted(directory().rglob("*.json"))
        if path.name not in text
    ]
    assert unused == []
