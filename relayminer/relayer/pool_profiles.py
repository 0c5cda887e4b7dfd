"""Times and connections of a service's backends: its own settings, its profile's, the relayer's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from relayminer.relayer.errors import RelayerConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.config.settings import RelayerSettings, ServiceSettings

Profile = TypeVar("Profile")
_IDLE_CONNECTIONS = 100
_IDLE_SECONDS = 90.0


@frozen
class Timeouts:
    """Of one backend exchange, in seconds."""

    request_seconds: float
    response_header_seconds: float
    dial_seconds: float


@frozen
class PoolLimits:
    """Of the connections to one endpoint.

    Attributes:
        profile: its name, empty when the service has none.
    """

    profile: str
    max_connections: int
    max_idle_connections: int
    idle_seconds: float


def timeouts_of(common: RelayerSettings, service: str, settings: ServiceSettings) -> Timeouts:
    """The service's times.

    Raises:
        RelayerConfigurationError: it names a profile that there is not.
    """
    request, header, dial = (
        common.request_timeout_seconds,
        common.response_header_timeout_seconds,
        common.dial_timeout_seconds,
    )
    if settings.timeout_profile:
        profile = _named(common.timeout_profiles, settings.timeout_profile, service, "timeout")
        request = profile.request_timeout_seconds or request
        # 0 of a profile is no limit: that is what a profile for streams is for.
        header = profile.response_header_timeout_seconds or math.inf
        dial = profile.dial_timeout_seconds or dial
    return Timeouts(
        settings.request_timeout_seconds or request,
        settings.response_header_timeout_seconds or header,
        settings.dial_timeout_seconds or dial,
    )


def pool_limits_of(common: RelayerSettings, service: str, settings: ServiceSettings) -> PoolLimits:
    """The service's connections.

    Raises:
        RelayerConfigurationError: it names a profile that there is not.
    """
    most = common.max_connections_per_endpoint
    if not settings.pool_profile:
        most = settings.max_connections or most
        return PoolLimits("", most, max(_IDLE_CONNECTIONS, most), _IDLE_SECONDS)
    profile = _named(common.pool_profiles, settings.pool_profile, service, "pool")
    return PoolLimits(
        settings.pool_profile,
        settings.max_connections or profile.max_connections or most,
        profile.max_idle_connections or _IDLE_CONNECTIONS,
        profile.idle_timeout_seconds or _IDLE_SECONDS,
    )


def _named(known: Mapping[str, Profile], name: str, service: str, kind: str) -> Profile:
    try:
        return known[name]
    except KeyError:
        raise RelayerConfigurationError(
            f"service {service} references undefined {kind} profile {name}; "
            f"known: {', '.join(known)}"
        ) from None
