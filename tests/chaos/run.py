"""One chaos run from the first process to the verdict."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
import yaml
from attrs import define, field

from relayminer.demo.chain_truth import ChainTruth
from relayminer.demo.children import Child, DemoError
from relayminer.demo.plan import CHAIN_HOME, chain_arguments
from relayminer.devnet.errors import DevnetError
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.info import DevnetInfo, read_info
from relayminer.gateway.chain import GatewayChain
from relayminer.net.ports import free_port
from relayminer.protocol.windows import session_windows
from relayminer.state.names import KeyNames
from relayminer.testing.store import running_gateway
from tests.chaos.chain import NOT_NOW, ChainControl, follow
from tests.chaos.gateway import Load, Sent
from tests.chaos.leaves import LeafReader
from tests.chaos.plan import ChaosOptions, troubles
from tests.chaos.trouble import Troublemaker
from tests.chaos.verdict import Count, counted
from tests.spool.outage import Store, own_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

_Found = TypeVar("_Found")

HOST = "127.0.0.1"
START_SECONDS = 90.0
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 5.0
AFTER_BLOCKS = 4
HTTP_OK = 200


@define
class Outcome:
    """What a run has found."""

    seed: int
    kills: int = 0
    stops: int = 0
    counts: list[Count] = field(factory=list)

    @property
    def answered(self) -> int:
        """Relays that were answered to the client."""
        return sum(count.answered for count in self.counts)

    @property
    def difference(self) -> int:
        """Relays that are not where they must be."""
        return sum(count.difference for count in self.counts)

    def line(self) -> str:
        """The run in one line."""
        leaves = sum(count.leaves for count in self.counts)
        settled = sum(count.row.settled for count in self.counts)
        return (
            f"seed {self.seed}: {self.kills} kills, {self.stops} stops, "
            f"{self.answered} relays answered, {leaves} leaves, {settled} settled, "
            f"difference {self.difference}"
        )


class ChaosRun:
    """One run; `run` returns what it has found.

    Attributes:
        sent: every relay that was sent, after the run.
    """

    def __init__(
        self,
        options: ChaosOptions,
        say: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._options = options
        self._say = say
        self._environment = environment
        self.sent: list[Sent] = []
        self._ports = [free_port() for _ in range(options.relayers)]
        home = options.home
        home.mkdir(parents=True, exist_ok=True)
        self._chain_child = Child(
            "the simulated chain",
            chain_arguments(options, self._ports[0]),
            home / "chain.log",
            restart=False,
        )
        self._relayers = [self._child("relayer", n, "relayer") for n in range(options.relayers)]
        self._miners = [
            self._child("miner", n, "miner,cache-leader") for n in range(options.miners)
        ]

    def _child(self, name: str, number: int, roles: str) -> Child:
        home = self._options.home
        config = home / f"{name}{number}.yaml"
        arguments = [
            "run",
            f"--config={config}",
            f"--roles={roles}",
            f"--home={home / name}{number}",
        ]
        return Child(
            f"{name}{number}",
            arguments,
            home / f"{name}{number}.log",
            restart=True,
            environment=self._environment,
        )

    async def run(self) -> Outcome:
        """Start everything, send and hurt, wait until all is settled, compare."""
        async with (
            HttpClient() as http,
            own_store(self._options.home / "store") as store,
            trio.open_nursery() as nursery,
        ):
            self._say("starting a chain, a store, relayers and miners ...")
            await nursery.start(self._chain_child.run)
            info = await self._await("the chain", self._chain_info)
            control = ChainControl(info.control_url, http)
            await control.params("shared", dict(self._options.params))
            self._write_configs(info, store)
            for child in (*self._relayers, *self._miners):
                await nursery.start(child.run)
            for port in self._ports:
                ready = partial(self._is_ready, http, port)
                await self._await(f"the relayer at port {port}", ready)
            async with GatewayChain(info.grpc_url) as chain:
                await self._await(
                    "the session of the new parameters",
                    partial(_in_force, chain, self._options.params),
                )
                outcome = await self._earn(info, chain, control, http, store)
            self._say("stopping ...")
            nursery.cancel_scope.cancel()
        return outcome

    async def _earn(
        self,
        info: DevnetInfo,
        chain: GatewayChain,
        control: ChainControl,
        http: HttpClient,
        store: Store,
    ) -> Outcome:
        options = self._options
        load = Load(
            options,
            info,
            chain,
            control,
            [f"http://{HOST}:{port}" for port in self._ports],
            random.Random(f"load {options.seed}"),  # noqa: S311 - a test's dice
        )
        truth = ChainTruth(info.rpc_url, http, load.rows, proof_fee_upokt=0)
        truth.height = await control.height()
        trouble = Troublemaker(self._relayers, self._miners, store, control)
        async with reading(store, load) as reader, trio.open_nursery() as nursery:
            nursery.start_soon(follow, truth)
            nursery.start_soon(self._tell, load, truth, trouble)
            async with trio.open_nursery() as working:
                working.start_soon(self._during, trouble, http)
                with trio.move_on_after(options.load_seconds):
                    await load.run()
            await self._settled(chain, control, load, truth)
            nursery.cancel_scope.cancel()
        self.sent = list(load.sent.values())
        counts = []
        for row in load.rows.all():
            place = (row.supplier, row.session_id)
            sent = {
                key: one
                for key, one in load.sent.items()
                if (one.supplier, one.session_id) == place
            }
            count = counted(row, sent, reader.tries.get(place))
            if count.difference and place in reader.broken:
                count.problems.append(f"its trie: {reader.broken[place]}")
            counts.append(count)
        stops = sum(n for kind, n in trouble.done.items() if kind.value.startswith("stop"))
        return Outcome(options.seed, trouble.kills, stops, counts)

    async def _during(self, trouble: Troublemaker, http: HttpClient) -> None:
        """What happens while relays are sent."""
        del http
        await trouble.run(troubles(self._options))

    async def _settled(
        self, chain: GatewayChain, control: ChainControl, load: Load, truth: ChainTruth
    ) -> None:
        """Wait until every block is read in which something can be settled."""
        params = await chain.shared_params()
        height = session_windows(params, load.last_end_height).settlement_height + AFTER_BLOCKS
        limit = START_SECONDS + 3 * self._options.block_seconds * (height - await control.height())
        with trio.move_on_after(limit):
            while truth.height < height:  # noqa: ASYNC110 - the chain is another process
                await trio.sleep(POLL_SECONDS)
            return
        raise DemoError(f"the chain did not reach {height}: see {self._chain_child.log}")

    async def _tell(self, load: Load, truth: ChainTruth, trouble: Troublemaker) -> None:
        """Say now and then how far it is."""
        began = trio.current_time()
        while True:
            await trio.sleep(PROGRESS_SECONDS)
            rows = load.rows.all()
            paid = sum(row.settled > 0 for row in rows)
            minutes, seconds = divmod(int(trio.current_time() - began), 60)
            self._say(
                f"{minutes:02}:{seconds:02}  block {truth.height}, {load.answered} answered, "
                f"{paid} of {len(rows)} claims settled, {trouble.kills} kills; "
                f"last: {trouble.last}"
            )

    def _write_configs(self, info: DevnetInfo, store: Store) -> None:
        backend = {"backends": {"jsonrpc": {"url": info.backend_url}}}
        common = {
            "redis": {"url": store.url},
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
                "block_time_seconds": self._options.block_seconds,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "control": {"enabled": False},
            # The chain's claims are counted to the relay, also those that are not worth their fee.
            "miner": {"require_profit": False},
        }
        for number, port in enumerate(self._ports):
            relayer = {
                "listen": f"{HOST}:{port}",
                "services": dict.fromkeys(info.service_ids, backend),
                # Killed again and again, relayers would use up what they had on lease.
                "metering": {"enabled": False},
                "shutdown_delay_seconds": 0,
            }
            self._write(f"relayer{number}", {**common, "relayer": relayer})
        for number in range(self._options.miners):
            self._write(f"miner{number}", common)

    def _write(self, name: str, document: dict[str, object]) -> None:
        path = self._options.home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")

    async def _await(self, what: str, look_for: Callable[[], Awaitable[_Found | None]]) -> _Found:
        with trio.move_on_after(START_SECONDS):
            while True:
                found = await look_for()
                if found is not None:
                    return found
                await trio.sleep(POLL_SECONDS)
        raise DemoError(f"{what} was not there in {START_SECONDS:g} s: see {self._options.home}")

    async def _chain_info(self) -> DevnetInfo | None:
        try:
            return read_info(self._options.home / CHAIN_HOME)
        except DevnetError:
            return None

    async def _is_ready(self, http: HttpClient, port: int) -> bool | None:
        try:
            answer = await http.request("GET", f"http://{HOST}:{port}/ready", timeout_seconds=2)
        except NOT_NOW:
            return None
        return True if answer.status == HTTP_OK else None


async def _in_force(chain: GatewayChain, wanted: Mapping[str, int]) -> bool | None:
    """Whether the wanted parameters are in force; None when they are not."""
    params = await chain.shared_params()
    there = all(getattr(params, name) == value for name, value in wanted.items())
    return True if there else None


@asynccontextmanager
async def reading(store: Store, load: Load) -> AsyncIterator[LeafReader]:
    """A reader of the sealed tries while the block runs."""
    async with running_gateway(store.url) as redis, trio.open_nursery() as nursery:
        reader = LeafReader(redis, KeyNames(), load.rows)
        nursery.start_soon(reader.run)
        yield reader
        nursery.cancel_scope.cancel()


def logs_of(home: Path) -> list[Path]:
    """Where the processes have written."""
    return sorted(home.glob("*.log"))
