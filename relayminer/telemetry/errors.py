"""Errors of logs and metrics."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class TelemetryError(RelayMinerError):
    """A metric was declared twice, or with labels that do not fit."""
