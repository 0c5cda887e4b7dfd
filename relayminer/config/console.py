"""Settings of the operator's web pages."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from attrs import field, frozen

from relayminer.config.complaint import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen(kw_only=True)
class ConsoleSettings:
    """Web pages for the operator: read-only, without anything from another host."""

    enabled: bool = False
    listen: str = "127.0.0.1:8095"
    token: str = field(default="", repr=False)
    """Asked for once in a browser, as `?token=...`; needed beyond this machine."""
    interval_seconds: float = 1.0
    """How often an open page is told what is new."""
    max_watchers: int = 20
    """Pages that may be open at once."""


def check_console(settings: ConsoleSettings) -> Iterator[Complaint]:
    """Nobody beyond this machine looks in without a token."""
    host = settings.listen.rpartition(":")[0].strip("[]")
    if settings.enabled and not settings.token and not is_loopback(host):
        yield Complaint(
            ("console", "listen"),
            settings.listen,
            "whoever reaches that address sees everything",
            "write 127.0.0.1:PORT, or set console.token",
        )
    for name in ("interval_seconds", "max_watchers"):
        if not getattr(settings, name):
            yield Complaint(("console", name), 0, "0 would stop everything", "write more than 0")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
