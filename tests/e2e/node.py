"""A stepped chain and a real `relayminer run` on it, as processes, for a module of tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
import yaml

from relayminer.devnet.errors import DevnetInfoError
from relayminer.devnet.info import DevnetInfo, read_info
from relayminer.net.ports import free_port
from tests.cli.command import COMMAND, ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 120
STOP_SECONDS = 40
POLL_SECONDS = 0.05


@attrs.frozen
class Node:
    """A running node and the chain that it earns on.

    Attributes:
        info: of the devnet.
        pid: of `relayminer run`.
        port: of its front door.
        control_port: of its metrics.
        log: what it and the store have said.
    """

    info: DevnetInfo
    pid: int
    port: int
    control_port: int
    home: Path
    log: Path

    @property
    def url(self) -> str:
        """The front door."""
        return f"http://127.0.0.1:{self.port}"

    def rss_kib(self) -> int:
        """Resident memory of the process now."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("the process is gone")

    def step(self, blocks: int) -> int:
        """Make `blocks` more blocks; the height afterwards."""
        url = f"{self.info.control_url}/control/step?blocks={blocks}"
        height: int = fetch_json(url, method="POST")["height"]
        return height

    def catch_up(self, height: int) -> None:
        """Wait until the relayer has seen `height`."""
        wait_until(lambda: fetch_json(f"{self.url}/health")["block_height"] >= height)

    def metrics(self) -> str:
        """The page of metrics."""
        return fetch(f"http://127.0.0.1:{self.control_port}/metrics")


def fetch(url: str, method: str = "GET") -> str:
    """The body of `url`."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - our own loopback URLs
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        text: str = answer.read().decode()
        return text


def fetch_json(url: str, method: str = "GET") -> Any:
    """The JSON at `url`."""
    return json.loads(fetch(url, method))


def wait_until(condition: Any, child: subprocess.Popen[bytes] | None = None) -> None:
    """Poll a process that has no way to tell us; an error of the condition means not yet."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (child is None or child.poll() is None):
        try:
            if condition():
                return
        except (OSError, DevnetInfoError):
            pass
        time.sleep(POLL_SECONDS)
    raise AssertionError("it never came true")


@contextmanager
def process(arguments: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """`relayminer` with `arguments`; told to stop at the end."""
    child = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        finally:
            child.kill()
            child.wait()


@contextmanager
def running_node(
    home: Path, *, sections: Mapping[str, Any] | None = None, workers: int = 1, **relayer: Any
) -> Iterator[Node]:
    """A stepped devnet with its backend, and a ready node; `relayer` are settings of it."""
    port, control = free_port(), free_port()
    devnet = [
        "devnet",
        f"--home={home / 'chain'}",
        "--stepped",
        "--rpc-port=0",
        "--grpc-port=0",
        "--control-port=0",
        "--with-backend",
        "--backend-port=0",
        f"--relayer-url=http://127.0.0.1:{port}",
    ]
    log = home / "node.log"
    with (
        (home / "chain.log").open("ab") as chain_log,
        log.open("ab") as node_log,
        process(devnet, chain_log),
    ):
        wait_until(lambda: read_info(home / "chain"))
        info = read_info(home / "chain")
        config = write_config(home, info, port, control, relayer, sections or {})
        with process(["run", f"--config={config}", f"--workers={workers}"], node_log) as node:
            running = Node(info, node.pid, port, control, home, log)
            try:
                wait_until(lambda: fetch(f"{running.url}/ready"), node)
            except AssertionError as error:
                raise AssertionError(log.read_text("utf-8")[-3_000:]) from error
            yield running


def write_config(
    home: Path,
    info: DevnetInfo,
    port: int,
    control: int,
    relayer: dict[str, Any],
    sections: Mapping[str, Any],
) -> Path:
    """What an operator would write, with a log that holds nothing back."""
    backend = {"backends": {"jsonrpc": {"url": info.backend_url}}}
    document = {
        "home": "node",
        "chain": {
            "chain_id": info.chain_id,
            "rpc_url": info.rpc_url,
            "grpc_url": info.grpc_url,
            "block_time_seconds": 1,
        },
        "keys": {"keys_file": info.supplier_keys_file},
        "relayer": {
            "listen": f"127.0.0.1:{port}",
            "services": dict.fromkeys(info.service_ids, backend),
            **relayer,
        },
        "control": {"listen": f"127.0.0.1:{control}"},
        "logging": {"level": "debug", "format": "json"},
        **sections,
    }
    path = home / "node.yaml"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(document, file)
    return path
