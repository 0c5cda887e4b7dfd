"""Past its capacity a service refuses what it cannot serve, fails nobody and keeps its memory."""

from __future__ import annotations

from benchmarks.overload import MAX_GROWTH_MEGABYTES, measure


def test_three_times_the_capacity(soak: bool) -> None:
    """20 in flight, 50 ms each, 1,200 relays/s: served or refused, and none fails.

    How fast each of these is, `python -m benchmarks.overload` says.
    """
    result = measure(60.0 if soak else 3.0)
    assert result.over.failed == result.half.failed == result.after.failed == []
    assert result.over.served
    assert result.over.refused
    assert result.after.served
    assert result.growth_megabytes < MAX_GROWTH_MEGABYTES
