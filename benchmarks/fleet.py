"""A devnet with a stepped clock, a miner, one relayer, a null backend: all real processes."""

from __future__ import annotations

import json
import socket
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import trio
import yaml

from benchmarks.processes import BenchmarkError, Child, relayminer
from benchmarks.sample import request_payload, signed_request
from relayminer.config.settings import NamespaceSettings, RedisSettings
from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.info import INFO_FILE, DevnetInfo, read_info
from relayminer.gateway.chain import GatewayChain
from relayminer.gateway.corpus import Target
from relayminer.net.ports import free_port
from relayminer.protocol.codec import encode
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.signature import SigningKey
from relayminer.smst import root_count
from relayminer.state.embedded import open_store
from relayminer.state.names import KeyNames
from relayminer.state.tries import TrieStore
from relayminer.testing.store import running_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relayminer.gateway.chain import OpenSession

HOST = "127.0.0.1"
START_SECONDS = 60.0
FIRST_HEIGHT = 13
"""In the second session: the first one keeps the params of the genesis."""
STEP_TIMEOUT_SECONDS = 60.0


class Fleet:
    """Everything that a relay passes on its way, on this machine.

    Attributes:
        relayer: the one relayer process.
        miner: the process that mines what it serves.
        address: where the relayer listens.
        targets: sessions and suppliers to send relays to.
    """

    relayer: Child
    miner: Child
    targets: list[Target]

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._home = directory / "home"
        self._stack = ExitStack()
        self.address = (HOST, free_port())

    def __enter__(self) -> Self:
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    async def relays_in_tries(self) -> int:
        """How many relays the durable tries of all targets hold."""
        async with (
            open_store(RedisSettings(), self._home) as url,
            running_gateway(url) as redis,
        ):
            store = TrieStore(
                redis, KeyNames(NamespaceSettings()), ttl_seconds=1, session_ttl_seconds=1
            )
            total = 0
            for target in self.targets:
                session = SessionHeader.FromString(target.header).session_id
                live = (await store.roots(target.supplier, session)).live
                total += 0 if live is None else root_count(live)
            return total

    def _start(self) -> None:
        info = self._start_devnet()
        backend = self._child("backend", ["-m", "benchmarks.null_backend"])
        backend.wait_until(lambda: backend.tail().endswith("\n"), "the port", START_SECONDS)
        config = self._write_config(info, int(backend.tail()))
        self.miner = self._run("miner", config, "miner,cache-leader")
        self.relayer = self._run("relayer", config, "relayer")
        self.relayer.wait_until(self._listens, "the relayer listens", START_SECONDS)
        trio.run(self._serve_first_relay, info)

    def _child(self, name: str, arguments: list[str]) -> Child:
        return self._stack.enter_context(Child(name, arguments, self._directory))

    def _start_devnet(self) -> DevnetInfo:
        home = self._directory / "devnet"
        free = ("--rpc-port", "0", "--grpc-port", "0", "--control-port", "0")
        url = f"http://{HOST}:{self.address[1]}"
        devnet = self._child(
            "devnet",
            relayminer("devnet", "--home", str(home), "--stepped", *free, "--relayer-url", url),
        )
        devnet.wait_until((home / INFO_FILE).exists, "the devnet answers", START_SECONDS)
        info = read_info(home)
        # Relays so cheap that no application's budget ends the run; new params hold from the next
        # session on.
        cheap = {"compute_units_to_tokens_multiplier": "1"}
        _post(f"{info.control_url}/control/params/shared", cheap)
        _post(f"{info.control_url}/control/step?until={FIRST_HEIGHT}")
        return info

    def _write_config(self, info: DevnetInfo, backend_port: int) -> Path:
        backends = {"jsonrpc": {"url": f"http://{HOST}:{backend_port}"}}
        settings = {
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "relayer": {
                "listen": f"{HOST}:{self.address[1]}",
                "services": {service: {"backends": backends} for service in info.service_ids},
            },
            "control": {"listen": f"{HOST}:0", "enabled": False},
            "logging": {"level": "warning"},
        }
        path = self._directory / "relayminer.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    def _run(self, name: str, config: Path, roles: str) -> Child:
        where = ("--config", str(config), "--home", str(self._home))
        return self._child(name, relayminer("run", *where, "--roles", roles))

    def _listens(self) -> bool:
        try:
            socket.create_connection(self.address, timeout=1).close()
        except OSError:
            return False
        return True

    async def _serve_first_relay(self, info: DevnetInfo) -> None:
        """Learn the sessions, and wait until every target's relay is answered as it must be."""
        key = SigningKey((info.gateways or info.applications)[0].secret)
        async with GatewayChain(info.grpc_url) as chain, HttpClient() as http:
            sessions = [
                await chain.open_session(service, application.address)
                for application in info.applications
                for service in application.service_ids
            ]
            gateway = Gateway(key, http)
            for session in sessions:
                for supplier in session.endpoints:
                    await self._wait_served(gateway, session, supplier, key)
        self.targets = [
            Target(
                session.header.SerializeToString(),
                supplier,
                session.ring,
                key.export_secret(),
                request_payload(0),
            )
            for session in sessions
            for supplier in session.endpoints
        ]

    async def _wait_served(
        self, gateway: Gateway, session: OpenSession, supplier: str, key: SigningKey
    ) -> None:
        deadline = trio.current_time() + START_SECONDS
        # Numbers below zero: the corpus starts at zero and no relay may come twice.
        for number in range(-1, -10_000, -1):
            request = signed_request(session.header, supplier, session.ring, key, number)
            record = await gateway.send(session, supplier, encode(request))
            if record.ok:
                return
            if trio.current_time() > deadline:
                raise BenchmarkError(f"no relay is served: {record.error}\n{self.relayer.tail()}")
            await trio.sleep(0.2)


def _post(url: str, body: Mapping[str, str] | None = None) -> object:
    data = json.dumps(body or {}).encode()
    request = urllib.request.Request(url, data=data, method="POST")  # noqa: S310 - our own devnet
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=STEP_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        return json.load(answer)
