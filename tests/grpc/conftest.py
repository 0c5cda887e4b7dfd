"""A real store for these tests, and an eye on what the relayer says of accidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relayer.conftest import redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["redis_url"]


@pytest.fixture
def no_traceback(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a peer does, it is no accident of ours."""
    yield
    out, error = capfd.readouterr()
    for word in ("Traceback", "connection_failed", "stream_failed", "relay_failed"):
        assert word not in out + error
