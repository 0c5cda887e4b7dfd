"""What types cannot say: values that must be one of a few, addresses, and settings that must agree.

Every check is a small function from the settings to the problems it sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relayminer.config.complaint import Complaint, Key
from relayminer.config.console import check_console
from relayminer.config.debug import check_debug
from relayminer.config.document import dotted
from relayminer.config.entrance import check_entrance
from relayminer.config.notify import check_notify
from relayminer.config.redis_checks import check_redis
from relayminer.config.settings import (
    BACKEND_TYPES,
    KEYRING_BACKENDS,
    VALIDATION_MODES,
    BackendSettings,
    ServiceSettings,
    Settings,
)
from relayminer.config.simulation import check_simulation
from relayminer.config.tracing import check_tracing
from relayminer.config.traffic_checks import check_probes, check_protocol, check_traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKEND_ALIASES = {
    "json_rpc": "jsonrpc",
    "json-rpc": "jsonrpc",
    "http": "jsonrpc",
    "https": "jsonrpc",
    "ws": "websocket",
    "wss": "websocket",
    "web_socket": "websocket",
    "comet_bft": "cometbft",
    "comet": "cometbft",
    "tendermint": "cometbft",
    "grpcs": "grpc",
}
BACKEND_SCHEMES = {
    "jsonrpc": ("http", "https"),
    "rest": ("http", "https"),
    "cometbft": ("http", "https"),
    "websocket": ("ws", "wss", "http", "https"),
    "grpc": ("grpc", "grpcs", "http", "https"),
}
LOAD_BALANCING = ("", "first_healthy", "round_robin", "ranked")
MAX_SERVICE_ID_LENGTH = 42

_SERVICE_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_SERVICE_ID_LENGTH}}}")
_GAS_PRICE = re.compile(
    r"\s*([0-9]+(\.[0-9]{1,18})?|\.[0-9]{1,18})\s*[a-zA-Z][a-zA-Z0-9/:._-]{2,127}\s*"
)
_NAMESPACE_PART = re.compile(r"[A-Za-z0-9_.-]+")
_MAX_PORT = 65_535
_MAX_LIFETIME_SECONDS = 600.0
_MAX_MEMO_CHARACTERS = 256
_MIN_GAS_ADJUSTMENT = 1.0


def check_settings(settings: Settings) -> Iterator[Complaint]:
    """All complaints of all checks."""
    yield from check_choices(settings)
    yield from check_redis(settings)
    yield from check_namespace(settings)
    yield from check_chain(settings)
    yield from check_transactions(settings)
    yield from check_positive(settings)
    yield from check_leases(settings)
    yield from check_websocket(settings)
    yield from check_listen(settings)
    yield from check_console(settings.console)
    yield from check_debug(settings.debug)
    yield from check_notify(settings.notify)
    yield from check_tracing(settings.tracing)
    relayer = settings.relayer
    yield from check_entrance(("relayer",), relayer.tls, relayer.proxy_protocol)
    yield from check_simulation(("relayer", "simulation"), relayer.simulation, relayer.services)
    for service_id, service in relayer.services.items():
        yield from check_service(service_id, service)
        yield from check_traffic(("relayer", "services", service_id), service, settings.relayer)


def check_choices(settings: Settings) -> Iterator[Complaint]:
    """Settings that are one of a few words."""
    keyring = settings.keys.keyring
    choices: list[tuple[str, str, tuple[str, ...]]] = [
        ("redis.appendfsync", settings.redis.appendfsync, ("everysec", "always")),
        ("relayer.validation_mode", settings.relayer.validation_mode, VALIDATION_MODES),
        ("relayer.publish", settings.relayer.publish, ("confirm", "after")),
        ("relayer.when_store_away", settings.relayer.when_store_away, ("spool", "refuse")),
        (
            "relayer.metering.fail_behavior",
            settings.relayer.metering.fail_behavior,
            ("open", "closed"),
        ),
        (
            "logging.level",
            settings.logging.level.lower(),
            ("debug", "info", "warning", "warn", "error"),
        ),
        ("logging.format", settings.logging.format, ("auto", "json", "console")),
        ("keys.keyring.backend", keyring.backend if keyring else "test", KEYRING_BACKENDS),
    ]
    for key, value, allowed in choices:
        yield from _one_of(tuple(key.split(".")), value, allowed)


def check_namespace(settings: Settings) -> Iterator[Complaint]:
    """Segments of key names are words without colons."""
    namespace = settings.redis.namespace
    for name in type(namespace).__annotations__:
        value = getattr(namespace, name)
        if not _NAMESPACE_PART.fullmatch(value):
            yield Complaint(
                ("redis", "namespace", name),
                value,
                "not a word of letters, digits, `_`, `-` and `.`",
                "leave it out to take the default",
            )


def check_chain(settings: Settings) -> Iterator[Complaint]:
    """The node's addresses can be addresses."""
    chain = settings.chain
    if not chain.chain_id.strip():
        yield Complaint(("chain", "chain_id"), chain.chain_id, "empty", "write the chain's id")
    rpc: list[tuple[Key, str]] = [(("chain", "rpc_url"), chain.rpc_url)]
    rpc += [(("chain", "rpc_urls", index), url) for index, url in enumerate(chain.rpc_urls)]
    for key, url in rpc:
        yield from _url(key, url, ("http", "https", "tcp"))
    grpc: list[tuple[Key, str]] = [(("chain", "grpc_url"), chain.grpc_url)]
    for name, urls in (("grpc_urls", chain.grpc_urls), ("broadcast_urls", chain.broadcast_urls)):
        grpc += [(("chain", name, index), url) for index, url in enumerate(urls)]
    for key, url in grpc:
        address = url.partition("://")[2] or url
        if wrong := _bad_address(address.rstrip("/"), lowest_port=1):
            yield Complaint(key, url, wrong, "write host:port")
    for name in ("rpc_urls", "grpc_urls", "broadcast_urls"):
        urls = getattr(chain, name)
        if len(set(urls)) != len(urls):
            yield Complaint(("chain", name), None, "a node twice", "name each node once")


def check_transactions(settings: Settings) -> Iterator[Complaint]:
    """Prices and bounds that the chain accepts."""
    transactions = settings.transactions
    if not _GAS_PRICE.fullmatch(transactions.gas_price):
        yield Complaint(
            ("transactions", "gas_price"),
            transactions.gas_price,
            "not a price of at most 18 digits behind the point",
            "write a number and a denomination, as in 0.000001upokt",
        )
    if transactions.gas_adjustment < _MIN_GAS_ADJUSTMENT:
        yield Complaint(
            ("transactions", "gas_adjustment"),
            transactions.gas_adjustment,
            "asks for less gas than the simulation used",
            "write 1 or more; 1.7 is the default",
        )
    if not 0 < transactions.lifetime_max_seconds < _MAX_LIFETIME_SECONDS:
        yield Complaint(
            ("transactions", "lifetime_max_seconds"),
            transactions.lifetime_max_seconds,
            "the chain refuses transactions that live for 10 minutes or more",
            "write a number from 1 to 599",
        )
    if len(transactions.memo) > _MAX_MEMO_CHARACTERS:
        yield Complaint(
            ("transactions", "memo"),
            transactions.memo,
            "the chain refuses memos of more than 256 characters",
            "shorten it",
        )


_POSITIVE = (
    "redis.max_queued_bytes",
    "redis.watch_interval_seconds",
    "redis.command_timeout_seconds",
    "redis.reconnect_backoff_max_seconds",
    "redis.max_queued_commands",
    "chain.query_timeout_seconds",
    "chain.max_concurrent_queries",
    "chain.poll_interval_seconds",
    "chain.block_time_seconds",
    "chain.node_check_interval_seconds",
    "chain.max_node_lag_blocks",
    "transactions.gas_fallback_per_message",
    "relayer.max_body_bytes",
    "relayer.max_header_bytes",
    "relayer.header_timeout_seconds",
    "relayer.body_timeout_seconds",
    "relayer.idle_timeout_seconds",
    "relayer.max_connections",
    "relayer.max_streams_per_connection",
    "relayer.max_grpc_message_bytes",
    "relayer.request_timeout_seconds",
    "relayer.response_header_timeout_seconds",
    "relayer.dial_timeout_seconds",
    "relayer.max_connections_per_endpoint",
    "relayer.max_response_bytes",
    "relayer.max_answer_bytes_in_flight",
    "relayer.max_in_flight",
    "relayer.publish_timeout_seconds",
    "relayer.spool_max_bytes",
    "relayer.max_ring_members",
    "relayer.replay_filter_entries",
    "relayer.response_compression.min_size_bytes",
    "relayer.session_cache_entries",
    "relayer.metering.lease_relays",
    "relayer.websocket.max_message_bytes",
    "relayer.websocket.ping_interval_seconds",
    "relayer.websocket.read_timeout_seconds",
    "relayer.websocket.write_timeout_seconds",
    "relayer.websocket.close_timeout_seconds",
    "relayer.metering.cache_ttl_seconds",
    "miner.batch_entries",
    "miner.read_bytes_max",
    "miner.open_leaves_max",
    "miner.read_block_seconds",
    "miner.claim_idle_seconds",
    "miner.cache_ttl_seconds",
    "miner.submission_tracking_ttl_seconds",
    "miner.reconcile_interval_seconds",
    "miner.max_messages_per_transaction",
    "cache.refresh_interval_blocks",
    "cache.memory_entries",
)


def check_positive(settings: Settings) -> Iterator[Complaint]:
    """Limits and times that mean nothing at 0."""
    for path in _POSITIVE:
        key = tuple(path.split("."))
        value: object = settings
        for name in key:
            value = getattr(value, name)
        if not value:
            yield Complaint(key, value, "0 would stop everything", "write more than 0")


def check_leases(settings: Settings) -> Iterator[Complaint]:
    """A lease is renewed at least twice in its life, so that one late renewal loses nothing."""
    for name, lease in (("miner", settings.miner), ("cache", settings.cache)):
        ttl_seconds, renew_seconds = lease.lease_ttl_seconds, lease.lease_renew_seconds
        if not 0 < renew_seconds * 2 <= ttl_seconds:
            yield Complaint(
                (name, "lease_renew_seconds"),
                renew_seconds,
                f"a lease of {ttl_seconds:g} s is not renewed twice in its life",
                f"write more than 0 and at most {ttl_seconds / 2:g}"
                if ttl_seconds
                else "write lease_ttl_seconds: 4 and lease_renew_seconds: 1",
            )


def check_websocket(settings: Settings) -> Iterator[Complaint]:
    """A side that only answers pings must not be taken for dead."""
    websocket = settings.relayer.websocket
    if websocket.ping_interval_seconds >= websocket.read_timeout_seconds > 0:
        yield Complaint(
            ("relayer", "websocket", "ping_interval_seconds"),
            websocket.ping_interval_seconds,
            f"not below read_timeout_seconds ({websocket.read_timeout_seconds:g})",
            "write less, or a longer read_timeout_seconds",
        )


def check_listen(settings: Settings) -> Iterator[Complaint]:
    """Addresses to listen at exist and do not collide."""
    addresses: dict[Key, str] = {("relayer", "listen"): settings.relayer.listen}
    if settings.control.enabled:
        addresses["control", "listen"] = settings.control.listen
        for index, address in enumerate(settings.control.also_listen):
            addresses["control", "also_listen", index] = address
    if settings.console.enabled:
        addresses["console", "listen"] = settings.console.listen
    if settings.debug.enabled:
        addresses["debug", "listen"] = settings.debug.listen
    for key, address in addresses.items():
        if wrong := _bad_address(address, lowest_port=0, may_lack_host=True):
            yield Complaint(key, address, wrong, "write host:port, as in 0.0.0.0:8080")
    taken: dict[str, Key] = {}
    for key, address in addresses.items():
        port = address.rpartition(":")[2]
        if port in taken and port != "0":
            reason = f"the port of {dotted(taken[port])}"
            yield Complaint(key, address, reason, "choose another port")
        taken.setdefault(port, key)


def check_service(service_id: str, service: ServiceSettings) -> Iterator[Complaint]:
    """One service: its id, its backends, and what it answers with by default."""
    key: Key = ("relayer", "services", service_id)
    if not _SERVICE_ID.fullmatch(service_id):
        yield Complaint(
            key,
            None,
            f"not a service id: 1 to {MAX_SERVICE_ID_LENGTH} letters, digits, `_` and `-`",
            "write the id as the chain has it",
        )
    if service.validation_mode:
        yield from _one_of((*key, "validation_mode"), service.validation_mode, VALIDATION_MODES)
    if not service.backends:
        yield Complaint((*key, "backends"), None, "no backend", "add one, such as `jsonrpc:`")
    for rpc_type, backend in service.backends.items():
        yield from check_backend((*key, "backends", rpc_type), rpc_type, backend)
    if len(service.backends) > 1 and service.default_backend not in service.backends:
        yield Complaint(
            (*key, "default_backend"),
            service.default_backend,
            "no backend of this service",
            f"write one of {', '.join(service.backends)}",
        )


def check_backend(key: Key, rpc_type: str, backend: BackendSettings) -> Iterator[Complaint]:
    """One backend: a known type, and addresses that fit it."""
    if rpc_type not in BACKEND_TYPES:
        meant = BACKEND_ALIASES.get(rpc_type.lower())
        known = f"here it is called `{meant}`" if meant else f"known: {', '.join(BACKEND_TYPES)}"
        yield Complaint(key, None, "not a type of backend", known)
        return
    if bool(backend.url) == bool(backend.urls):
        reason = "both `url` and `urls`" if backend.url else "neither `url` nor `urls`"
        yield Complaint(key, None, reason, "write exactly one of them")
    schemes = BACKEND_SCHEMES[rpc_type]
    if backend.url:
        yield from _url((*key, "url"), backend.url, schemes, may_be_address=rpc_type == "grpc")
    for index, endpoint in enumerate(backend.urls):
        place = (*key, "urls", index)
        yield from _url(place, endpoint.url, schemes, may_be_address=rpc_type == "grpc")
    yield from _one_of((*key, "load_balancing"), backend.load_balancing, LOAD_BALANCING)
    addresses = [backend.url, *(one.url for one in backend.urls)]
    yield from check_protocol(key, rpc_type, backend, filter(None, addresses))
    yield from check_probes(key, rpc_type, backend)
    authentication = backend.authentication
    if authentication.password and not authentication.username:
        yield Complaint(
            (*key, "authentication", "password"),
            authentication.password,
            "a password without a username",
            "add `username:`",
        )


def _one_of(key: Key, value: str, allowed: tuple[str, ...]) -> Iterator[Complaint]:
    if value not in allowed:
        shown = ", ".join(word for word in allowed if word)
        yield Complaint(key, value, "not one of the known words", f"write one of {shown}")


def _url(
    key: Key, url: str, schemes: tuple[str, ...], *, may_be_address: bool = False
) -> Iterator[Complaint]:
    if may_be_address and "://" not in url:
        if wrong := _bad_address(url, lowest_port=1):
            yield Complaint(key, url, wrong, "write host:port")
        return
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        yield Complaint(
            key, url, f"does not start with {wanted}", f"write {schemes[0]}://host:port"
        )
    elif wrong := _bad_authority(url):
        yield Complaint(key, url, wrong, f"write {scheme}://host:port")


def _bad_authority(url: str) -> str:
    """Why a URL's host and port cannot be used, or empty."""
    if re.search(r"[\x00-\x20\x7f]", url):
        return "has white space in it"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if not parts.hostname:
        return "no host"
    return "port 0" if port == 0 else ""


def _bad_address(address: str, *, lowest_port: int, may_lack_host: bool = False) -> str:
    """Why `host:port` cannot be used, or empty."""
    host, separator, port = address.rpartition(":")
    if not separator or not (host or may_lack_host):
        return "not host:port"
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return "an IPv6 address without brackets"
    if re.search(r"[\x00-\x20\x7f/]", host):
        return "a host with characters that no host has"
    if not port.isascii() or not port.isdigit() or not lowest_port <= int(port) <= _MAX_PORT:
        return f"port {port!r} is not a number from {lowest_port} to {_MAX_PORT}"
    return ""
