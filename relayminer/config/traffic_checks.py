"""Checks of the settings between a relay and its backend: probes, queues, lanes, profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.config.complaint import Complaint, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.config.settings import BackendSettings, RelayerSettings, ServiceSettings

_FAIR_BY = ("application", "supplier")
_MAX_RETRIES = 3
_WHOLE_SERVICE = "service"
_HEIGHT_TYPES = ("jsonrpc", "cometbft", "rest")


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
