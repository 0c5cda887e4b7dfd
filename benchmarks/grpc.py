"""gRPC and HTTP/2 relays through one relayer process with an HTTP backend, checked and logged.

The relayer is that of `relayminer.testing`: a real store, real sockets, real signatures, a chain in
memory. Backend and client are processes of their own.

    python -m benchmarks.grpc relayer BACKEND_PORT DIRECTORY
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.http2_client import greeted
from benchmarks.processes import (
    Child,
    idle_connection_bytes,
    measured,
    printed_port,
    until_told,
)
from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import open_store
from relayminer.testing.relayer import bench, settings

if TYPE_CHECKING:
    from rich.console import Console

    from relayminer.config.settings import RelayerSettings

MAX_CPU_US = 800
MIN_RELAYS_PER_SECOND = 800
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
            arguments = ["-m", "benchmarks.grpc", "relayer", printed_port(backend), name]
            with Child("relayer", arguments, directory) as relayer:
                port = printed_port(relayer)
                for load in LOADS:
                    console.print(
                        f"{load.kind}, {load.connections} connections with {load.streams} "
                        "in flight: signing and sending relays ..."
                    )
                    figures += _measure(relayer, port, load, seconds)
                each = idle_connection_bytes(relayer, lambda: greeted(int(port)))
                figures.append(Figure("http2_idle_connection_bytes", each, "B"))
    return figures


def _measure(relayer: Child, port: str, load: Load, seconds: float) -> list[Figure]:
    arguments = [port, load.kind, str(load.connections), str(load.streams), str(seconds)]
    pace = measured(relayer, ["-m", "benchmarks.http2_client", *arguments])
    return [
        at_least(f"{load.name}_relays_per_s", pace.per_second, "1/s", MIN_RELAYS_PER_SECOND),
        at_most(f"{load.name}_relay_cpu_us", pace.cpu_us, "us", MAX_CPU_US),
    ]


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
