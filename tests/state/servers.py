"""Servers for tests: one alone, a pair with Sentinels, a cluster; all of them real processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from relayminer.net.ports import free_port
from relayminer.state.connection import GONE, RawConnection
from relayminer.state.errors import StoreReplyError
from relayminer.state.server_process import find_program
from relayminer.state.target import Target, open_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

WAIT_SECONDS: Final = 30.0
HOST: Final = "127.0.0.1"
# A cluster's nodes talk at their port plus this many.
BUS_OFFSET: Final = 10_000


def debian_server() -> str | None:
    """A server of the system, which is another version and knows TLS; None without one."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@attrs.define
class ServerProcess:
    """One server."""

    port: int
    process: subprocess.Popen[bytes] = attrs.field(repr=False)

    async def ask(self, *command: str | int) -> Any:
        """A command over a connection of its own."""
        connection = RawConnection(await open_stream(Target(host=HOST, port=self.port)))
        try:
            return await connection.execute(*command)
        finally:
            await connection.aclose()

    async def info(self, section: str) -> dict[str, str]:
        """What INFO says."""
        text = (await self.ask("INFO", section)).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It does nothing from now on."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self.process.send_signal(signal.SIGCONT)


async def until_true(condition: Callable[[], Any]) -> None:
    """Wait until the async `condition` holds."""
    with trio.fail_after(WAIT_SECONDS):
        while True:
            try:
                if await condition():
                    return
            except (*GONE, StoreReplyError):
                pass
            await trio.sleep(0.02)


@contextmanager
def launched(
    folder: Path, port: int, options: dict[str, str], *, program: str | None = None
) -> Iterator[ServerProcess]:
    """A server that has been started, not one that answers yet."""
    home = folder / str(port)
    home.mkdir(exist_ok=True)
    settings = {"port": str(port), "bind": HOST, "dir": str(home), "save": ""} | options
    quoted = {name: value or '""' for name, value in settings.items()}
    lines = "".join(f"{name} {value}\n" for name, value in quoted.items())
    config = home / "server.conf"
    config.write_text(lines, "utf-8")
    command = [program or find_program(), str(config)]
    if "sentinel monitor" in settings:
        command.append("--sentinel")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = ServerProcess(port, process)
    try:
        yield server
    finally:
        server.thaw()
        server.kill()


@asynccontextmanager
async def one_server(
    options: dict[str, str] | None = None, *, program: str | None = None
) -> AsyncIterator[ServerProcess]:
    """A server that answers at its plain port, with an append-only file unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="relayminer-server-") as folder:
        settings = {"appendonly": "yes"} | (options or {})
        with launched(Path(folder), free_port(), settings, program=program) as server:
            await until_true(lambda: server.ask("PING"))
            yield server


@attrs.frozen
class Guarded:
    """A primary, its replica, and the Sentinel that watches them."""

    servers: tuple[ServerProcess, ...]
    sentinel: ServerProcess

    @property
    def url(self) -> str:
        """For `redis.url`; the first Sentinel in it is away."""
        return f"redis-sentinel://{HOST}:1,{HOST}:{self.sentinel.port}/mymaster"

    async def primary_port(self) -> int:
        """As the Sentinel has it."""
        found = await self.sentinel.ask("SENTINEL", "get-master-addr-by-name", "mymaster")
        return int(found[1])


@asynccontextmanager
async def sentinel_servers(*, down_after_ms: int = 300) -> AsyncIterator[Guarded]:
    """A primary, a replica that has caught up, and a Sentinel that knows both.

    One alone, since several may need some seconds to agree on who is to act.
    """
    with tempfile.TemporaryDirectory(prefix="relayminer-sentinel-") as name:
        folder = Path(name)
        first, second, third = (free_port() for _ in range(3))
        data = {"appendonly": "yes", "repl-diskless-sync-delay": "0"}
        watch = {
            "sentinel monitor": f"mymaster {HOST} {first} 1",
            "sentinel down-after-milliseconds": f"mymaster {down_after_ms}",
            "sentinel failover-timeout": "mymaster 1000",
        }
        with (
            launched(folder, first, data) as primary,
            launched(folder, second, data | {"replicaof": f"{HOST} {first}"}) as replica,
        ):
            await until_true(partial(_has_caught_up, replica))
            with launched(folder, third, watch) as sentinel:
                await until_true(partial(_knows_replica, sentinel))
                yield Guarded((primary, replica), sentinel)


async def _knows_replica(sentinel: ServerProcess) -> bool:
    (found,) = await sentinel.ask("SENTINEL", "MASTERS")
    facts = dict(zip(found[::2], found[1::2], strict=True))
    return bool(facts[b"flags"] == b"master" and facts[b"num-slaves"] == b"1")


@contextmanager
def cluster_servers(*, replicas: bool = False) -> Iterator[tuple[ServerProcess, ...]]:
    """A cluster of three primaries, with a replica each if need be: those come last.

    Not inside of a Trio program, so that a fixture of several tests can use it.
    """
    options = {
        "appendonly": "yes",
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        "cluster-replica-validity-factor": "0",
        "cluster-require-full-coverage": "no",
        "repl-diskless-sync-delay": "0",
    }
    with (
        tempfile.TemporaryDirectory(prefix="relayminer-cluster-") as folder,
        ExitStack() as stack,
    ):
        servers = [
            stack.enter_context(launched(Path(folder), free_port(beside=BUS_OFFSET), options))
            for _ in range(6 if replicas else 3)
        ]
        trio.run(_make_cluster, servers)
        yield tuple(servers)


async def _make_cluster(servers: list[ServerProcess]) -> None:
    for server in servers:
        await until_true(partial(server.ask, "PING"))
    primaries, replicas = servers[:3], servers[3:]
    share = REDIS_CLUSTER_HASH_SLOTS // 3 + 1
    for number, server in enumerate(primaries):
        last = min((number + 1) * share, REDIS_CLUSTER_HASH_SLOTS) - 1
        await server.ask("CLUSTER", "ADDSLOTS", *range(number * share, last + 1))
    for server in servers[1:]:
        await server.ask("CLUSTER", "MEET", HOST, servers[0].port)
    for server in servers:
        await until_true(partial(_knows, server, len(servers)))
    for server, primary in zip(replicas, primaries, strict=False):
        node = (await primary.ask("CLUSTER", "MYID")).decode()
        await server.ask("CLUSTER", "REPLICATE", node)
    for server in servers:
        await until_true(partial(_sees_cluster, server))
    for server in replicas:
        await until_true(partial(_has_caught_up, server))


async def _knows(server: ServerProcess, nodes: int) -> bool:
    known = (await server.ask("CLUSTER", "NODES")).decode()
    return known.count("connected") == nodes and "handshake" not in known


async def _sees_cluster(server: ServerProcess) -> bool:
    return "cluster_state:ok" in (await server.ask("CLUSTER", "INFO")).decode()


async def _has_caught_up(server: ServerProcess) -> bool:
    return (await server.info("replication")).get("master_link_status") == "up"
