"""Settings of simulated relays and of compressed answers, and what can be wrong with them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from attrs import frozen

from relayminer.config.complaint import Complaint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from relayminer.config.complaint import Key

_KEY_BYTES: Final = 33


@frozen(kw_only=True)
class SimulatedIdentitySettings:
    """Whose simulated relays are served: an application and the gateways that may sign for it."""

    key_id: str = ""
    """What the header `Pocket-Simulation-Key-Id` says."""
    enabled: bool = False
    not_after: str = ""
    """RFC 3339; empty: for ever."""
    max_rps: int = 5
    """Simulated relays a second, and at once after a pause."""
    app_pubkey_hex: str = ""
    """Compressed secp256k1 key: 66 hex digits."""
    gateway_pubkeys_hex: tuple[str, ...] = ()
    allowed_services: tuple[str, ...] = ()
    """Empty: all that are configured."""


@frozen(kw_only=True)
class SimulationSettings:
    """Probes by an operator: real signatures and backends, never metered, logged or mined."""

    enabled: bool = False
    max_concurrent: int = 32
    freshness_window_seconds: int = 30
    """How far a request's own clock may be from ours."""
    identities: tuple[SimulatedIdentitySettings, ...] = ()


@frozen(kw_only=True)
class CompressionSettings:
    """Gzip of answers to clients that accept it; costs more CPU than most networks save."""

    enabled: bool = False
    min_size_bytes: int = 1024


def parse_not_after(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.timestamp()


def check_simulation(
    key: Key, settings: SimulationSettings, services: Collection[str]
) -> Iterator[Complaint]:
    """Identities that can be used; nothing is said while the feature is off."""
    if not settings.enabled:
        return
    for name in ("max_concurrent", "freshness_window_seconds"):
        if getattr(settings, name) <= 0:
            fix = "write more than 0"
            yield Complaint((*key, name), getattr(settings, name), "nothing would be served", fix)
    if not settings.identities:
        fix = "add one, or write enabled: false"
        yield Complaint((*key, "identities"), None, "enabled but no identities are pinned", fix)
    seen = set()
    for index, identity in enumerate(settings.identities):
        place: Key = (*key, "identities", index)
        if not identity.key_id or identity.key_id in seen:
            reason = "used twice" if identity.key_id else "empty"
            fix = "write a name of its own"
            yield Complaint((*place, "key_id"), identity.key_id, reason, fix)
        seen.add(identity.key_id)
        yield from _check_identity(place, identity, services)


def _check_identity(
    place: Key, identity: SimulatedIdentitySettings, services: Collection[str]
) -> Iterator[Complaint]:
    if identity.max_rps <= 0:
        yield Complaint((*place, "max_rps"), identity.max_rps, "not a rate", "write 1 or more")
    if identity.not_after:
        try:
            parse_not_after(identity.not_after)
        except ValueError as error:
            reason = f"not a time of RFC 3339: {error}"
            fix = 'write it as "2030-01-31T00:00:00Z"'
            yield Complaint((*place, "not_after"), identity.not_after, reason, fix)
    if not identity.gateway_pubkeys_hex:
        fix = "add the key that signs"
        yield Complaint((*place, "gateway_pubkeys_hex"), None, "no gateway key", fix)
    keys = [("app_pubkey_hex", identity.app_pubkey_hex)]
    keys += [("gateway_pubkeys_hex", text) for text in identity.gateway_pubkeys_hex]
    for name, text in keys:
        if reason := _bad_key(text):
            fix = "write the compressed secp256k1 key, 66 hex digits"
            yield Complaint((*place, name), text, reason, fix)
    for service in identity.allowed_services:
        if service not in services:
            fix = f"write one of {', '.join(services)}" if services else "configure the service"
            yield Complaint((*place, "allowed_services"), service, "not a service of ours", fix)


def _bad_key(text: str) -> str:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return "not hex"
    if len(data) != _KEY_BYTES:
        return f"{len(data)} bytes, not 33"
    # Imported here: `--help` and whoever only reads settings do without the curve.
    import coincurve  # noqa: PLC0415

    try:
        coincurve.PublicKey(data)
    except ValueError:
        return "not a point of the curve"
    return ""
