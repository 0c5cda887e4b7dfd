"""Settings of what a running process tells of its inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.config.complaint import Complaint
from relayminer.config.console import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen(kw_only=True)
class DebugSettings:
    """Profiles, tasks, memory, leases and settings in force, for this machine alone."""

    enabled: bool = False
    listen: str = "127.0.0.1:6060"
    max_profile_seconds: float = 60.0


def check_debug(settings: DebugSettings) -> Iterator[Complaint]:
    """It tells too much for others, and anybody could slow the process down by asking."""
    host = settings.listen.rpartition(":")[0].strip("[]")
    if settings.enabled and not is_loopback(host):
        yield Complaint(
            ("debug", "listen"),
            settings.listen,
            "profiles and settings are for this machine alone",
            "write 127.0.0.1:6060 and reach it through ssh or kubectl port-forward",
        )
    if not settings.max_profile_seconds:
        yield Complaint(
            ("debug", "max_profile_seconds"), 0, "no profile could be taken", "write more than 0"
        )
