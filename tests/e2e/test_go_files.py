"""`relayminer relayer` and `miner` from files of the Go implementation that set every key."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import trio
import yaml

from relayminer.config.settings import RedisSettings
from relayminer.net.ports import free_port
from relayminer.state.embedded import open_store
from tests.cli.command import COMMAND, ENVIRONMENT
from tests.cli.test_against_devnet import devnet
from tests.config.test_foreign import FILES
from tests.e2e.node import fetch, fetch_json, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.devnet.server import Devnet

pytestmark = pytest.mark.e2e


def fitted(kind: str, path: Path, running: Devnet, store: str, **changes: Any) -> Path:
    """The file with every key, with this machine's addresses and keys in it."""
    document = yaml.safe_load(FILES[kind].read_text())
    info = running.info
    document["redis"]["url"] = store
    document["pocket_node"] |= {
        "query_node_rpc_url": info.rpc_url,
        "query_node_grpc_url": info.grpc_url,
    }
    if kind == "miner":
        document["pocket_node"]["chain_id"] = info.chain_id
    document["keys"]["keys_file"] = str(info.supplier_keys_file)
    document["keys"]["keys_dir"] = str(path.parent / "more-keys")
    document["keys"]["keyring"] |= {"dir": str(path.parent), "key_names": []}
    document["pprof"]["addr"] = f"0.0.0.0:{free_port()}"
    for section, value in changes.items():
        document[section] = value
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path


def both_files(home: Path, running: Devnet, url: str, ports: dict[str, int]) -> tuple[Path, Path]:
    """The relayer's and the miner's file for this machine."""
    store = url if "://" in url else f"unix://{url}"
    eth = yaml.safe_load(FILES["relayer"].read_text())["services"]["eth"]
    eth["backends"]["jsonrpc"] |= {"url": running.info.backend_url, "base_path": ""}
    eth["backends"]["jsonrpc"]["health_check"]["enabled"] = False
    eth["validation_mode"] = "eager"
    here = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    relayer = fitted(
        "relayer",
        home / "relayer.yaml",
        running,
        store,
        listen_addr=here["relays"],
        metrics={"enabled": True, "addr": here["metrics"]},
        health_check={"enabled": True, "addr": here["health"]},
        services={running.info.service_ids[0]: eth},
        simulation={"enabled": False},
    )
    metrics = {"enabled": True, "addr": here["mining"]}
    return relayer, fitted("miner", home / "miner.yaml", running, store, metrics=metrics)


async def test_both_start_from_files_that_set_every_key_and_serve(tmp_path: Path) -> None:
    """A relay is served at `listen_addr`; probes and metrics are where the files say."""
    relay_port, metrics, health, mining = (free_port() for _ in range(4))
    (tmp_path / "more-keys").mkdir()
    (tmp_path / "keyring-test").mkdir()
    async with (
        devnet(tmp_path / "devnet", relay_port) as running,
        open_store(RedisSettings(), tmp_path / "store") as url,
        trio.open_nursery() as nursery,
    ):
        ports = {"relays": relay_port, "metrics": metrics, "health": health, "mining": mining}
        relayer, miner = both_files(tmp_path, running, url, ports)
        children = [
            await start(nursery, tmp_path, "relayer", relayer),
            await start(nursery, tmp_path, "miner", miner),
        ]
        for port in (relay_port, health, mining):
            await trio.to_thread.run_sync(
                wait_until, lambda port=port: fetch(f"http://127.0.0.1:{port}/ready")
            )
        sent = await trio.run_process(
            [*COMMAND, "relay", "jsonrpc", "--devnet", str(tmp_path / "devnet")],
            capture_stdout=True,
            capture_stderr=True,
            env=ENVIRONMENT,
        )
        assert sent.returncode == 0
        await trio.to_thread.run_sync(
            wait_until,
            lambda: (
                "ha_relayer_relays_served_total{" in fetch(f"http://127.0.0.1:{metrics}/metrics")
            ),
        )
        height = await trio.to_thread.run_sync(
            lambda: fetch_json(f"http://127.0.0.1:{relay_port}/health")["block_height"]
        )
        assert height > 0
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            with trio.fail_after(60):
                assert await child.wait() == 0
    for name in ("relayer", "miner"):
        said = (tmp_path / f"{name}.log").read_text()
        assert "Traceback" not in said
        assert "note: " in said
    assert (
        "supplier_claiming.claim_ttl_seconds: our leases are shorter"
        in (tmp_path / "miner.log").read_text()
    )


async def start(nursery: trio.Nursery, home: Path, kind: str, config: Path) -> trio.Process:
    """One of the two as a process."""
    log = (home / f"{kind}.log").open("wb")
    with log:
        words = [*COMMAND, kind, "--config", str(config), "--home", str(home / kind)]
        process: trio.Process = await nursery.start(_process, words, log.fileno())
    return process


async def _process(
    words: list[str], log: int, *, task_status: trio.TaskStatus[trio.Process]
) -> None:
    process = await trio.lowlevel.open_process(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT
    )
    task_status.started(process)
    try:
        await process.wait()
    finally:
        process.kill()
