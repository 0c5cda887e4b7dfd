"""`run`, `check` and `relay` as processes, against a chain."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import yaml

from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from relayminer.net.ports import free_port
from tests.cli.command import COMMAND, ENVIRONMENT, Ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def devnet(home: Path, relayer_port: int) -> AsyncIterator[Devnet]:
    """A devnet in this process whose suppliers staked a relayer on `relayer_port`."""
    options = DevnetOptions(
        home=home,
        block_time_seconds=0.25,
        rpc_port=0,
        grpc_port=0,
        control_port=0,
        backend_port=0,
        with_backend=True,
        relayer_url=f"http://127.0.0.1:{relayer_port}",
    )
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_devnet, options)
        nursery.cancel_scope.cancel()


def write_config(path: Path, running: Devnet, relayer_port: int, **changes: Any) -> Path:
    """A node's configuration for a devnet."""
    info = running.info
    backend = {
        "backends": {
            "jsonrpc": {"url": info.backend_url},
            "rest": {"url": info.backend_url},
            "cometbft": {"url": info.backend_url},
            "websocket": {"url": info.backend_url.replace("http", "ws", 1)},
            "grpc": {"url": info.backend_grpc},
        }
    }
    document = {
        "home": "node",
        "chain": {
            "chain_id": info.chain_id,
            "rpc_url": info.rpc_url,
            "grpc_url": info.grpc_url,
            "block_time_seconds": 0.25,
        },
        "keys": {"keys_file": info.supplier_keys_file},
        "relayer": {
            "listen": f"127.0.0.1:{relayer_port}",
            "services": dict.fromkeys(info.service_ids, backend),
        },
        "control": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(document | changes), encoding="utf-8")
    return path


async def relayminer(*arguments: str) -> Ended:
    """Run one command while the devnet goes on."""
    with trio.fail_after(60):
        done = await trio.run_process(
            [*COMMAND, *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=ENVIRONMENT,
        )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return Ended(done.returncode, out, err)


def results(ended: Ended) -> dict[str, str]:
    """What `check --json` found: subject -> result."""
    return {one["subject"]: one["result"] for one in json.loads(ended.out)["checks"]}


async def test_check_says_that_a_good_configuration_would_work(tmp_path: Path) -> None:
    """Keys, ports, store, chain, suppliers and backends are looked at; exit code 0."""
    port = free_port()
    async with devnet(tmp_path / "devnet", port) as running:
        config = write_config(tmp_path / "node.yaml", running, port)
        ended = await relayminer("check", "--config", str(config))
        assert ended.code == 0, ended.out
        assert "it would work" in ended.out
        found = results(await relayminer("check", "--json", "--config", str(config)))
        # Whether this machine lets a process open as many files as the defaults want.
        assert found.pop("open files") in {"ok", "warn"}
        assert set(found.values()) == {"ok"}
        assert {"clock", "store latency", "chain RPC", "chain gRPC"} < set(found)
        for supplier in running.info.suppliers:
            assert {f"supplier {supplier.address}", f"account {supplier.address}"} < set(found)


async def test_check_says_what_is_wrong_with_each_part(tmp_path: Path) -> None:
    """Another chain id, a store and a backend that are away: each is a failure of its own."""
    port, nobody = free_port(), free_port()
    async with devnet(tmp_path / "devnet", port) as running:
        config = write_config(
            tmp_path / "node.yaml",
            running,
            port,
            chain={
                "chain_id": "other",
                "rpc_url": running.info.rpc_url,
                "grpc_url": f"127.0.0.1:{nobody}",
            },
            redis={"url": f"redis://:hunter2@127.0.0.1:{nobody}", "command_timeout_seconds": 1},
            relayer={
                "listen": f"127.0.0.1:{running.info.backend_url.rpartition(':')[2]}",
                "services": {"x": {"backends": {"rest": {"url": f"http://127.0.0.1:{nobody}"}}}},
            },
        )
        ended = await relayminer("check", "--json", "--config", str(config))
        assert ended.code == 1
        assert "hunter2" not in ended.out + ended.err
        found = results(ended)
        assert found["chain RPC"] == "fail"
        assert found["chain gRPC"] == "fail"
        assert found["store"] == "fail"
        assert found["backend x rest"] == "fail"
        assert found["relayer.listen"] == "warn"
        remedies = [one["remedy"] for one in json.loads(ended.out)["checks"]]
        assert any("chain.chain_id: pocket" in remedy for remedy in remedies)


async def test_a_relay_is_sent_explained_and_served(tmp_path: Path) -> None:
    """`run` serves what `relay jsonrpc` signs, every step is told, and SIGTERM ends it with 0."""
    port = free_port()
    async with devnet(tmp_path / "devnet", port) as running, trio.open_nursery() as nursery:
        config = write_config(tmp_path / "node.yaml", running, port)
        relay = ("relay", "jsonrpc", "--devnet", str(tmp_path / "devnet"))
        ended = await relayminer(*relay)
        assert ended.code == 1
        assert "relayer not reached" in ended.err
        node: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [*COMMAND, "run", "--config", str(config)],
                env=ENVIRONMENT,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        )
        with trio.fail_after(60):
            ended = await relayminer(*relay)
            while ended.code:
                ended = await relayminer(*relay)
        for step in ("suppliers serve", "the ring", "is signed", "is the supplier's", "backend"):
            assert step in ended.out
        assert "[FAIL]" not in ended.out
        served = await relayminer(*relay, "--json", "--service", running.info.service_ids[-1])
        outcome = json.loads(served.out)
        assert outcome["ok"], outcome
        assert json.loads(outcome["body"])["result"].startswith("0x")
        for mode in ("rest", "cometbft", "websocket", "grpc"):
            ended = await relayminer("relay", mode, *relay[2:])
            assert ended.code == 0, mode + ended.out + ended.err
            assert "[FAIL]" not in ended.out
        ended = await relayminer("relay", "stream", *relay[2:], "--batches", "3", "--json")
        assert json.loads(ended.out)["batches"] >= 3, ended.out + ended.err
        await loads(relay, running)
        refused = await relayminer(*relay, "--service", "nothing")
        assert "no application of this devnet is staked" in refused.err
        node.send_signal(signal.SIGTERM)
        with trio.fail_after(40):
            assert await node.wait() == 0


async def loads(relay: tuple[str, ...], running: Devnet) -> None:
    """A load test over all suppliers, its report, and its exit codes."""
    # A session that lasts.
    running.node.set_block_time(None)
    many = (*relay, "--load-test", "-n", "300", "--concurrency", "4", "--all-suppliers")
    ended = await relayminer(*many, "--rps", "600", "--json")
    assert ended.code == 0, ended.out + ended.err
    report = json.loads(ended.out)
    assert (report["total"], report["successful"], report["errors"]) == (300, 300, 0)
    assert set(report["suppliers"]) == {one.address for one in running.info.suppliers}
    assert sum(one["total"] for one in report["suppliers"].values()) == 300
    times = report["latency_ms"]
    assert times["min"] <= times["p50"] <= times["p99"] <= times["max"]
    nobody = (*relay, "--load-test", "-n", "20", "--url", "http://127.0.0.1:1")
    for more, code in (((), 1), (("--min-success", "0"), 0)):
        ended = await relayminer(*nobody, *more)
        assert ended.code == code
        assert "success rate" in ended.out
        assert "20: relayer not reached" in ended.out
    running.node.set_block_time(0.25)
    ended = await relayminer(*relay, "--count", "5")
    assert ended.code == 1
    assert "--count needs --load-test" in ended.err


async def test_a_relay_can_be_signed_with_keys_of_a_file(tmp_path: Path) -> None:
    """Against a chain's node the keys come from a client key file; its problems are told."""
    port = free_port()
    async with devnet(tmp_path / "devnet", port) as running:
        info = running.info
        keys = tmp_path / "client.yaml"
        gateway = info.gateways[0].secret_hex
        keys.write_text(
            f"applications: [0X{info.applications[0].secret_hex}]\ngateway: {gateway}\n"
        )
        keys.chmod(0o600)
        service = info.applications[0].service_ids[0]
        relay = ("relay", "jsonrpc", f"--node={info.grpc_url}", f"--keys-file={keys}")
        ended = await relayminer(*relay, "--service", service)
        assert info.gateways[0].address in ended.out
        assert "is signed" in ended.out
        keys.write_text(f"applications: [{info.applications[0].secret_hex}, {gateway}]\n")
        ended = await relayminer(*relay, "--service", service)
        assert "more than one key" in ended.err
        assert gateway not in ended.err + ended.out
        keys.write_text(f"gateways: [{info.others[0].secret_hex or gateway}]\n")
        ended = await relayminer(*relay, "--service", service)
        assert "name the application" in ended.err
