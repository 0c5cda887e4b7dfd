"""Real relayer processes on a devnet and a store of the test's own, under load."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
import yaml
from attrs import define, field, frozen

from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from relayminer.gateway.chain import GatewayChain
from relayminer.net.errors import NetError
from relayminer.net.ports import free_port
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, encode_http_request
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from relayminer.protocol.relay import request_hash, stored_relay
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.signature import SigningKey
from relayminer.state.names import KeyNames
from tests.cli.command import COMMAND, ENVIRONMENT
from tests.relayer.client import connect
from tests.spool.outage import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.state.gateway import Redis

PAYLOAD = encode_http_request(
    HttpRequest(
        "POST",
        "http://gateway/",
        {"Content-Type": ("application/json",)},
        b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}',
    )
)
HOST = "127.0.0.1"
BUDGETS = {"enabled": False}
"""A test that kills relayers again and again would use up what they had on lease."""


@frozen
class Stage:
    """A chain, a session on it, and where the relayers will listen."""

    home: Path
    devnet: Devnet
    header: SessionHeader
    ring: tuple[bytes, ...]
    gateway: SigningKey
    supplier: str
    port: int
    control_port: int

    def request(self) -> RelayRequest:
        """A fresh signed request."""
        request = RelayRequest(payload=PAYLOAD)
        request.meta.session_header.CopyFrom(self.header)
        request.meta.supplier_operator_address = self.supplier
        request.meta.signature = sign_ring(request_hash(request), self.ring, self.gateway)
        return request

    def write_config(self, store_url: str, **relayer: Any) -> Path:
        """The relayers' configuration."""
        info = self.devnet.info
        document = {
            "home": "node",
            "redis": {"url": store_url, "command_timeout_seconds": 1.0},
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
                "poll_interval_seconds": 0.2,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "relayer": {
                "listen": f"{HOST}:{self.port}",
                "services": {
                    name: {"backends": {"jsonrpc": {"url": info.backend_url}}}
                    for name in info.service_ids
                },
                "shutdown_delay_seconds": 0,
                "drain_seconds": 10,
                "metering": BUDGETS,
                **relayer,
            },
            "control": {"listen": f"{HOST}:{self.control_port}"},
        }
        path = self.home / "node.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    async def get(self, path: str, port: int | None = None) -> tuple[int, bytes]:
        """A page of the control plane, or of another port; (0, b"") when nobody answers."""
        try:
            client = await connect((HOST, port or self.control_port))
        except OSError:
            return 0, b""
        try:
            with trio.move_on_after(5):
                answer = await client.get(path.encode())
                return answer.status, answer.body
        except (NetError, ConnectionError, OSError):
            pass
        finally:
            client.wire.close()
        return 0, b""

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples on the page."""
        _, page = await self.get("/metrics")
        return sum(
            float(line.rpartition(" ")[2])
            for line in page.decode().splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        )

    async def wait_metric(self, name: str, value: float) -> None:
        """Until the sum of a metric's samples is this."""
        with trio.fail_after(30):
            while await self.metric(name) != value:  # noqa: ASYNC110 - a page has no event
                await trio.sleep(0.05)

    async def wait_ready(self, process: trio.Process) -> None:
        """Until both readiness pages say so."""
        with trio.fail_after(60):
            while True:
                assert process.returncode is None, (self.home / "node.log").read_text()[-3000:]
                ready = [await self.get("/ready"), await self.get("/ready", self.port)]
                if [status for status, _ in ready] == [200, 200]:
                    return
                await trio.sleep(0.05)

    async def problems(self) -> dict[str, str]:
        """What the control plane says is wrong."""
        _, body = await self.get("/ready")
        found: dict[str, str] = json.loads(body or b"{}").get("problems", {})
        return found


@asynccontextmanager
async def stage(home: Path) -> AsyncIterator[Stage]:
    """A stepped devnet with its backend and a session."""
    options = DevnetOptions(
        home=home / "devnet",
        block_time_seconds=None,
        rpc_port=0,
        grpc_port=0,
        control_port=0,
        backend_port=0,
        with_backend=True,
    )
    async with trio.open_nursery() as nursery:
        devnet: Devnet = await nursery.start(run_devnet, options)
        await devnet.node.step(3)
        info = devnet.info
        application = info.applications[0]
        async with GatewayChain(info.grpc_url) as chain:
            session = await chain.open_session(application.service_ids[0], application.address)
        yield Stage(
            home,
            devnet,
            session.header,
            session.ring,
            SigningKey(info.gateways[0].secret),
            info.suppliers[0].address,
            free_port(),
            free_port(),
        )
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def relayer(set_up: Stage, config: Path, *arguments: str) -> AsyncIterator[trio.Process]:
    """`relayminer run`, ready; killed at the end if it is still there."""
    async with trio.open_nursery() as nursery:
        with (set_up.home / "node.log").open("ab") as log:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [*COMMAND, "run", f"--config={config}", "--roles=relayer", *arguments],
                    stdout=log.fileno(),
                    stderr=subprocess.STDOUT,
                    check=False,
                    env=ENVIRONMENT,
                )
            )
        try:
            await set_up.wait_ready(process)
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                with trio.move_on_after(30, shield=True):
                    await process.wait()
                if process.returncode is None:
                    process.kill()


@define
class Load:
    """Clients with one relay in flight each.

    Attributes:
        answered: relay hashes of signed answers.
        refused: HTTP statuses of the others.
    """

    stage: Stage
    reconnect: bool = False
    answered: list[bytes] = field(factory=list)
    refused: Counter[int] = field(factory=Counter)
    stopping: bool = False

    async def client(self) -> None:
        """Until told to stop, or until nobody listens any more."""
        while not self.stopping:
            try:
                await self._converse()
            except (NetError, ConnectionError, OSError):
                if not self.reconnect:
                    return
                await trio.sleep(0.02)

    async def _converse(self) -> None:
        connection = await connect((HOST, self.stage.port))
        try:
            while not self.stopping:
                request = self.stage.request()
                answer = await connection.send(codec.encode(request))
                if answer.status == 200:
                    response = codec.decode(RelayResponse, answer.body)
                    self.answered.append(stored_relay(request, response).relay_hash)
                else:
                    self.refused[answer.status] += 1
                if any(
                    name.lower() == b"connection" and value.lower() == b"close"
                    for name, value in answer.headers
                ):
                    return
        finally:
            connection.wire.close()

    async def answers(self, more: int) -> None:
        """Wait for so many more signed answers."""
        wanted = len(self.answered) + more
        await until(lambda: len(self.answered) >= wanted)


@asynccontextmanager
async def load(set_up: Stage, clients: int = 24, *, reconnect: bool = False) -> AsyncIterator[Load]:
    """Clients that send while the block runs; at its end they have their answers or are gone."""
    running = Load(set_up, reconnect)
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(running.client)
        yield running
        running.stopping = True


async def logged_hashes(redis: Redis, supplier: str) -> Counter[bytes]:
    """Relay hashes in the supplier's log, with how often each is there."""
    entries = await redis.command("XRANGE", KeyNames().stream_key(supplier), "-", "+")
    return Counter(decode_mined_relay(fields[1]).relay_hash for _, fields in entries)
