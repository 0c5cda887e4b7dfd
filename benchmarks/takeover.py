"""How long nobody leads and nobody works for a supplier when the process that did is gone.

Real processes on one store. The one that leads and owns suppliers is killed (or told to end), a
relay is logged for each of its suppliers, and the time is taken until another one publishes blocks
and until the last of these relays is counted. Successors: a standby with another name; the same
name started again on the same data directory; the same name on a new one, as a container has it.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
import yaml
from attrs import define, field

from benchmarks.figures import Figure, at_most
from benchmarks.ingest import NUMBER, entry_halves
from benchmarks.processes import BenchmarkError, environment, relayminer
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from relayminer.state.names import KeyNames
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rich.console import Console

    from relayminer.devnet.info import DevnetInfo
    from relayminer.state.gateway import Redis

TAKEOVER_SECONDS_MAX: Final = 5.0
HAND_OVER_SECONDS_MAX: Final = 1.0
SUPPLIERS: Final = 8
STEADY_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.005
BLOCK_SECONDS: Final = 600.0
"""The chain stands still: no session ends, and nobody resigns for want of blocks."""

ANOTHER: Final = "another name"
SAME: Final = "same name"
SAME_NEW_HOME: Final = "same name, new home"
GRACEFUL: Final = "told to end"
VARIANTS: Final = (ANOTHER, SAME, SAME_NEW_HOME, GRACEFUL)


@define
class Times:
    """Seconds of each try, from the kill."""

    leader: list[float] = field(factory=list)
    suppliers: list[float] = field(factory=list)


@define
class Scene:
    """A chain, a store, and mining processes."""

    directory: Path
    info: DevnetInfo
    url: str
    redis: Redis
    nursery: trio.Nursery
    names: KeyNames = field(factory=KeyNames)
    processes: dict[str, trio.Process] = field(factory=dict)
    homes: int = 0
    relays: int = 0

    async def start(self, name: str, *, new_home: bool = False) -> None:
        """Start a process of this name."""
        if new_home:
            self.homes += 1
        home = self.directory / f"{name}-{self.homes}"
        config = self.directory / f"{name}.yaml"
        document = {
            "redis": {"url": self.url},
            "chain": {
                "chain_id": self.info.chain_id,
                "rpc_url": self.info.rpc_url,
                "grpc_url": self.info.grpc_url,
                "block_time_seconds": BLOCK_SECONDS,
            },
            "miner": {"consumer_name": name},
            "keys": {"keys_file": self.info.supplier_keys_file},
            "control": {"enabled": False},
            "logging": {"level": "info", "format": "json"},
        }
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        words = ("run", "--config", str(config), "--home", str(home))
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = await self.nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, *relayminer(*words, "--roles", "miner,cache-leader")],
                    stdout=log.fileno(),
                    stderr=subprocess.STDOUT,
                    check=False,
                    env=environment(),
                )
            )

    async def owners(self) -> dict[str, str]:
        """Who has each supplier's lease, and under an empty name who leads."""
        keys = {"": self.names.global_leader_key}
        for supplier in self.info.suppliers:
            keys[supplier.address] = self.names.miner_claim_key(supplier.address)
        values = await self.redis.pipeline([("GET", key) for key in keys.values()])
        return {
            one: value.decode()
            for one, value in zip(keys, values, strict=True)
            if value is not None
        }

    async def steady(self) -> dict[str, str]:
        """Wait until every process has its share; who has what."""
        share = SUPPLIERS // len(self.processes)
        with trio.move_on_after(STEADY_SECONDS):
            while True:
                owners = await self.owners()
                counts = [
                    sum(_name(owner) == name for one, owner in owners.items() if one)
                    for name in self.processes
                ]
                if "" in owners and counts == [share] * len(counts):
                    return owners
                await trio.sleep(0.05)
        raise BenchmarkError(f"never steady: {await self.owners()}\n{self.said()}")

    async def log_relays(self, suppliers: Sequence[str]) -> None:
        """One more relay of each."""
        self.relays += 1
        for supplier in suppliers:
            before, after = entry_halves(supplier, self.info.service_ids[0])
            data = before + NUMBER % self.relays + after
            await self.redis.command("XADD", self.names.stream_key(supplier), "*", "data", data)

    async def counted(self, suppliers: Sequence[str]) -> float:
        """Wait until their logs are empty; the moment."""
        streams = [("XLEN", self.names.stream_key(supplier)) for supplier in suppliers]
        with trio.move_on_after(STEADY_SECONDS):
            while any(await self.redis.pipeline(streams)):  # noqa: ASYNC110 - others' logs
                await trio.sleep(LOOK_SECONDS)
            return trio.current_time()
        raise BenchmarkError(f"never counted: {await self.owners()}\n{self.said()}")

    def said(self) -> str:
        """The ends of the logs."""
        return "\n".join(
            path.read_text(encoding="utf-8", errors="replace")[-1500:]
            for path in sorted(self.directory.glob("*.log"))
        )


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A devnet that stands still, and an empty store."""
    with tempfile.TemporaryDirectory(prefix="relayminer-takeover-") as folder:
        directory = Path(folder)
        options = DevnetOptions(
            home=directory / "devnet",
            block_time_seconds=None,
            rpc_port=0,
            grpc_port=0,
            control_port=0,
            suppliers=SUPPLIERS,
        )
        async with (
            fresh_store() as url,
            running_gateway(url) as redis,
            trio.open_nursery() as nursery,
        ):
            devnet: Devnet = await nursery.start(run_devnet, options)
            await devnet.node.step(3)
            one = Scene(directory, devnet.info, url, redis, nursery)
            try:
                yield one
            finally:
                for process in one.processes.values():
                    process.kill()
                nursery.cancel_scope.cancel()


async def measure(variant: str, tries: int) -> Times:
    """The times of one variant."""
    times = Times()
    async with scene() as one:
        await one.start("miner-a")
        if variant in {ANOTHER, GRACEFUL}:
            await one.start("miner-b")
        for number in range(tries):
            owners = await one.steady()
            await _try(one, variant, owners, times)
            name = _name(owners[""])
            if name not in one.processes and number + 1 < tries:
                await one.start(name)
    return times


async def _try(one: Scene, variant: str, owners: dict[str, str], times: Times) -> None:
    dead = owners[""]
    name = _name(dead)
    suppliers = [supplier for supplier, owner in owners.items() if supplier and owner == dead]
    async with one.redis.subscribe([one.names.block_event_channel]) as published:
        await anext(published)
        process = one.processes.pop(name)
        began = trio.current_time()
        process.send_signal(signal.SIGTERM if variant == GRACEFUL else signal.SIGKILL)
        await one.log_relays(suppliers)
        if variant in {SAME, SAME_NEW_HOME}:
            await one.start(name, new_home=variant == SAME_NEW_HOME)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_published, one, published, dead, began, times)
            times.suppliers.append(await one.counted(suppliers) - began)
    await process.wait()


async def _until_published(
    one: Scene, published: AsyncIterator[object], dead: str, began: float, times: Times
) -> None:
    with trio.move_on_after(STEADY_SECONDS):
        async for _ in published:
            if (await one.owners()).get("", dead) != dead:
                times.leader.append(trio.current_time() - began)
                return
    raise BenchmarkError(f"nobody leads: {await one.owners()}\n{one.said()}")


def _name(owner: str) -> str:
    """Without what makes it different at each start."""
    return owner.rpartition("-")[0]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def takeover_figures(*, tries: int, console: Console) -> list[Figure]:
    """Median, 95th percentile and maximum of each variant, of so many tries."""
    figures = []
    for variant in VARIANTS:
        times = trio.run(measure, variant, tries)
        limit = HAND_OVER_SECONDS_MAX if variant == GRACEFUL else TAKEOVER_SECONDS_MAX
        for what, values in (("leader", times.leader), ("suppliers", times.suppliers)):
            console.print(
                f"{variant}: {what}: {len(values)} tries, p50 {percentile(values, 0.5):.2f} s, "
                f"p95 {percentile(values, 0.95):.2f} s, max {max(values):.2f} s"
            )
            name = f"takeover_{what}_{variant.replace(',', '').replace(' ', '_')}"
            figures.append(Figure(f"{name}_p50", percentile(values, 0.5), "s"))
            figures.append(at_most(f"{name}_p95", percentile(values, 0.95), "s", limit))
            figures.append(Figure(f"{name}_max", max(values), "s"))
    return figures
