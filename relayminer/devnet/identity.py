"""What the devnet's node says about itself in status answers."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from attrs import frozen

COMETBFT_VERSION = "0.38.22"


@frozen
class NodeIdentity:
    """The node of one devnet.

    Attributes:
        chain_id: network name.
        rpc_address: where its RPC listens, `tcp://host:port`.
    """

    chain_id: str
    rpc_address: str
    moniker: str = "devnet"

    def node_info(self) -> dict[str, Any]:
        """The `node_info` member of `status`."""
        return {
            "protocol_version": {"p2p": "8", "block": "11", "app": "0"},
            "id": sha256(f"node/{self.chain_id}/{self.moniker}".encode()).hexdigest()[:40],
            "listen_addr": "tcp://127.0.0.1:0",
            "network": self.chain_id,
            "version": COMETBFT_VERSION,
            "channels": "402021222330386061",
            "moniker": self.moniker,
            "other": {"tx_index": "on", "rpc_address": self.rpc_address},
        }
