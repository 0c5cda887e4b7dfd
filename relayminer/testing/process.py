"""A stand whose relayer is `relayminer run`: a process of its own, on a devnet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio
import yaml
from attrs import define, frozen

from relayminer.config.settings import RedisSettings
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import Devnet, run_devnet
from relayminer.errors import RelayMinerError
from relayminer.gateway.chain import GatewayChain
from relayminer.net.errors import NetError
from relayminer.net.ports import free_port
from relayminer.protocol.budget import relay_cost_upokt
from relayminer.protocol.pb import service_pb2
from relayminer.protocol.signature import SigningKey
from relayminer.state.embedded import open_store
from relayminer.state.names import KeyNames
from relayminer.testing.http_client import connect
from relayminer.testing.parties import Parties
from relayminer.testing.stand import Stand
from relayminer.testing.store import running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.testing.driver import DrivenBackend, TransportDriver
    from relayminer.testing.stand import Wanted

_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
_OK = 200


class NodeFailedError(RelayMinerError):
    """`relayminer run` has ended when it should not; the text is what it said."""


@define(eq=False)
class _Node:
    """`relayminer run` as a process."""

    process: trio.Process
    address: tuple[str, int]
    devnet: Devnet
    end_height: int

    @property
    def process_id(self) -> int:
        """Of the relayer."""
        return self.process.pid

    async def end_session(self) -> None:
        """Make blocks until the session's grace period is over."""
        node = self.devnet.node
        await node.step(max(1, self.end_height + 1 - node.chain.height))

    def stop(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def wait_stopped(self) -> None:
        """Return when the process has ended."""
        await self.process.wait()


@frozen
class ProcessStands:
    """Stands on a devnet, each with a relayer process of its own.

    Attributes:
        python_path: directories that the process imports from, and finds plugins in.
    """

    driver: TransportDriver
    soak: bool = False
    python_path: Sequence[Path] = ()

    @asynccontextmanager
    async def open(self, wanted: Wanted) -> AsyncIterator[Stand]:
        """A stand of its own for as long as the block."""
        backend = self.driver.backend(wanted.bodies)
        with tempfile.TemporaryDirectory(prefix="relayminer-stand-") as folder:
            home = Path(folder)
            async with (
                open_store(RedisSettings(), home / "node") as url,
                trio.open_nursery() as nursery,
            ):
                await nursery.start(backend.run)
                devnet: Devnet = await nursery.start(run_devnet, _devnet_options(home))
                await devnet.node.step(3)
                parties = await _parties(devnet)
                port = free_port()
                config = home / "node.yaml"
                document = self._document(devnet, backend, wanted, parties, port)
                config.write_text(yaml.safe_dump(document), encoding="utf-8")
                process = await self._start(nursery, config, home / "log")
                node = _Node(process, (_HOST, port), devnet, await _grace_end_height(devnet))
                try:
                    async with running_gateway(url) as redis:
                        await _until_ready(node, home / "log")
                        yield Stand(self.driver, parties, node, backend, redis, KeyNames())
                finally:
                    process.kill()
                    nursery.cancel_scope.cancel()

    async def _start(self, nursery: trio.Nursery, config: Path, log: Path) -> trio.Process:
        paths = [*map(str, self.python_path), os.environ.get("PYTHONPATH", "")]
        with log.open("wb") as output:
            run = partial(
                trio.run_process,
                [
                    sys.executable,
                    "-m",
                    "relayminer",
                    "run",
                    "--roles=relayer",
                    f"--config={config}",
                ],
                stdout=output.fileno(),
                stderr=subprocess.STDOUT,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
            process: trio.Process = await nursery.start(run)
        return process

    def _document(
        self,
        devnet: Devnet,
        backend: DrivenBackend,
        wanted: Wanted,
        parties: Parties,
        port: int,
    ) -> dict[str, object]:
        info = devnet.info
        service = {
            "default_backend": self.driver.backend_type,
            "backends": {self.driver.backend_type: {"url": backend.url}},
            "max_body_bytes": wanted.max_body_bytes,
        }
        return {
            "home": "node",
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
                "poll_interval_seconds": 0.2,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "relayer": {
                "listen": f"{_HOST}:{port}",
                "services": {parties.header.service_id: service},
                "max_body_bytes": wanted.max_body_bytes,
                "drain_seconds": wanted.drain_seconds,
            },
            "control": {"enabled": False},
        }


def _devnet_options(home: Path) -> DevnetOptions:
    return DevnetOptions(
        home=home / "devnet",
        block_time_seconds=None,
        rpc_port=0,
        grpc_port=0,
        control_port=0,
        backend_port=0,
    )


async def _parties(devnet: Devnet) -> Parties:
    info = devnet.info
    application, gateway, supplier = info.applications[0], info.gateways[0], info.suppliers[0]
    async with GatewayChain(info.grpc_url) as chain:
        session = await chain.open_session(application.service_ids[0], application.address)
        staked = await chain.application(application.address)
        params = await chain.shared_params()
        answer = await chain.ask(
            "/pocket.service.Query/Service",
            service_pb2.QueryGetServiceRequest(id=application.service_ids[0]),
            service_pb2.QueryGetServiceResponse,
        )
    return Parties(
        header=session.header,
        ring=session.ring,
        gateway_key=SigningKey(gateway.secret),
        supplier=supplier.address,
        supplier_public_key=session.endpoints[supplier.address].public_key,
        cost_upokt=relay_cost_upokt(answer.service.compute_units_per_relay, params),
        stake_upokt=int(staked.stake.amount),
    )


async def _grace_end_height(devnet: Devnet) -> int:
    application = devnet.info.applications[0]
    async with GatewayChain(devnet.info.grpc_url) as chain:
        params = await chain.shared_params()
        session = await chain.session(application.service_ids[0], application.address)
    end: int = session.header.session_end_block_height
    return end + int(params.grace_period_end_offset_blocks)


async def _until_ready(node: _Node, log: Path) -> None:
    with trio.move_on_after(_START_SECONDS):
        while node.process.returncode is None:
            try:
                client = await connect(node.address)
            except OSError:
                await trio.sleep(_PAUSE_SECONDS)
                continue
            try:
                if (await client.get(b"/ready")).status == _OK:
                    return
            except (NetError, ConnectionError):
                pass
            finally:
                client.wire.close()
            await trio.sleep(_PAUSE_SECONDS)
    said = await trio.Path(log).read_text()
    raise NodeFailedError(f"relayminer run is not ready:\n{said}")
