"""How a devnet is made: its shape, its ports, its pace."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path  # noqa: TC003 - attrs resolves annotations at run time

from attrs import frozen


@frozen(kw_only=True)
class DevnetOptions:
    """Everything about one devnet; port 0 takes any free one.

    Attributes:
        home: directory for the info file and the supplier keys.
        block_time_seconds: seconds between blocks; None makes them by command only.
        genesis: a genesis document to start from; None makes one of the sizes given here.
        seed: of the keys and hashes; equal seeds give equal chains.
        backend_grpc_port: of the demo backend; None: 50051, or any free one if `backend_port` is 0.
        relayer_url: what the suppliers stake as their endpoint.
        subscription_buffer: events that may wait for one subscriber.
        write_buffer: messages that may wait for one WebSocket client.
    """

    home: Path
    host: str = "127.0.0.1"
    block_time_seconds: float | None = 1.0
    rpc_port: int = 26657
    grpc_port: int = 19090
    control_port: int = 26680
    with_backend: bool = False
    backend_port: int = 8545
    backend_grpc_port: int | None = None
    genesis: Path | None = None
    services: int = 2
    suppliers: int = 3
    applications: int = 2
    gateways: int = 1
    seed: int = 0
    relayer_url: str = "http://127.0.0.1:8080"
    min_gas_price_upokt: Decimal = Decimal(0)
    mempool_txs: int = 5000
    subscription_buffer: int = 200
    write_buffer: int = 200
