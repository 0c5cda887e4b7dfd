"""Checks of the settings between a relay and its backend: probes, queues, lanes, profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.config.complaint import Complaint, Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from relayminer.config.settings import BackendSettings, RelayerSettings, ServiceSettings

_FAIR_BY = ("application", "supplier")
_MAX_RETRIES = 3
_WHOLE_SERVICE = "service"
_PROTOCOLS = ("auto", "http1", "http2", "alpn")
_AUTO, _GRPC, _WEBSOCKET = "auto", "grpc", "websocket"
_HEIGHT_TYPES = ("jsonrpc", "cometbft", "rest")


def check_protocol(
    key: Key, rpc_type: str, backend: BackendSettings, addresses: Iterable[str]
) -> Iterator[Complaint]:
    """Which HTTP a backend speaks, and whom to believe there."""
    place = (*key, "protocol")
    if backend.protocol not in _PROTOCOLS:
        yield Complaint(
            place,
            backend.protocol,
            "not one of the known words",
            f"write one of {', '.join(_PROTOCOLS)}",
        )
    elif backend.protocol != _AUTO and rpc_type == _WEBSOCKET:
        yield Complaint(place, backend.protocol, "a WebSocket begins with HTTP/1.1", "leave it out")
    elif backend.protocol == "http1" and rpc_type == _GRPC:
        yield Complaint(place, backend.protocol, "gRPC needs HTTP/2", "leave it out")
    elif backend.protocol == "alpn" and any(not _is_secure(url) for url in addresses):
        yield Complaint(
            place,
            backend.protocol,
            "only TLS has ALPN",
            "write http1 or http2, or https:// addresses",
        )
    if backend.tls.insecure and backend.tls.ca_file is not None:
        yield Complaint(
            (*key, "tls", "insecure"),
            True,  # noqa: FBT003 - the value
            "who believes anybody needs no authorities",
            "take out one of the two",
        )


def _is_secure(url: str) -> bool:
    return url.lower().startswith(("https://", "grpcs://", "wss://"))


def check_probes(key: Key, rpc_type: str, backend: BackendSettings) -> Iterator[Complaint]:
    """Probes and the freshness guard of one backend."""
    health, freshness = backend.health_check, backend.freshness
    if backend.max_retries > _MAX_RETRIES:
        yield Complaint(
            (*key, "max_retries"),
            backend.max_retries,
            "every retry takes from the time of the first attempt",
            f"write a number from 0 to {_MAX_RETRIES}",
        )
    if health.enabled:
        for name in (
            "interval_seconds",
            "timeout_seconds",
            "unhealthy_threshold",
            "healthy_threshold",
        ):
            if not getattr(health, name):
                yield _zero((*key, "health_check", name))
    if not freshness.max_lag_blocks:
        return
    if rpc_type not in _HEIGHT_TYPES:
        yield Complaint(
            (*key, "freshness", "max_lag_blocks"),
            freshness.max_lag_blocks,
            f"a {rpc_type} backend cannot be asked for its height",
            f"leave it out; it works for {', '.join(_HEIGHT_TYPES)}",
        )
    if rpc_type == "rest" and not (freshness.path and freshness.height_field):
        yield Complaint(
            (*key, "freshness", "path"),
            freshness.path,
            "REST has no height of its own",
            "write `path:` and `height_field:`, where the answer has it",
        )
    for name in ("interval_seconds", "timeout_seconds"):
        if not getattr(freshness, name):
            yield _zero((*key, "freshness", name))


def check_traffic(
    key: Key, service: ServiceSettings, relayer: RelayerSettings
) -> Iterator[Complaint]:
    """Limits, lanes and profiles of one service."""
    if service.admission.fair_by not in _FAIR_BY:
        yield Complaint(
            (*key, "admission", "fair_by"),
            service.admission.fair_by,
            "not one of the known words",
            f"write one of {', '.join(_FAIR_BY)}",
        )
    for name, lane in service.lanes.items():
        if not lane.max_in_flight:
            yield _zero((*key, "lanes", name, "max_in_flight"))
        if name == _WHOLE_SERVICE:
            yield Complaint(
                (*key, "lanes", name),
                None,
                "pages and metrics call the service's own limit so",
                "give the lane another name",
            )
        if not lane.methods and not lane.log_range_blocks:
            yield Complaint(
                (*key, "lanes", name, "methods"),
                None,
                "nothing belongs into this lane",
                'name methods, as in ["trace_*"], or set log_range_blocks',
            )
    for kind, chosen, known in (
        ("timeout_profile", service.timeout_profile, relayer.timeout_profiles),
        ("pool_profile", service.pool_profile, relayer.pool_profiles),
    ):
        if chosen and chosen not in known:
            yield Complaint(
                (*key, kind),
                chosen,
                f"there is no such profile in relayer.{kind}s",
                f"write one of {', '.join(known)}",
            )


def _zero(key: Key) -> Complaint:
    return Complaint(key, 0, "0 would stop everything", "write more than 0")
