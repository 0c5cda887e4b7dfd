"""Lanes of their own for dear methods, so that a few traces do not stop a thousand cheap calls."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from relayminer.relayer.queue_fair import FairQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.config.traffic import LaneSettings
    from relayminer.relayer.lanes_calls import Calls

_MAX_REMEMBERED = 1_000
_MAX_METHOD_CHARACTERS = 200
_HEX = 16
_WILDCARD = re.compile(r"[*?\[]")
_RANGE_MARKS = (b"fromBlock", b"toBlock")


class Lane:
    """One lane: what belongs into it, and its queue."""

    def __init__(self, name: str, settings: LaneSettings, clock: Callable[[], float]) -> None:
        self.name = name
        self.log_range_blocks = settings.log_range_blocks
        self.patterns = settings.methods
        self.queue = FairQueue(
            max_in_flight=settings.max_in_flight,
            max_waiting=settings.max_waiting,
            max_wait_seconds=settings.max_wait_seconds,
            clock=clock,
        )

    def takes(self, method: str) -> bool:
        """Whether the method is one of the lane's patterns."""
        return any(fnmatchcase(method, pattern) for pattern in self.patterns)


class Lanes:
    """All lanes of a service; the first that takes a call has it.

    Args:
        settings: by the lane's name.
        clock: monotonic seconds.
        height: the chain height of the service's backends, 0 while unknown.
    """

    def __init__(
        self,
        settings: Mapping[str, LaneSettings],
        clock: Callable[[], float],
        height: Callable[[], int],
    ) -> None:
        self.all = tuple(Lane(name, one, clock) for name, one in settings.items())
        self._height = height
        self._known: dict[str, Lane | None] = {}
        self._looks_at_ranges = any(lane.log_range_blocks for lane in self.all)
        self._marks = tuple(
            _WILDCARD.split(pattern)[0].encode() for lane in self.all for pattern in lane.patterns
        )
        if self._looks_at_ranges:
            self._marks += _RANGE_MARKS

    def may_take(self, body: bytes) -> bool:
        """Whether a body must be read to tell: most hold nothing that could be a lane's.

        A method of a lane has the literal start of its pattern in it; only a backslash can write
        the same differently.
        """
        if b"\\" in body:
            return True
        for mark in self._marks:  # noqa: SIM110 - any() costs three times as much
            if mark in body:
                return True
        return False

    def lane_of(self, calls: Calls) -> Lane | None:
        """The lane of a body; a body that cannot be told counts as dear."""
        if calls.is_opaque:
            return self.all[0]
        for call in calls.calls:
            method = call.get("method")
            if isinstance(method, str):
                lane = self._lane_of_method(method)
                if lane is not None:
                    return lane
            if self._looks_at_ranges:
                blocks = self._range_blocks(call.get("params"))
                for lane in self.all:
                    if 0 < lane.log_range_blocks < blocks:
                        return lane
        return None

    def _lane_of_method(self, method: str) -> Lane | None:
        if method in self._known:
            return self._known[method]
        lane = next((lane for lane in self.all if lane.takes(method)), None)
        if len(method) <= _MAX_METHOD_CHARACTERS:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[method] = lane
        return lane

    def _range_blocks(self, params: Any) -> float:
        """How many blocks a call's filter spans; endless when that cannot be told."""
        if not isinstance(params, list) or not params or not isinstance(params[0], dict):
            return 0
        wanted = params[0]
        if wanted.get("blockHash") or not ("fromBlock" in wanted or "toBlock" in wanted):
            return 0
        head = self._height()
        first = _block(wanted.get("fromBlock"), head)
        last = _block(wanted.get("toBlock"), head)
        if first is None and last is None:
            # Both at the head, whose number is not known.
            return 1
        if first is None or last is None:
            return float("inf")
        return abs(last - first) + 1


def _block(value: Any, head: int) -> int | None:
    """A block's number; None for the head while its height is unknown."""
    if value == "earliest":
        return 0
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return int(value, _HEX)
        except ValueError:
            return head or None
    if isinstance(value, int):
        return value
    return head or None
