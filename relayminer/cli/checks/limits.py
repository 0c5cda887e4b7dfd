"""Whether this process may open as many files as its configuration can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.net.descriptors import UNLIMITED, open_files_limit
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.pool_profiles import pool_limits_of

if TYPE_CHECKING:
    from relayminer.config.settings import RelayerSettings, Settings

OWN_FILES: Final = 200
"""The store, the nodes of the chain, the control plane, files of the data directory."""
LEAST_FILES: Final = 256
"""With fewer a process does not get through its start."""
_WEBSOCKET: Final = "websocket"


def check_open_files(settings: Settings, allowed: int | None = None) -> Finding:
    """The limit of open files is enough for all connections that the settings allow.

    Args:
        settings: of the node.
        allowed: files that may be open; None asks the system.
    """
    subject = "open files"
    limit = open_files_limit() if allowed is None else allowed
    needs = wanted_files(settings.relayer) if settings.relayer.services else {"": 0}
    wanted = OWN_FILES + sum(needs.values())
    if limit == UNLIMITED:
        return Finding(subject, OK, "no limit")
    found = f"{limit:,} allowed"
    if settings.relayer.services:
        parts = ", ".join(f"{count:,} {what}" for what, count in needs.items() if count)
        found = f"{found}, up to {wanted:,} wanted ({parts}, {OWN_FILES} of its own)"
    if limit >= wanted and limit >= LEAST_FILES:
        return Finding(subject, OK, found)
    remedy = f"LimitNOFILE={wanted} in the systemd unit, or `ulimit -n {wanted}` before the start"
    if settings.relayer.services:
        remedy += "; or allow fewer with relayer.max_connections and pool profiles"
    return Finding(subject, FAIL if limit < LEAST_FILES else WARN, found, remedy)


def wanted_files(settings: RelayerSettings) -> dict[str, int]:
    """Connections that a relayer may have at once, by what they are for."""
    most = idle = conversations = 0
    for service_id, service in settings.services.items():
        try:
            limits = pool_limits_of(settings, service_id, service)
        except RelayerConfigurationError:
            # The backends' own check tells of the profile that there is not.
            continue
        for rpc_type, backend in service.backends.items():
            if rpc_type == _WEBSOCKET:
                # Each conversation has a connection of its own, which no pool counts.
                conversations = settings.max_connections
                continue
            endpoints = max(1, len(backend.urls))
            most += limits.max_connections * endpoints
            idle += limits.max_idle_connections * endpoints
    return {
        "of clients": settings.max_connections,
        # No more are in use than relays are in flight; the others are kept, idle, for the next.
        "to backends": min(most, settings.max_in_flight + idle),
        "of WebSocket conversations to backends": conversations,
    }
