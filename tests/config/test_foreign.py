"""Files of the Go implementation, as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from relayminer.config.errors import ConfigError
from relayminer.config.foreign import imported, load_foreign, miner_file, relayer_file
from relayminer.config.foreign.rows import ANY
from relayminer.config.foreign.write import written
from relayminer.config.load import load

GO = Path(__file__).parent / "go"
FILES = {"relayer": GO / "relayer.yaml", "miner": GO / "miner.yaml"}
ROWS = {"relayer": relayer_file.ROWS, "miner": miner_file.ROWS}


def reached(values: Any, parts: tuple[str, ...]) -> bool:
    """Whether a file says something for a row's key."""
    if not parts:
        return True
    if not isinstance(values, dict):
        return False
    if parts[0] == ANY:
        return any(reached(value, parts[1:]) for value in values.values())
    return parts[0] in values and reached(values[parts[0]], parts[1:])


@pytest.mark.parametrize("kind", ["relayer", "miner"])
def test_the_files_set_every_key_there_is(kind: str) -> None:
    """So that none is without a row, and no row without a key."""
    values = yaml.safe_load(FILES[kind].read_text())
    assert [row.key for row in ROWS[kind] if not reached(values, row.parts)] == []
    assert load_foreign(kind, FILES[kind]).settings


def test_the_relayers_keys_work_as_meant() -> None:
    """What each of them comes to here."""
    settings = load_foreign("relayer", FILES["relayer"]).settings
    relayer = settings.relayer
    eth = relayer.services["eth"]
    jsonrpc = eth.backends["jsonrpc"]
    found = {
        "listen": relayer.listen,
        "rpc": settings.chain.rpc_url,
        "grpc": settings.chain.grpc_url,
        "keys": settings.keys.keys_file,
        "control": (settings.control.listen, *settings.control.also_listen),
        "level": settings.logging.level,
        "format": settings.logging.format,
        "meter": (relayer.metering.fail_behavior, relayer.metering.cache_ttl_seconds),
        "backend": eth.default_backend,
        "slow": relayer.timeout_profiles["slow"].dial_timeout_seconds,
        "tiny": relayer.pool_profiles["tiny"].idle_timeout_seconds,
        "fast is still known": "fast" in relayer.timeout_profiles,
        "url": jsonrpc.url,
        "never by itself": jsonrpc.recovery_timeout_seconds,
        "breaker": jsonrpc.unhealthy_threshold,
        "probe": jsonrpc.health_check.expected_status,
        "names": [one.name for one in eth.backends["websocket"].urls],
        "identity": relayer.simulation.identities[0].key_id,
        "group": settings.redis.namespace.consumer_group_prefix,
        "profiles": (settings.debug.enabled, settings.debug.listen),
        "logs": (settings.logging.buffer_lines, settings.logging.sampling_thereafter),
    }
    assert found == {
        "listen": "0.0.0.0:18080",
        "rpc": "http://node:26657",
        "grpc": "node:9090",
        "keys": GO / "supplier-keys.yaml",
        "control": ("0.0.0.0:19190", "127.0.0.1:18081"),
        "level": "debug",
        "format": "console",
        "meter": ("closed", 5400.0),
        "backend": "jsonrpc",
        "slow": 16.0,
        "tiny": 45.0,
        "fast is still known": True,
        "url": "http://node-1:8545",
        "never by itself": relayer_file.NEVER_SECONDS,
        "breaker": 4,
        "probe": (200, 204),
        "names": ["", "spare"],
        "identity": "probe",
        "group": "miners2",
        "profiles": (True, "127.0.0.1:16060"),
        "logs": (1000, 5),
    }


def test_the_miners_keys_work_as_meant() -> None:
    """What each of them comes to here."""
    settings = load_foreign("miner", FILES["miner"]).settings
    miner = settings.miner
    found = {
        "name": miner.consumer_name,
        "idle": miner.claim_idle_seconds,
        "chain": (settings.chain.chain_id, settings.chain.query_timeout_seconds),
        "block": settings.chain.block_time_seconds,
        "gas": (settings.transactions.gas_limit, settings.transactions.gas_adjustment),
        "messages": miner.max_messages_per_transaction,
        "lifetime": settings.transactions.lifetime_max_seconds,
        "control": settings.control.listen,
        "batch": miner.batch_entries,
        "reload": settings.reload_poll_seconds,
        "ttl": (miner.session_ttl_seconds, miner.cache_ttl_seconds),
        "tracking": miner.submission_tracking_ttl_seconds,
        "factors": (miner.default_service_factor, miner.service_factors),
    }
    assert found == {
        "name": "miner-7",
        "idle": 30.0,
        "chain": ("pocket-beta", 9.0),
        "block": 10.0,
        "gas": (500_000, 1.5),
        "messages": 1,
        "lifetime": 590.0,
        "control": "0.0.0.0:19092",
        "batch": 5000,
        "reload": 0.0,
        "ttl": (10_800.0, 5400.0),
        "tracking": 604_800.0,
        "factors": (0.01, {"eth": 0.02}),
    }


@pytest.mark.parametrize("kind", ["relayer", "miner"])
def test_what_holds_instead_is_told_for_every_key_that_has_no_place(kind: str) -> None:
    """No key that does nothing passes in silence."""
    told = {note.place.name for note in load_foreign(kind, FILES[kind]).notes}
    finished = {
        "logging.async",
        "metrics.addr",
        "health_check.enabled",
        "health_check.addr",
        "http_transport.max_idle_conns_per_host",
        "http_transport.max_conns_per_host",
        "http_transport.idle_conn_timeout_seconds",
        "http_transport.dial_timeout_seconds",
    }
    silent = [
        row.key
        for row in ROWS[kind]
        if not row.to
        and row.key not in told
        and row.key not in finished
        and not row.key.startswith(("timeout_profiles.", "pool_profiles."))
    ]
    assert silent == []


def test_one_file_of_ours_comes_to_the_same(tmp_path: Path) -> None:
    """`config import` writes what both files together come to, with the notes as comments."""
    both = imported(FILES)
    path = GO / "imported.yaml"
    text = written(both)
    assert "# leader_election.leader_ttl_seconds" in text.replace("#   ", "# ")
    path = tmp_path / "relayminer.yaml"
    path.write_text(text)
    for name in ("supplier-keys.yaml", "more-keys", "keyring"):
        text = text.replace(f": {name}\n", f": {GO / name}\n")
    path.write_text(text)
    assert load(path) == both.settings


def test_of_two_files_that_differ_the_one_whose_matter_it_is_counts() -> None:
    """And the difference is told with both places."""
    both = imported(FILES)
    assert both.settings.control.listen == "0.0.0.0:19190"
    assert both.settings.chain.chain_id == "pocket-beta"
    (note,) = (one for one in both.notes if one.key == ("control", "listen"))
    assert note.place.source == str(FILES["miner"])
    assert "relayer.yaml" in note.text


MISTAKES: list[tuple[str, str, str, str]] = [
    ("relayer", "listen_adr: x", "listen_adr", "did you mean `listen_addr`?"),
    ("relayer", "listen_addr: x", "listen_addr", "write host:port"),
    ("relayer", "relay_meter: {cache_ttl: soon}", "relay_meter.cache_ttl", "1h30m"),
    ("relayer", "services: {eth: {backends: {ws: {url: ws://a}}}}", "services.eth", "websocket"),
    (
        "relayer",
        "services: {eth: {backends: {jsonrpc: {max_retries: many}}}}",
        "services.eth.backends.jsonrpc.max_retries",
        "digits",
    ),
    ("relayer", "redis: 5", "redis", "indent"),
    ("relayer", "redis: {url: ftp://x}", "redis.url", "redis://"),
    ("miner", "batch_size: many", "batch_size", "digits"),
    ("miner", "session_ttl: 5 minutes", "session_ttl", "1h30m"),
    ("miner", "worker_pools: {threads: 5}", "worker_pools.threads", "known here"),
    ("miner", "transaction: {gas_price: cheap}", "transaction.gas_price", "upokt"),
    ("miner", "listen_addr: x", "listen_addr", "known here"),
]


@pytest.mark.parametrize(("kind", "text", "key", "fix"), MISTAKES)
def test_a_mistake_is_told_by_the_files_own_names(
    tmp_path: Path, kind: str, text: str, key: str, fix: str
) -> None:
    """The key as it is called in that file, its line, and what to write."""
    path = tmp_path / "go.yaml"
    path.write_text("pocket_node: {query_node_rpc_url: http://a:1}\n" + text + "\n")
    with pytest.raises(ConfigError) as refused:
        load_foreign(kind, path)
    problems = [one for one in refused.value.problems if one.key.startswith(key)]
    assert problems, refused.value
    assert any(fix in one.fix for one in problems), problems
    assert all(one.line == 2 for one in problems)
    missing = {one.key for one in refused.value.problems if one.reason == "missing"}
    assert "pocket_node.query_node_grpc_url" in missing
