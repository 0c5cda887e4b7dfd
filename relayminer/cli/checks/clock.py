"""Whether this machine's clock is right, by those of the machines that it speaks to.

Every source says between which two differences to ours its clock must lie: a `Date` header is cut
to the second and was written somewhere between question and answer; the newest block says only
that its time has passed, for it may be a block time old or, on a stuck node, much older.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import frozen

from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

WARN_SECONDS: Final = 2.0
FAIL_SECONDS: Final = 30.0
"""Simulated relays are then refused as too old, and what this node tells is hard to set beside
what others tell."""
_REMEDY: Final = "let NTP set it: `timedatectl set-ntp true` (systemd-timesyncd), or chrony"


@frozen
class Reading:
    """What one source says of our clock.

    Attributes:
        source: who, for people.
        least_seconds: its clock is at least this much ahead of ours (negative: behind).
        most_seconds: and at most this much; infinite when it does not say.
    """

    source: str
    least_seconds: float
    most_seconds: float = math.inf

    @property
    def skew_seconds(self) -> float:
        """By how much it is ahead of us for certain; negative when it is behind, 0 when it fits."""
        if self.least_seconds > 0:
            return self.least_seconds
        return min(self.most_seconds, 0.0)

    @property
    def differs(self) -> bool:
        """Whether one of the two clocks is wrong."""
        return abs(self.skew_seconds) >= WARN_SECONDS

    def __str__(self) -> str:
        if not self.differs:
            return f"agrees with {self.source}"
        way = "behind" if self.skew_seconds > 0 else "ahead of"
        return f"{abs(self.skew_seconds):,.0f} s {way} {self.source}"


def of_whole_seconds(source: str, asked_at: float, told: float, answered_at: float) -> Reading:
    """A clock that tells whole seconds, asked and answered at these times of ours."""
    return Reading(source, told - answered_at, told + 1 - asked_at)


def of_moment(source: str, asked_at: float, told: float, answered_at: float) -> Reading:
    """A clock that tells its time exactly."""
    return Reading(source, told - answered_at, told - asked_at)


def judge(readings: Sequence[Reading]) -> Finding:
    """What all sources together say of our clock: who stands alone is wrong."""
    subject = "clock"
    # A block that is older than now agrees with any clock that is not behind.
    clocks = [one for one in readings if one.differs or one.most_seconds < math.inf]
    if not readings:
        return Finding(subject, WARN, "nobody to compare it with", "mend the chain's nodes first")
    if not clocks:
        return Finding(subject, OK, f"not behind {_listed(readings)}")
    wrong = [one for one in clocks if one.differs]
    if not wrong:
        return Finding(subject, OK, f"agrees with {', '.join(one.source for one in clocks)}")
    found = ", ".join(str(one) for one in clocks)
    if len(wrong) < len(clocks):
        others = _listed(wrong)
        remedy = f"look after the clock of {others}: ours agrees with the rest"
        return Finding(subject, WARN, found, remedy)
    worst = min(abs(one.skew_seconds) for one in wrong)
    result = FAIL if worst >= FAIL_SECONDS else WARN
    remedy = _REMEDY if len(wrong) > 1 else f"{_REMEDY}; or {wrong[0].source} is wrong"
    return Finding(subject, result, found, remedy)


def _listed(readings: Sequence[Reading]) -> str:
    return ", ".join(one.source for one in readings)
