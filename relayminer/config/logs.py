"""Settings of the log."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class LoggingSettings:
    """Logs go to standard error."""

    level: str = "info"
    format: str = "auto"
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."""
    buffer_lines: int = 20_000
    """Lines that may wait to be written; further ones are dropped and counted. 0: every line is
    waited for."""
    sampling: bool = False
    """Whether lines below `warning` that come in masses are thinned out."""
    sampling_initial: int = 100
    """Lines of one event in one second that all pass."""
    sampling_thereafter: int = 10
    """Of further ones, one of so many passes."""
    caller: bool = False
    """Whether a line says its place in the code; costs time."""
