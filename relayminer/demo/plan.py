"""What the demonstration sends: which relays, in which sessions, and where everything listens."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - attrs resolves annotations at run time
from typing import TYPE_CHECKING, Protocol

import yaml
from attrs import frozen

if TYPE_CHECKING:
    from relayminer.devnet.info import DevnetInfo

CHAIN_HOME = "chain"
NODE_HOME = "node"


@frozen(kw_only=True)
class DemoOptions:
    """The size of the demonstration.

    Attributes:
        home: directory for everything that it writes.
        sessions: sessions in a row that relays are sent in.
        relays_per_row: relays per supplier, service and session.
        block_seconds: seconds between blocks of the simulated chain.
        kill_relayminer: end relayer and miner like a crash, in the middle of the second session.
        kill_store: end the store like a crash, in the middle of the second session.
    """

    home: Path
    sessions: int = 3
    services: int = 2
    suppliers: int = 3
    relays_per_row: int = 120
    block_seconds: float = 1.0
    concurrency: int = 12
    kill_relayminer: bool = False
    kill_store: bool = False

    @property
    def faults(self) -> bool:
        """Whether something is killed on purpose."""
        return self.kill_relayminer or self.kill_store

    @property
    def relays(self) -> int:
        """How many relays are sent in all."""
        return self.sessions * self.services * self.suppliers * self.relays_per_row


class ChainSize(Protocol):
    """What a simulated chain is made of."""

    @property
    def home(self) -> Path:
        """Parent of the chain's own directory."""
        ...

    @property
    def block_seconds(self) -> float:
        """Seconds between blocks."""
        ...

    @property
    def services(self) -> int:
        """Services, one application each."""
        ...

    @property
    def suppliers(self) -> int:
        """Suppliers of each service."""
        ...


def chain_arguments(options: ChainSize, relayer_port: int) -> list[str]:
    """How the simulated chain is started: with any free ports, and a demo backend."""
    return [
        "devnet",
        f"--home={options.home / CHAIN_HOME}",
        f"--block-time={options.block_seconds:g}s",
        "--rpc-port=0",
        "--grpc-port=0",
        "--control-port=0",
        "--with-backend",
        "--backend-port=0",
        f"--services={options.services}",
        f"--suppliers={options.suppliers}",
        f"--applications={options.services}",
        f"--relayer-url=http://127.0.0.1:{relayer_port}",
    ]


def node_config(info: DevnetInfo, relayer_port: int, control_port: int, console_port: int) -> str:
    """The YAML that a person would write for this node; everything else is a default."""
    backend = {
        "backends": {
            "jsonrpc": {"url": info.backend_url},
            "rest": {"url": info.backend_url},
            "websocket": {"url": info.backend_url.replace("http", "ws", 1)},
            "grpc": {"url": info.backend_grpc},
        }
    }
    return yaml.safe_dump(
        {
            "chain": {
                "chain_id": info.chain_id,
                "rpc_url": info.rpc_url,
                "grpc_url": info.grpc_url,
                "block_time_seconds": info.block_time_seconds,
            },
            "keys": {"keys_file": info.supplier_keys_file},
            "relayer": {
                "listen": f"127.0.0.1:{relayer_port}",
                "services": dict.fromkeys(info.service_ids, backend),
            },
            "control": {"listen": f"127.0.0.1:{control_port}"},
            "console": {"enabled": True, "listen": f"127.0.0.1:{console_port}"},
        },
        sort_keys=False,
    )


def node_arguments(options: DemoOptions, config: Path) -> list[str]:
    """How the relayer and miner are started."""
    return [
        "run",
        f"--config={config}",
        "--roles=relayer,miner,cache-leader",
        f"--home={options.home / NODE_HOME}",
    ]
