"""The relayer's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from relayminer.config.foreign.common import (
    KEYS,
    LOGGING,
    NODE,
    REDIS,
    SERVERS,
    finish_common,
)
from relayminer.config.foreign.rows import Row, above_zero, address, go_duration

if TYPE_CHECKING:
    from relayminer.config.document import Place
    from relayminer.config.foreign.rows import Translation

_WARM = "caches are filled when they are first asked and kept fresh from then on"
_DIAL = "our dial_timeout_seconds is for TCP and TLS together: their sum"
_BACKEND_CODES: Final = {
    "1": "grpc",
    "2": "websocket",
    "3": "jsonrpc",
    "4": "rest",
    "5": "cometbft",
}
NEVER_SECONDS: Final = 31_536_000.0
"""A year: an endpoint that only a probe brings back."""
_REQUEST_SECONDS: Final = 30
TRANSPORT_PROFILE: Final = "http_transport"
_TRANSPORT: Final = {
    "max_conns_per_host": 500,
    "max_idle_conns_per_host": 100,
    "idle_conn_timeout_seconds": 90,
    "dial_timeout_seconds": 5,
    "tls_handshake_timeout_seconds": 10,
}


def default_backend(value: object) -> object:
    """Also by the number of its RPC type."""
    return _BACKEND_CODES.get(str(value), value)


def recovery_seconds(value: object) -> object:
    """0 and less: only a probe brings an endpoint back."""
    if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
        return NEVER_SECONDS
    return value


def fail_behavior(value: object) -> object:
    """Everything but `closed` means open."""
    return "closed" if value == "closed" else "open"


_BACKEND: Final = "services.*.backends.*"
_OURS: Final = "relayer.services.*.backends.*"
_HEALTH: Final = (
    "enabled",
    "endpoint",
    "method",
    "request_body",
    "content_type",
    "expected_status",
    "expected_body",
    "headers",
)
_HEALTH_COUNTS: Final = (
    "interval_seconds",
    "timeout_seconds",
    "unhealthy_threshold",
    "healthy_threshold",
)

SERVICES: Final = (
    Row("services.*.validation_mode", "relayer.services.*.validation_mode"),
    Row("services.*.timeout_profile", "relayer.services.*.timeout_profile"),
    Row("services.*.pool_profile", "relayer.services.*.pool_profile"),
    Row("services.*.max_body_size_bytes", "relayer.services.*.max_body_bytes", above_zero),
    Row("services.*.default_backend", "relayer.services.*.default_backend", default_backend),
    Row(
        "services.*.request_timeout_seconds",
        "relayer.services.*.request_timeout_seconds",
        above_zero,
        "the Go relayer passes over this; here it holds",
    ),
    Row(f"{_BACKEND}.url", f"{_OURS}.url"),
    Row(f"{_BACKEND}.urls", f"{_OURS}.urls"),
    Row(f"{_BACKEND}.base_path", f"{_OURS}.base_path"),
    Row(f"{_BACKEND}.load_balancing", f"{_OURS}.load_balancing"),
    Row(f"{_BACKEND}.headers", f"{_OURS}.headers"),
    *(
        Row(f"{_BACKEND}.authentication.{name}", f"{_OURS}.authentication.{name}")
        for name in ("username", "password", "bearer_token", "plain_token")
    ),
    Row(f"{_BACKEND}.max_retries", f"{_OURS}.max_retries"),
    Row(
        f"{_BACKEND}.recovery_timeout_seconds",
        f"{_OURS}.recovery_timeout_seconds",
        recovery_seconds,
    ),
    *(Row(f"{_BACKEND}.health_check.{name}", f"{_OURS}.health_check.{name}") for name in _HEALTH),
    *(
        Row(f"{_BACKEND}.health_check.{name}", f"{_OURS}.health_check.{name}", above_zero)
        for name in _HEALTH_COUNTS
    ),
)

_IDENTITY_LIST = "simulation.identities"

ROWS: Final = (
    Row("listen_addr", "relayer.listen", address),
    Row("default_validation_mode", "relayer.validation_mode"),
    Row("default_request_timeout_seconds", "relayer.request_timeout_seconds", above_zero),
    Row("default_max_body_size_bytes", "relayer.max_body_bytes", above_zero),
    Row(
        "grace_period_extra_blocks",
        note="passed over there too: the grace period is the chain's",
    ),
    *REDIS,
    *NODE,
    *KEYS,
    *SERVERS,
    Row("health_check.enabled"),
    Row("health_check.addr"),
    *(
        Row(f"cache_warmup.{name}", note=_WARM)
        for name in (
            "enabled",
            "known_applications",
            "warmup_concurrency",
            "warmup_timeout_seconds",
        )
    ),
    *LOGGING,
    Row("relay_meter.enabled", "relayer.metering.enabled"),
    Row("relay_meter.redis_key_prefix"),
    Row("relay_meter.fail_behavior", "relayer.metering.fail_behavior", fail_behavior),
    Row("relay_meter.cache_ttl", "relayer.metering.cache_ttl_seconds", go_duration),
    Row("response_compression.enabled", "relayer.response_compression.enabled"),
    Row(
        "response_compression.min_size_bytes",
        "relayer.response_compression.min_size_bytes",
        above_zero,
    ),
    Row("http_transport.max_idle_conns", note="idle connections are bounded for each endpoint"),
    Row("http_transport.max_idle_conns_per_host"),
    Row("http_transport.max_conns_per_host"),
    Row("http_transport.idle_conn_timeout_seconds"),
    Row("http_transport.dial_timeout_seconds"),
    Row("http_transport.tls_handshake_timeout_seconds", note=_DIAL),
    Row(
        "http_transport.response_header_timeout_seconds",
        note="without effect there too: the timeout profile's holds",
    ),
    Row("http_transport.expect_continue_timeout_seconds", note="we never send Expect"),
    Row("http_transport.tcp_keep_alive_seconds", note="a connection is looked at before its use"),
    Row(
        "http_transport.disable_compression",
        note="without effect there too: backends are asked for the identity encoding",
    ),
    Row("timeout_profiles.*.request_timeout_seconds"),
    Row("timeout_profiles.*.response_header_timeout_seconds"),
    Row("timeout_profiles.*.dial_timeout_seconds"),
    Row("timeout_profiles.*.tls_handshake_timeout_seconds", note=_DIAL),
    Row("pool_profiles.*.max_conns_per_host"),
    Row("pool_profiles.*.max_idle_conns_per_host"),
    Row("pool_profiles.*.idle_conn_timeout_seconds"),
    *SERVICES,
    Row("simulation.enabled", "relayer.simulation.enabled"),
    Row("simulation.max_concurrent", "relayer.simulation.max_concurrent", above_zero),
    Row(
        "simulation.freshness_window_seconds",
        "relayer.simulation.freshness_window_seconds",
        above_zero,
    ),
    Row(_IDENTITY_LIST, "relayer.simulation.identities"),
)


def finish(translation: Translation) -> None:
    """What one row alone cannot say."""
    finish_common(translation)
    if not translation.found("services"):
        translation.missing(("services",))
    translation.default(
        "relayer.validation_mode",
        "eager",
        "the Go relayer's default is optimistic, which may lose an answered relay; here relays "
        "are checked and logged before they are answered",
    )
    _servers(translation)
    _meter_prefix(translation)
    _timeout_profiles(translation)
    _pool_profiles(translation)
    services = translation.document.values.get("relayer", {}).get("services", {})
    for name, service in services.items():
        if isinstance(service, dict):
            _service(translation, name, service)


def _servers(translation: Translation) -> None:
    """Metrics and health had an address each; both serve the same pages here."""
    addresses: list[tuple[str, Place]] = []
    for section, listen in (("metrics", "0.0.0.0:9090"), ("health_check", "0.0.0.0:8081")):
        if translation.found(f"{section}.enabled") is not False:
            written = translation.found(f"{section}.addr")
            place = translation.place((section, "addr"))
            addresses.append((str(address(written or listen)), place))
    enabled = translation.place(("metrics", "enabled"))
    translation.put(("control", "enabled"), bool(addresses), enabled)
    if not addresses:
        return
    translation.put(("control", "listen"), *addresses[0])
    also = [listen for listen, _ in addresses[1:]]
    if also:
        translation.put(("control", "also_listen"), also, addresses[1][1])


def _meter_prefix(translation: Translation) -> None:
    prefix = translation.found("relay_meter.redis_key_prefix")
    base = translation.found("redis.namespace.base_prefix") or "ha"
    if prefix not in {None, "", base}:
        place = translation.place(("relay_meter", "redis_key_prefix"))
        text = f"meters are kept under redis.namespace.base_prefix ({base}), as all else"
        translation.note(place, (), text)


def _whole(values: dict[str, Any], name: str, otherwise: Any = 0) -> Any:
    value = values.get(name, 0)
    return otherwise if value in {0, None} or (isinstance(value, int) and value < 0) else value


def _transport(translation: Translation, name: str) -> Any:
    section = translation.found("http_transport")
    return _whole(section if isinstance(section, dict) else {}, name, _TRANSPORT[name])


def _seconds(*values: Any) -> Any:
    """Their sum; the first that is no number, so that it is told."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
    return sum(values)


def _timeout_profiles(translation: Translation) -> None:
    """Profiles of the file: a time that one leaves out is the transport's."""
    found = translation.found("timeout_profiles")
    request = translation.found("default_request_timeout_seconds") or _REQUEST_SECONDS
    for name, values in (found if isinstance(found, dict) else {}).items():
        if not isinstance(values, dict):
            continue
        place = translation.place(("timeout_profiles", name))
        dial = _seconds(
            *(
                _whole(values, part, _transport(translation, part))
                for part in ("dial_timeout_seconds", "tls_handshake_timeout_seconds")
            )
        )
        for part, value in (
            ("request_timeout_seconds", _whole(values, "request_timeout_seconds", request)),
            ("response_header_timeout_seconds", values.get("response_header_timeout_seconds", 0)),
            ("dial_timeout_seconds", dial),
        ):
            translation.put(("relayer", "timeout_profiles", name, part), value, place)


def _pool_profiles(translation: Translation) -> None:
    found = translation.found("pool_profiles")
    profiles = dict(found) if isinstance(found, dict) else {}
    if translation.found("http_transport") is not None:
        profiles[TRANSPORT_PROFILE] = {}
    for name, values in profiles.items():
        place = translation.place(("pool_profiles", name))
        if not isinstance(values, dict):
            continue
        for theirs, ours in (
            ("max_conns_per_host", "max_connections"),
            ("max_idle_conns_per_host", "max_idle_connections"),
            ("idle_conn_timeout_seconds", "idle_timeout_seconds"),
        ):
            value = _whole(values, theirs, _transport(translation, theirs))
            translation.put(("relayer", "pool_profiles", name, ours), value, place)


def _service(translation: Translation, name: str, service: dict[str, Any]) -> None:
    place = translation.place(("services", name))
    key = ("relayer", "services", name)
    if not service.get("timeout_profile"):
        translation.put((*key, "timeout_profile"), "fast", place)
    if not service.get("pool_profile") and translation.found("http_transport") is not None:
        translation.put((*key, "pool_profile"), TRANSPORT_PROFILE, place)
    backends = service.get("backends")
    for rpc_type, backend in (backends if isinstance(backends, dict) else {}).items():
        if isinstance(backend, dict):
            _backend(translation, (name, rpc_type), backend)


def _backend(translation: Translation, names: tuple[str, str], backend: dict[str, Any]) -> None:
    service, rpc_type = names
    for url in ("url", "urls"):
        if url in backend:
            backend[url] = _with_scheme(backend[url], rpc_type)
    count = backend.get("health_check")
    threshold = count.get("unhealthy_threshold", 0) if isinstance(count, dict) else 0
    if threshold:
        place = translation.place(
            ("services", service, "backends", rpc_type, "health_check", "unhealthy_threshold")
        )
        key = ("relayer", "services", service, "backends", rpc_type, "unhealthy_threshold")
        translation.put(key, threshold, place)


def _with_scheme(value: Any, rpc_type: str) -> Any:
    """An address without a scheme is HTTP's; of gRPC and WebSocket backends it stays."""
    if isinstance(value, list):
        return [_with_scheme(one, rpc_type) for one in value]
    if isinstance(value, dict):
        return {**value, "url": _with_scheme(value.get("url"), rpc_type)}
    bare = isinstance(value, str) and value and "://" not in value
    return f"http://{value}" if bare and rpc_type not in {"grpc", "websocket"} else value
