"""The demonstration from start to verdict."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, TypeVar

import trio
from rich.console import Group

from relayminer.demo.balances import Accounts, Before, Change, changes, look
from relayminer.demo.chain_truth import ChainTruth
from relayminer.demo.children import Child, DemoError
from relayminer.demo.downtime import Downtime, explain_missed
from relayminer.demo.load import Load
from relayminer.demo.node_truth import open_node_truth
from relayminer.demo.plan import (
    CHAIN_HOME,
    NODE_HOME,
    chain_arguments,
    node_arguments,
    node_config,
)
from relayminer.demo.report import change_table, problems, progress, relay_table
from relayminer.devnet.errors import DevnetError
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.info import DevnetInfo, read_info
from relayminer.gateway.chain import GatewayChain
from relayminer.net.ports import free_port
from relayminer.protocol.pb import proof_pb2
from relayminer.protocol.windows import session_windows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.console import Console
    from rich.progress import Progress

    from relayminer.demo.plan import DemoOptions

_Found = TypeVar("_Found")

START_SECONDS = 60.0
POLL_SECONDS = 0.2
SETTLE_SECONDS_PER_BLOCK = 5.0
HTTP_OK = 200
KILL_IN_SESSION = 1
KILL_AT_PART = 0.5


class Demo:
    """One demonstration; `run` returns what was not as it must be (nothing, if all is well)."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._relayer_port = free_port()
        self._control_port = free_port()
        self._console_port = free_port()
        self._sent = 0
        self._killed = False
        self._downtime = Downtime()
        self._store_pid = 0
        home = options.home
        self._chain_child = Child(
            "the simulated chain",
            chain_arguments(options, self._relayer_port),
            home / "chain.log",
            restart=False,
        )
        self._config = home / "relayminer.yaml"
        self._node_child = Child(
            "the relayer and miner",
            node_arguments(options, self._config),
            home / "node.log",
            restart=options.kill_relayminer,
        )

    async def run(self) -> list[str]:
        """Start everything, send, wait for the money, compare, stop everything."""
        self._options.home.mkdir(parents=True, exist_ok=True)
        async with HttpClient() as http, trio.open_nursery() as nursery:
            self._console.print("starting a simulated chain, a relayer and a miner ...")
            await nursery.start(self._chain_child.run)
            info = await self._await("the chain", self._chain_info)
            config = node_config(info, self._relayer_port, self._control_port, self._console_port)
            self._config.write_text(config, encoding="utf-8")
            await nursery.start(self._node_child.run)
            ready = f"http://127.0.0.1:{self._relayer_port}/ready"
            await self._await("the relayer", lambda: self._is_ready(http, ready))
            self._console.print(
                f"watch it in a browser meanwhile: http://127.0.0.1:{self._console_port}/"
            )
            async with GatewayChain(info.grpc_url) as chain:
                found = await self._earn(info, chain, http)
            self._console.print("stopping ...")
            nursery.cancel_scope.cancel()
        return found

    async def _await(self, what: str, look_for: Callable[[], Awaitable[_Found | None]]) -> _Found:
        with trio.move_on_after(START_SECONDS):
            while True:
                found = await look_for()
                if found is not None:
                    return found
                await trio.sleep(POLL_SECONDS)
        raise DemoError(
            f"{what} was not ready within {START_SECONDS:g} s: see the logs in {self._options.home}"
        )

    async def _chain_info(self) -> DevnetInfo | None:
        try:
            return read_info(self._options.home / CHAIN_HOME)
        except DevnetError:
            return None

    async def _is_ready(self, http: HttpClient, url: str) -> bool | None:
        try:
            answer = await http.request("GET", url, timeout_seconds=POLL_SECONDS * 5)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, DevnetError):
            return None
        return True if answer.status == HTTP_OK else None

    async def _earn(self, info: DevnetInfo, chain: GatewayChain, http: HttpClient) -> list[str]:
        accounts = Accounts(chain)
        if self._options.kill_store:
            async with open_node_truth(self._options.home / NODE_HOME) as node:
                self._store_pid = await node.server_pid()
        load = Load(self._options, info, chain, http, during=self._during)
        truth = ChainTruth(
            info.rpc_url, http, load.rows, proof_fee_upokt=await proof_fee_upokt(chain)
        )
        truth.height = await truth.tip()
        before = await self._look(accounts, info)
        with progress(self._console) as bars:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._note_downtime, truth, http)
                last_end_height = await self._send(load, bars)
                params = await chain.shared_params()
                windows = session_windows(params, last_end_height)
                await self._settle(truth, windows.settlement_height, bars)
                nursery.cancel_scope.cancel()
        async with open_node_truth(self._options.home / NODE_HOME) as node:
            await node.read(load.rows)
        explain_missed(load.rows.all(), self._downtime, params)
        return await self._verdict(accounts, before, load, truth, info)

    async def _look(self, accounts: Accounts, info: DevnetInfo) -> Before:
        return await look(
            accounts,
            suppliers=[party.address for party in info.suppliers],
            applications=[party.address for party in info.applications],
            services=info.service_ids,
            validators=[
                party.address for party in info.others if party.name.startswith("validator")
            ],
        )

    async def _send(self, load: Load, bars: Progress) -> int:
        bar = bars.add_task("signed relays", total=self._options.relays, note="")
        end_height = 0

        async def watch() -> None:
            while True:
                bars.update(bar, completed=self._sent)
                await trio.sleep(POLL_SECONDS)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            end_height = await load.run()
            nursery.cancel_scope.cancel()
        bars.update(bar, completed=self._sent)
        return end_height

    def _during(self, session: int, part: float) -> None:
        self._sent += 1
        if self._killed or session != KILL_IN_SESSION or part < KILL_AT_PART:
            return
        self._killed = True
        if self._options.kill_relayminer:
            self._node_child.kill()
        if self._options.kill_store:
            os.kill(self._store_pid, signal.SIGKILL)

    async def _note_downtime(self, truth: ChainTruth, http: HttpClient) -> None:
        """See from when until when the killed node was away."""
        if not self._options.kill_relayminer:
            return
        ready = f"http://127.0.0.1:{self._relayer_port}/ready"
        down = self._downtime
        while not down.to_height:
            await trio.sleep(POLL_SECONDS)
            if self._killed and not down.from_height:
                down.from_height = await truth.tip()
            elif self._node_child.restarts and await self._is_ready(http, ready):
                down.to_height = await truth.tip()

    async def _settle(self, truth: ChainTruth, height: int, bars: Progress) -> None:
        first = truth.height
        bar = bars.add_task("blocks until all is settled", total=height - first, note="")
        with trio.move_on_after(SETTLE_SECONDS_PER_BLOCK * (height - first) + START_SECONDS):
            while truth.height < height:
                await truth.read_to(min(await truth.tip(), height))
                bars.update(bar, completed=truth.height - first, note=f"height {truth.height}")
                await trio.sleep(POLL_SECONDS)
            return
        raise DemoError(f"the chain did not reach height {height}: see {self._chain_child.log}")

    async def _verdict(
        self,
        accounts: Accounts,
        before: Before,
        load: Load,
        truth: ChainTruth,
        info: DevnetInfo,
    ) -> list[str]:
        rows = load.rows.all()
        parties = (*info.suppliers, *info.applications, *info.gateways, *info.others)
        names = {party.address: party.name for party in parties}
        names.setdefault(before.tokenomics.dao_reward_address, "dao")
        found: list[Change] = await changes(
            accounts,
            before,
            rows,
            fees_upokt=truth.fees_upokt,
            validator=next(iter(truth.validators), ""),
            names=names,
        )
        faults = self._options.faults
        self._console.print(Group(relay_table(rows, faults=faults), change_table(found)))
        ways = ", ".join(f"{name} {count}" for name, count in load.ways.most_common())
        self._console.print(f"served by transport: {ways}")
        return problems(rows, found, faults=faults)


async def proof_fee_upokt(chain: GatewayChain) -> int:
    """What the chain takes for each submitted proof."""
    answer = await chain.ask(
        "/pocket.proof.Query/Params",
        proof_pb2.QueryParamsRequest(),
        proof_pb2.QueryParamsResponse,
    )
    return int(answer.params.proof_submission_fee.amount or 0)
