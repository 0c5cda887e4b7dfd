"""What can go wrong with telling a story."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class StoryError(RelayMinerError):
    """Root of the errors of this package."""


class UnknownSessionError(StoryError):
    """Nothing is known of a session, or several fit what was asked for."""
