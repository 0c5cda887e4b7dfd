"""gRPC and HTTP/2 relays through one relayer process with an HTTP backend, checked and logged.

The relayer is that of `relayminer.testing`: a real store, real sockets, real signatures, a chain in
memory. Backend and client are processes of their own.

    python -m benchmarks.grpc relayer BACKEND_PORT DIRECTORY
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.http2_client import greeted
from benchmarks.processes import ROOT, BenchmarkError, Child, environment, until_told
from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import open_store
from relayminer.testing.relayer import bench, settings

if TYPE_CHECKING:
    from rich.console import Console

    from relayminer.config.settings import RelayerSettings

START_SECONDS = 60.0
MAX_CPU_US = 800
MIN_RELAYS_PER_SECOND = 800
IDLE_CONNECTIONS = 1_000
HOST = "127.0.0.1"


@frozen
class Load:
    """One way to send relays.

    Attributes:
        name: of its figures.
        kind: `grpc` or `http2`.
        connections: from the client.
        streams: relays in flight on each.
    """

    name: str
    kind: str
    connections: int
    streams: int


LOADS = (
    Load("grpc", "grpc", 50, 1),
    Load("grpc_one_connection", "grpc", 1, 50),
    Load("http2", "http2", 50, 1),
)


def grpc_figures(*, seconds: float, console: Console) -> list[Figure]:
    """Relays per second and CPU of each load, memory of an idle connection."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as name:
        directory = Path(name)
        console.print("starting a backend and a relayer ...")
        with Child("backend", ["-m", "benchmarks.null_backend"], directory) as backend:
            arguments = ["-m", "benchmarks.grpc", "relayer", _port(backend), name]
            with Child("relayer", arguments, directory) as relayer:
                port = _port(relayer)
                for load in LOADS:
                    console.print(
                        f"{load.kind}, {load.connections} connections with {load.streams} "
                        "in flight: signing and sending relays ..."
                    )
                    figures += _measure(relayer, port, load, seconds)
                figures.append(_idle(relayer, int(port)))
    return figures


def _port(child: Child) -> str:
    def found() -> str:
        printed = [line for line in child.tail().splitlines() if line.isdigit()]
        return printed[0] if printed else ""

    child.wait_until(lambda: bool(found()), "the port", START_SECONDS)
    return found()


def _measure(relayer: Child, port: str, load: Load, seconds: float) -> list[Figure]:
    arguments = [port, load.kind, str(load.connections), str(load.streams), str(seconds)]
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.http2_client", *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    with client:
        if client.stdout is None or client.stdout.readline().strip() != b"measuring":
            raise BenchmarkError(f"the client has failed:\n{relayer.tail()}")
        before = relayer.cpu_seconds()
        line = client.stdout.readline()
        spent = relayer.cpu_seconds() - before
    if not line:
        raise BenchmarkError(f"the client has failed:\n{relayer.tail()}")
    result = json.loads(line)
    relays, name = result["relays"], load.name
    return [
        at_least(f"{name}_relays_per_s", relays / result["seconds"], "1/s", MIN_RELAYS_PER_SECOND),
        at_most(f"{name}_relay_cpu_us", spent / relays * 1e6, "us", MAX_CPU_US),
    ]


def _idle(relayer: Child, port: int) -> Figure:
    """What an open connection on which nothing happens costs the relayer."""
    connected = [greeted(port)]
    before = relayer.resident_bytes()
    connected += [greeted(port) for _ in range(IDLE_CONNECTIONS)]
    each = (relayer.resident_bytes() - before) / IDLE_CONNECTIONS
    for one in connected:
        one.close()
    return Figure("http2_idle_connection_bytes", each, "B")


async def _relayer(backend_port: str, directory: str) -> None:
    def configure(_: str) -> RelayerSettings:
        return settings(f"http://{HOST}:{backend_port}")

    home = Path(directory) / "store"
    async with open_store(RedisSettings(), home) as url, bench(url, configure=configure) as b:
        print(b.address[1], flush=True)
        await until_told()


def main() -> None:
    """The relayer's process."""
    _, backend_port, directory = sys.argv[1:]
    trio.run(_relayer, backend_port, directory)


if __name__ == "__main__":
    main()
