"""Every mistake is told with file, line, setting, value, reason and fix, all of them at once."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayminer.config import ConfigError, Settings, load
from relayminer.config.chain import ChainSettings
from relayminer.config.masking import MASK, masked_url
from relayminer.config.settings import BackendSettings, RedisSettings

if TYPE_CHECKING:
    from pathlib import Path

VALID: dict[str, Any] = {
    "redis": {"url": "redis://127.0.0.1:6379"},
    "chain": {"chain_id": "pocket", "rpc_url": "https://node/rpc", "grpc_url": "node:9090"},
    "relayer": {
        "listen": "0.0.0.0:8080",
        "services": {
            "eth": {
                "backends": {
                    "jsonrpc": {"url": "http://127.0.0.1:8545"},
                    "websocket": {"urls": ["ws://a:1", {"url": "wss://b", "name": "b"}]},
                    "grpc": {"url": "127.0.0.1:50051"},
                }
            },
            "rest-only": {"backends": {"rest": {"url": "http://[::1]:80/x?key=1"}}},
        },
    },
    "miner": {"lease_ttl_seconds": 4, "lease_renew_seconds": "500ms"},
    "control": {"listen": "127.0.0.1:9092"},
}

# Setting, value, and a part of what must be said about it. None as value: the key is removed.
MISTAKES: list[tuple[str, Any, str]] = [
    ("redis.ulr", "x", "did you mean `url`?"),
    ("redis.max-queued-commands", 5, "did you mean `max_queued_commands`?"),
    ("redis.url", "http://a", "neither `embedded` nor the URL"),
    ("redis.url", "redis://", "no host"),
    ("redis.url", "redis://a:99999", "Port out of range"),
    ("redis.url", "redis://a:1,b:2", "several hosts"),
    ("redis.url", "redis-sentinel://a:1,b:2", "no name of the primary"),
    ("redis.url", "redis-sentinel://a:1,b:99999/m", "Port out of range"),
    ("redis.url", "redis-sentinel://", "no host"),
    ("redis.url", "rediss-cluster://a:1,b:2", "in one slot"),
    ("redis.memory_shed_ratio", 2, "not between memory_warn_ratio"),
    ("redis.url", 5, "a whole number, not a text"),
    ("relayer.tls", {"certificate": "a.crt"}, "a certificate and its key belong together"),
    ("relayer.tls", {"client_ca": "ca.crt"}, "clients show certificates over TLS only"),
    ("relayer.tls.min_version", "1.1", "not a version of TLS that is safe"),
    ("relayer.tls.max_handshakes", 0, "0 would stop everything"),
    ("relayer.proxy_protocol.trusted", ["10.0.0.1/8"], "has host bits set"),
    ("relayer.max_answer_bytes_in_flight", 0, "0 would stop everything"),
    ("relayer.services.eth.backends.jsonrpc.protocol", "spdy", "not one of the known words"),
    ("relayer.services.eth.backends.jsonrpc.protocol", "alpn", "only TLS has ALPN"),
    ("relayer.services.eth.backends.websocket.protocol", "http2", "begins with HTTP/1.1"),
    ("relayer.services.eth.backends.grpc.protocol", "http1", "gRPC needs HTTP/2"),
    (
        "relayer.services.eth.backends.jsonrpc.tls",
        {"ca_file": "ca.crt", "insecure": True},
        "who believes anybody needs no authorities",
    ),
    ("redis.appendfsync", "never", "write one of everysec, always"),
    ("redis.command_timeout_seconds", 0, "0 would stop everything"),
    ("redis.command_timeout_seconds", "soon", "not a number"),
    ("redis.command_timeout_seconds", -1, "write 0 or more"),
    ("redis.command_timeout_seconds", float("inf"), "not a number from 0 up"),
    ("redis.max_queued_commands", 1.5, "a number, not a whole number"),
    ("redis.max_queued_commands", True, "true or false, not a whole number"),
    ("redis.namespace", [], "a list, not a mapping"),
    ("redis.namespace.base_prefix", "a:b", "not a word"),
    ("redis.namespace.base_prefix", "", "not a word"),
    ("chain.chain_id", " ", "empty"),
    ("chain.rpc_url", "node:26657", "does not start with http://"),
    ("chain.rpc_url", "http://", "no host"),
    ("chain.rpc_url", "http://a b", "white space"),
    ("chain.grpc_url", "node", "not host:port"),
    ("chain.grpc_url", "grpc://node:0", "not a number from 1"),
    ("chain.grpc_url", "::1:80", "IPv6 address without brackets"),
    ("chain.grpc_insecure", "yes", "write true or false"),
    ("chain.grpc_insecure", 1, "write true or false"),
    ("transactions.gas_price", "1", "not a price"),
    ("transactions.gas_price", "-1upokt", "not a price"),
    ("transactions.gas_adjustment", 0.5, "less gas than the simulation"),
    ("transactions.lifetime_max_seconds", 600, "10 minutes"),
    ("transactions.memo", "m" * 257, "256 characters"),
    ("keys", 5, "a whole number, not a mapping"),
    ("keys.keys_file", 5, "not a path"),
    ("keys.keys_file", "", "not a path"),
    ("keys.keyring", {"backend": "memory"}, "write one of file, test, os"),
    ("keys.keyring", {"key_names": "a"}, "write a list"),
    ("keys.file", "x", "unknown setting"),
    ("relayer.listen", 8080, "not a text"),
    ("relayer.listen", "8080", "not host:port"),
    ("relayer.listen", "localhost:http", "not a number"),
    ("relayer.listen", "a/b:80", "characters that no host has"),
    ("relayer.validation_mode", "lazy", "write one of eager, optimistic"),
    ("relayer.publish", "never", "write one of confirm, after"),
    ("relayer.metering", {"fail_behavior": "shut"}, "write one of open, closed"),
    ("relayer.services", [], "a list, not a mapping"),
    ("relayer.services.a b", {"backends": {"rest": {"url": "http://a"}}}, "not a service id"),
    ("relayer.services.x", {}, "add `backends:`"),
    ("relayer.services.x", {"backends": {}}, "no backend"),
    ("relayer.services.eth.default_backend", "rest", "write one of jsonrpc, websocket, grpc"),
    ("relayer.services.eth.validation_mode", "lazy", "write one of eager, optimistic"),
    ("relayer.services.eth.backends.json_rpc", {"url": "http://a"}, "it is called `jsonrpc`"),
    ("relayer.services.eth.backends.ws", {"url": "ws://a"}, "it is called `websocket`"),
    ("relayer.services.eth.backends.soap", {"url": "http://a"}, "known: jsonrpc"),
    ("relayer.services.eth.backends.jsonrpc.url", "ws://a", "does not start with http://"),
    ("relayer.services.eth.backends.websocket.urls", ["a"], "does not start with ws://"),
    ("relayer.services.eth.backends.websocket.urls", [{"name": "a"}], "add `url:`"),
    ("relayer.services.eth.backends.websocket.url", "ws://a", "both `url` and `urls`"),
    ("relayer.services.eth.backends.grpc.url", "a", "not host:port"),
    ("relayer.services.eth.backends.rest", {}, "neither `url` nor `urls`"),
    ("relayer.services.eth.backends.jsonrpc.load_balancing", "random", "first_healthy"),
    ("relayer.services.eth.backends.jsonrpc.headers", {"A": 5}, "put it in quotes"),
    ("relayer.services.eth.backends.jsonrpc.authentication", {"password": "x"}, "a username"),
    ("relayer.max_in_flight", 0, "0 would stop everything"),
    ("miner.lease_renew_seconds", 3, "not renewed twice"),
    ("miner.lease_ttl_seconds", 0, "not renewed twice"),
    ("cache.lease_renew_seconds", 0, "not renewed twice"),
    ("control.listen", "127.0.0.1:8080", "the port of relayer.listen"),
    ("logging.level", "loud", "write one of debug"),
    ("logging.format", "xml", "write one of auto, json, console"),
    ("pocket_node", {}, "it is called `chain`"),
    ("services", {}, "it belongs to `relayer.services`"),
    ("minner", {}, "did you mean `miner`?"),
    ("frobnicate", 1, "known here: home, redis"),
]


def with_mistake(document: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` at the dotted `key`."""
    *parents, last = key.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value


def write(path: Path, document: dict[str, Any]) -> Path:
    """`document` as YAML."""
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def complaints(path: Path) -> ConfigError:
    """What loading `path` complains about."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value


def test_the_valid_document_is_valid(tmp_path: Path) -> None:
    """What the mistakes are put into has none."""
    loaded = load(write(tmp_path / "ok.yaml", VALID))
    assert loaded.miner.lease_renew_seconds == 0.5
    assert loaded.relayer.services["rest-only"].default_backend == "rest"
    assert [one.name for one in loaded.relayer.services["eth"].backends["websocket"].urls] == [
        "",
        "b",
    ]


@pytest.mark.parametrize(("key", "value", "told"), MISTAKES)
def test_every_mistake_is_told_where_it_is(tmp_path: Path, key: str, value: Any, told: str) -> None:
    """One mistake is one problem: with its file and line, its setting, its reason and its fix."""
    document = copy.deepcopy(VALID)
    with_mistake(document, key, value)
    path = write(tmp_path / "bad.yaml", document)
    (problem,) = complaints(path).problems
    assert told in f"{problem.reason}; {problem.fix}"
    assert problem.source == str(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert 1 <= problem.line <= len(lines)
    # A lease is told at its renewal, whichever of the two was wrong.
    assert problem.key.startswith(key) or key.startswith(problem.key) or "lease" in problem.key
    assert problem.reason
    assert problem.fix


independent = [one for one in MISTAKES if one[0] not in {"keys", "redis.namespace"}]


@given(
    chosen=st.lists(st.sampled_from(independent), min_size=2, max_size=8, unique_by=lambda m: m[0])
)
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_several_mistakes_are_told_at_once(
    tmp_path: Path, chosen: list[tuple[str, Any, str]]
) -> None:
    """Mistakes in different settings do not hide each other."""
    document = copy.deepcopy(VALID)
    put: list[tuple[str, Any, str]] = []
    for key, value, told in chosen:
        if not any(near(key, other) for other, _, _ in put):
            with_mistake(document, key, value)
            put.append((key, value, told))
    error = complaints(write(tmp_path / "bad.yaml", document))
    for _, _, told in put:
        assert told in str(error)


def near(one: str, other: str) -> bool:
    """Whether two mistakes are of one backend, one lease or one address, and so may overlap."""
    if one.startswith("relayer.services") and other.startswith("relayer.services"):
        return True
    parts, others = one.split("."), other.split(".")
    if {one, other} <= {"control.listen", "relayer.listen"}:
        return True
    if parts[0] == others[0] and "lease" in one and "lease" in other:
        return True
    return one.startswith(other) or other.startswith(one)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("redis: [", 1, "not valid YAML"),
        ("redis:\n\turl: x", 2, "not valid YAML"),
        ("- a", 1, "not a mapping"),
        ("just text", 1, "not a mapping"),
        ("redis: {}\nchain: {}\nredis: {}", 3, "given twice, first in line 1"),
        ("redis: {? [a] : b}", 1, "a key that is no text"),
        ("home: !!python/name:os.system x", 1, "a value of type"),
        ("home: !!binary AAAA", 1, "not a path"),
        ("a: " * 1, 1, ""),
    ],
)
def test_documents_that_are_none_are_told(tmp_path: Path, text: str, line: int, told: str) -> None:
    """What cannot be parsed is told with its line."""
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    if not told:
        # A key without a value means nothing is set, even when the key is unknown.
        assert load(path).redis == RedisSettings()
        return
    problem = complaints(path).problems[0]
    assert told in problem.reason
    assert problem.line == line


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    """A file made to exhaust the stack ends as a problem."""
    path = tmp_path / "deep.yaml"
    path.write_text("a: " + "[" * 5000 + "]" * 5000, encoding="utf-8")
    assert complaints(path).problems


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """So is a directory, and a file that is no text."""
    assert "No such file" in str(complaints(tmp_path / "none.yaml"))
    assert "directory" in str(complaints(tmp_path))
    path = tmp_path / "binary.yaml"
    path.write_bytes(bytes(range(256)))
    assert "not valid YAML" in str(complaints(path))


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """As is no file at all."""
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    assert load(path) == load(None) == Settings()


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    """A chain called `no` is not false, and a service called 0x1 or 12 keeps its name."""
    path = tmp_path / "words.yaml"
    path.write_text(
        "chain: {chain_id: no}\nrelayer: {services: {0x1: &b {backends: {rest: {url: 'http://a'}}},"
        " 012: *b}}\nlogging: {level: info}\nminer:\n",
        encoding="utf-8",
    )
    loaded = load(path)
    assert loaded.chain.chain_id == "no"
    assert list(loaded.relayer.services) == ["0x1", "012"]


def test_the_command_line_wins_and_is_named(tmp_path: Path) -> None:
    """An override is checked like the file, and told as what it is."""
    path = write(tmp_path / "ok.yaml", VALID)
    loaded = load(path, {"home": "/somewhere", "redis.url": "embedded"})
    assert (str(loaded.home), loaded.redis.url) == ("/somewhere", "embedded")
    with pytest.raises(ConfigError) as caught:
        load(path, {"redis.url": "ftp://x"})
    assert caught.value.problems[0].source == "command line"


SECRETS = ("hunter2", "7e36160df33d38d5425e08107e11af02bb0a0683aa383c872897798100a74a33")


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_in_no_message_and_no_repr(tmp_path: Path, secret: str) -> None:
    """Passwords, tokens, headers and credentials in URLs never leave the settings."""
    document: dict[str, Any] = {
        "redis": {"url": f"ftp://user:{secret}@host"},
        "chain": {"rpc_url": f"ftp://:{secret}@host/?api_key={secret}"},
        "keys": {"private_key": secret},
        "relayer": {
            "services": {
                "eth": {
                    "backends": {
                        "jsonrpc": {
                            "url": f"ftp://u:{secret}@h",
                            "headers": {"X-Any": 5, "Authorization": [secret]},
                            "authentication": {"password": secret, "bearer_token": [secret]},
                        },
                        "websocket": {"urls": [f"http:/{secret}@x", f"user:{secret}@h:1"]},
                    }
                }
            }
        },
    }
    error = complaints(write(tmp_path / "bad.yaml", document))
    assert len(error.problems) >= 7
    assert secret not in str(error) + repr(error) + repr(error.problems)


def test_secrets_are_in_no_repr_of_settings() -> None:
    """Settings can be logged."""
    secret = SECRETS[0]
    told = repr(
        [
            RedisSettings(url=f"redis://:{secret}@host"),
            ChainSettings(rpc_url=f"https://u:{secret}@host/x?token={secret}"),
            BackendSettings(url=f"http://u:{secret}@h", headers={"A": secret}),
        ]
    )
    assert secret not in told
    assert MASK in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:p@h:1", "redis://***@h:1"),
        ("redis://u:p@q@h", "redis://***@h"),
        ("u:p@h", "***@h"),
        # Rather too much hidden than too little.
        ("http://h/a@b", "http://h/***@b"),
        ("http://h/?x=1&api_key=s&y=2", "http://h/?x=1&api_key=***&y=2"),
    ],
)
def test_urls_are_shown_without_what_lets_somebody_in(url: str, shown: str) -> None:
    """The rest of the URL stays readable."""
    assert masked_url(url) == shown
