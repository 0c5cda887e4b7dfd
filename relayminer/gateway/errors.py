"""Errors of the gateway client."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class GatewayError(RelayMinerError):
    """The gateway client could not build, send or accept a relay; says at which step."""
