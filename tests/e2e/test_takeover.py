"""Whoever dies, somebody else leads and works for its suppliers soon: real processes, kill -9."""

from __future__ import annotations

import pytest

from benchmarks.takeover import (
    ANOTHER,
    GRACEFUL,
    HAND_OVER_SECONDS_MAX,
    SAME,
    SAME_NEW_HOME,
    TAKEOVER_SECONDS_MAX,
    measure,
    percentile,
)

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("variant", [ANOTHER, SAME, SAME_NEW_HOME, GRACEFUL])
async def test_takeover(variant: str, soak: bool) -> None:
    """Relays logged at the moment of the kill are counted by a successor, and blocks go on."""
    if not soak and variant not in {ANOTHER, SAME}:
        pytest.skip("runs with --soak")
    times = await measure(variant, 20 if soak else 1)
    assert times.leader
    assert times.suppliers
    if soak:
        limit = HAND_OVER_SECONDS_MAX if variant == GRACEFUL else TAKEOVER_SECONDS_MAX
        assert percentile(times.leader, 0.95) < limit, sorted(times.leader)
        assert percentile(times.suppliers, 0.95) < limit, sorted(times.suppliers)
