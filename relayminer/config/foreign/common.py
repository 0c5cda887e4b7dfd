"""Keys that the relayer's and the miner's file share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.config.foreign.rows import Row, not_empty

if TYPE_CHECKING:
    from relayminer.config.foreign.rows import Translation

DEFAULT_REDIS: Final = "redis://localhost:6379"

_NO_POOL = "commands of one turn share one connection per store node: there is no pool to size"
_LOGS = "told on standard error without waiting: there is nothing to set"
_PROFILES = (
    "profiles are not served on an address of their own: see docs/operating.md for how to take one"
)
_NAMESPACE = (
    "base_prefix",
    "cache_prefix",
    "events_prefix",
    "streams_prefix",
    "miner_prefix",
    "supplier_prefix",
    "meter_prefix",
    "params_prefix",
    "consumer_group_prefix",
)


def rpc_url(value: object) -> object:
    """`tcp://` is how CometBFT's own tools write it."""
    if isinstance(value, str) and value.startswith("tcp://"):
        return "http://" + value.removeprefix("tcp://")
    return value


def grpc_address(value: object) -> object:
    """The scheme says nothing there: `grpc_insecure` does."""
    if isinstance(value, str):
        for scheme in ("grpcs://", "grpc://", "https://", "http://"):
            value = value.removeprefix(scheme)
    return value


def log_level(value: object) -> object:
    """What is no level means info."""
    text = str(value).lower()
    if text == "trace":
        return "debug"
    return text if text in {"debug", "info", "warn", "error"} else "info"


def log_format(value: object) -> object:
    """`text` is the console's form."""
    return "console" if value == "text" else "json"


REDIS: Final = (
    Row("redis.url", "redis.url", not_empty),
    Row("redis.pool_size", note=_NO_POOL),
    Row("redis.min_idle_conns", note=_NO_POOL),
    Row("redis.pool_timeout_seconds", note=_NO_POOL),
    Row("redis.conn_max_idle_time_seconds", note=_NO_POOL),
    *(Row(f"redis.namespace.{name}", f"redis.namespace.{name}", not_empty) for name in _NAMESPACE),
)

NODE: Final = (
    Row("pocket_node.query_node_rpc_url", "chain.rpc_url", rpc_url),
    Row("pocket_node.query_node_grpc_url", "chain.grpc_url", grpc_address),
    Row("pocket_node.grpc_insecure", "chain.grpc_insecure"),
)

KEYS: Final = (
    Row("keys.keys_file", "keys.keys_file", not_empty),
    Row("keys.keys_dir", "keys.keys_dir", not_empty),
    Row("keys.keyring.backend", "keys.keyring.backend"),
    Row("keys.keyring.dir", "keys.keyring.dir", not_empty),
    Row("keys.keyring.app_name", "keys.keyring.app_name", not_empty),
    Row("keys.keyring.key_names", "keys.keyring.key_names"),
)

SERVERS: Final = (
    Row("metrics.enabled", "control.enabled"),
    Row("metrics.addr"),
    Row("pprof.enabled", note=_PROFILES),
    Row("pprof.addr", note=_PROFILES),
)

LOGGING: Final = (
    Row("logging.level", "logging.level", log_level),
    Row("logging.format", "logging.format", log_format),
    Row("logging.output", note="logs go to standard error"),
    Row("logging.async", note=_LOGS),
    Row("logging.async_buffer_size", note=_LOGS),
    Row("logging.async_poll_interval", note=_LOGS),
    Row("logging.sampling", note="no line is written per relay, so none is left out"),
    Row("logging.sampling_initial", note="no line is written per relay, so none is left out"),
    Row("logging.sampling_thereafter", note="no line is written per relay, so none is left out"),
    Row(
        "logging.enable_caller", note="a line says its event and fields, not its place in the code"
    ),
)


def finish_common(translation: Translation) -> None:
    """What holds there when the file is silent, where ours differs."""
    translation.default("redis.url", DEFAULT_REDIS)
    translation.default("chain.grpc_insecure", value=False)
    translation.default("logging.format", "json")
    level = translation.found("logging.level")
    if level is not None and log_level(level) != str(level).lower():
        place = translation.place(("logging", "level"))
        translation.note(place, ("logging", "level"), f"taken as {log_level(level)}")
    for name in ("query_node_rpc_url", "query_node_grpc_url"):
        if not translation.found(f"pocket_node.{name}"):
            translation.missing(("pocket_node", name))
