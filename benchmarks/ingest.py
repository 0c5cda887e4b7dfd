"""A whole miner process that empties the relay logs of a hundred suppliers.

Rounds of relays are put into the logs at once, by a script inside the store, and the time is taken
until the last of them is in a durable trie and its entry gone. What a round leaves behind stays:
the tries live on, and the last rounds show what a miner costs and holds with all of them.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
import yaml
from attrs import define

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.processes import BenchmarkError, Child, relayminer
from benchmarks.sample import Parties, response_payload, signed_request
from relayminer.config.settings import NamespaceSettings, RedisSettings
from relayminer.devnet.chain.make_genesis import COMPUTE_UNITS_PER_RELAY
from relayminer.devnet.info import INFO_FILE, DevnetInfo, read_info
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.relay import sign_response, stored_relay
from relayminer.smst import root_count
from relayminer.state.embedded import open_store
from relayminer.state.names import KeyNames
from relayminer.state.tries import TrieStore
from relayminer.testing.store import running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from relayminer.state.gateway import Redis

SUPPLIERS: Final = 100
LEAVES: Final = 1_000_000
ROUND: Final = 200_000
NUMBER: Final = b"%012d"
START_SECONDS: Final = 90.0
STALL_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
SESSION_END_HEIGHT: Final = 10

RELAYS_PER_SECOND_MIN: Final = 5000
CPU_US_MAX: Final = 150
RESIDENT_MB_MAX: Final = 450

FILL: Final = """
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
for number = first, first + count - 1 do
  redis.call('XADD', KEYS[1], '*', 'data', ARGV[1] .. string.format('%012d', number) .. ARGV[2])
end
return count
"""
"""Puts entries into the log KEYS[1]: ARGV[1] and ARGV[2] with each of ARGV[4] numbers from ARGV[3]
on between them."""


@define
class Round:
    """What one round took."""

    relays: int
    seconds: float
    miner_cpu_seconds: float
    store_cpu_seconds: float
    resident_mb: float


class Mining:
    """A devnet that stands still, and a miner of its hundred suppliers."""

    def __init__(self, directory: Path, suppliers: int) -> None:
        self.home = directory / "home"
        self._directory = directory
        self._suppliers = suppliers
        self.names = KeyNames(NamespaceSettings())

    @contextmanager
    def devnet(self) -> Iterator[DevnetInfo]:
        """The chain."""
        home = self._directory / "devnet"
        ports = ("--rpc-port", "0", "--grpc-port", "0", "--control-port", "0")
        count = ("--suppliers", str(self._suppliers))
        words = relayminer("devnet", "--home", str(home), "--stepped", *ports, *count)
        with Child("devnet", words, self._directory) as child:
            child.wait_until((home / INFO_FILE).exists, "the devnet answers", START_SECONDS)
            yield read_info(home)

    @contextmanager
    def miner(self, info: DevnetInfo) -> Iterator[Child]:
        """The miner's process."""
        path = self._directory / "relayminer.yaml"
        settings = {
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "control": {"listen": "127.0.0.1:0", "enabled": False},
            "logging": {"level": "warning"},
        }
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        where = ("--config", str(path), "--home", str(self.home))
        words = relayminer("run", *where, "--roles", "miner,cache-leader")
        with Child("miner", words, self._directory) as child:
            yield child


def ingest_figures(*, leaves: int, console: Console) -> list[Figure]:
    """Relays a second, CPU of miner and store for a relay, and memory with all tries live."""
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as directory:
        rounds = trio.run(_measure, Mining(Path(directory), SUPPLIERS), leaves, console)
    relays = sum(one.relays for one in rounds)
    seconds = sum(one.seconds for one in rounds)
    miner_cpu = sum(one.miner_cpu_seconds for one in rounds)
    store_cpu = sum(one.store_cpu_seconds for one in rounds)
    return [
        at_least("ingest_relays_per_second", relays / seconds, "1/s", RELAYS_PER_SECOND_MIN),
        at_most("ingest_miner_cpu_us", miner_cpu / relays * 1e6, "us", CPU_US_MAX),
        Figure("ingest_store_cpu_us", store_cpu / relays * 1e6, "us"),
        Figure("ingest_live_leaves", relays, ""),
        at_most(
            "ingest_resident_mb", max(one.resident_mb for one in rounds), "MB", RESIDENT_MB_MAX
        ),
    ]


async def _measure(mining: Mining, leaves: int, console: Console) -> list[Round]:
    rounds = []
    with mining.devnet() as info:
        async with (
            open_store(RedisSettings(), mining.home) as url,
            running_gateway(url, RedisSettings(command_timeout_seconds=60)) as redis,
        ):
            suppliers = [one.address for one in info.suppliers]
            with mining.miner(info) as miner:
                await _fill(redis, mining.names, info, 0, len(suppliers))
                await _counted(redis, mining.names, suppliers, len(suppliers), miner)
                done = len(suppliers)
                while done < leaves:
                    count = min(ROUND, leaves - done)
                    count -= count % len(suppliers) or 0
                    if not count:
                        break
                    rounds.append(await _round(redis, mining, info, miner, (done, count)))
                    done += count
                    console.print(_line(rounds[-1], done))
    return rounds


async def _round(
    redis: Redis, mining: Mining, info: DevnetInfo, miner: Child, numbers: tuple[int, int]
) -> Round:
    """Log so many relays from a number on and wait until the last one is durable."""
    done, count = numbers
    suppliers = [one.address for one in info.suppliers]
    cpu_before, store_before = miner.cpu_seconds(), await _store_cpu(redis)
    started = time.perf_counter()
    await _fill(redis, mining.names, info, done, count)
    filled_cpu = await _store_cpu(redis) - store_before
    await _counted(redis, mining.names, suppliers, done + count, miner)
    return Round(
        relays=count,
        seconds=time.perf_counter() - started,
        miner_cpu_seconds=miner.cpu_seconds() - cpu_before,
        store_cpu_seconds=await _store_cpu(redis) - store_before - filled_cpu,
        resident_mb=resident_mb(miner.pid),
    )


def _line(one: Round, leaves: int) -> str:
    return (
        f"{leaves:>9,} leaves: {one.relays / one.seconds:,.0f} relays/s, "
        f"miner {one.miner_cpu_seconds / one.relays * 1e6:.0f} us, "
        f"store {one.store_cpu_seconds / one.relays * 1e6:.0f} us a relay, "
        f"{one.resident_mb:.0f} MB"
    )


async def _fill(redis: Redis, names: KeyNames, info: DevnetInfo, first: int, count: int) -> None:
    """Log `count` relays with numbers from `first` on, spread over all suppliers."""
    share = count // len(info.suppliers)
    for index, supplier in enumerate(info.suppliers):
        before, after = entry_halves(supplier.address, info.service_ids[0])
        await redis.command(
            *("EVAL", FILL, 1, names.stream_key(supplier.address)),
            *(before, after, first + index * share, share),
        )


async def _counted(
    redis: Redis, names: KeyNames, suppliers: list[str], leaves: int, miner: Child
) -> None:
    """Wait until the tries have so many leaves and the logs none.

    Raises:
        BenchmarkError: nothing has moved for a minute.
    """
    store = TrieStore(redis, names, ttl_seconds=1, session_ttl_seconds=1)
    seen, deadline = -1, trio.current_time() + STALL_SECONDS
    while True:
        await trio.sleep(POLL_SECONDS)
        found, waiting = 0, 0
        for supplier in suppliers:
            live = (await store.roots(supplier, session_id(supplier))).live
            found += 0 if live is None else root_count(live)
            waiting += int(await redis.command("XLEN", names.stream_key(supplier)))
        if found == leaves and not waiting:
            return
        if found > leaves:
            raise BenchmarkError(f"{found} leaves of {leaves} relays")
        if found > seen:
            seen, deadline = found, trio.current_time() + STALL_SECONDS
        elif trio.current_time() > deadline:
            raise BenchmarkError(f"{found} of {leaves} relays counted:\n{miner.tail()}")


def session_id(supplier: str) -> str:
    """The one session of a supplier."""
    return sha256(f"session of {supplier}".encode()).hexdigest()


def entry_halves(supplier: str, service_id: str) -> tuple[bytes, bytes]:
    """A log entry of the usual size, in two parts that belong around a number of 12 digits."""
    parties = Parties()
    header = parties.header
    header.session_id, header.service_id = session_id(supplier), service_id
    request = signed_request(header, supplier, parties.ring, parties.gateway, 0)
    request.payload = request.payload.replace(b'"id":0', b'"id":' + NUMBER % 0)
    response = sign_response(header, response_payload(), parties.supplier)
    message = MinedRelayMessage(
        relay_bytes=stored_relay(request, response).relay_bytes,
        compute_units_per_relay=COMPUTE_UNITS_PER_RELAY,
        session_id=header.session_id,
        session_start_height=1,
        session_end_height=SESSION_END_HEIGHT,
        supplier_operator_address=supplier,
        service_id=service_id,
        application_address=header.application_address,
        arrival_block_height=1,
        published_at_unix_nano=1,
    )
    # No hash: the miner computes it, as it does for every entry.
    before, _, after = message.SerializeToString().partition(NUMBER % 0)
    return before, after


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchmarkError(f"process {pid} has no memory")


async def _store_cpu(redis: Redis) -> float:
    """User and system seconds of the store so far."""
    text = (await redis.command("INFO", "cpu")).decode()
    facts = dict(line.split(":") for line in text.splitlines() if ":" in line)
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])
