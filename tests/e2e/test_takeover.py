"""Whoever dies, somebody else leads and works for its suppliers soon: real processes, kill -9."""

from __future__ import annotations

import pytest

from benchmarks.takeover import ANOTHER, GRACEFUL, SAME, SAME_NEW_HOME, measure

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("variant", [ANOTHER, SAME, SAME_NEW_HOME, GRACEFUL])
async def test_takeover(variant: str, soak: bool) -> None:
    """Relays logged at the moment of the kill are counted by a successor, and blocks go on."""
    if not soak and variant not in {ANOTHER, SAME}:
        pytest.skip("runs with --soak")
    tries = 20 if soak else 1
    times = await measure(variant, tries)
    # How soon is for `python -m benchmarks --only takeover` to say.
    assert len(times.leader) == len(times.suppliers) == tries
