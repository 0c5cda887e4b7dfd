"""Keys that the relayer's and the miner's file share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.config.foreign.rows import Row, above_zero, not_empty

if TYPE_CHECKING:
    from relayminer.config.foreign.rows import Translation

DEFAULT_REDIS: Final = "redis://localhost:6379"

_NO_POOL = "commands of one turn share one connection per store node: there is no pool to size"
_PROFILES = "for this machine alone, whatever the address: 127.0.0.1 with that port"
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


def on_this_machine(value: object) -> object:
    """The port, at a loopback address."""
    if isinstance(value, str) and value.rpartition(":")[2].isdecimal():
        return f"127.0.0.1:{value.rpartition(':')[2]}"
    return value


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
    Row("pprof.enabled", "debug.enabled"),
    Row("pprof.addr", "debug.listen", on_this_machine, _PROFILES),
)

LOGGING: Final = (
    Row("logging.level", "logging.level", log_level),
    Row("logging.format", "logging.format", log_format),
    Row("logging.output", note="logs go to standard error"),
    Row("logging.async"),
    Row("logging.async_buffer_size", "logging.buffer_lines", above_zero),
    Row("logging.async_poll_interval", note="a line is written as soon as the one before it was"),
    Row("logging.sampling", "logging.sampling"),
    Row("logging.sampling_initial", "logging.sampling_initial", above_zero),
    Row("logging.sampling_thereafter", "logging.sampling_thereafter", above_zero),
    Row("logging.enable_caller", "logging.caller"),
)


def finish_common(translation: Translation) -> None:
    """What holds there when the file is silent, where ours differs."""
    translation.default("redis.url", DEFAULT_REDIS)
    translation.default("chain.grpc_insecure", value=False)
    translation.default("logging.format", "json")
    if translation.found("logging.async") is False:
        place = translation.place(("logging", "async"))
        translation.put(("logging", "buffer_lines"), 0, place)
    level = translation.found("logging.level")
    if level is not None and log_level(level) != str(level).lower():
        place = translation.place(("logging", "level"))
        translation.note(place, ("logging", "level"), f"taken as {log_level(level)}")
    for name in ("query_node_rpc_url", "query_node_grpc_url"):
        if not translation.found(f"pocket_node.{name}"):
            translation.missing(("pocket_node", name))
