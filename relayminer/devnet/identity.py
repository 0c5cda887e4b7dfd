"""What the devnet's node says about itself: names and keys that status answers carry."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

from attrs import frozen

COMETBFT_VERSION = "0.38.22"
VOTING_POWER = 900


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

    def validator_info(self, address: bytes) -> dict[str, Any]:
        """The `validator_info` member of `status`; `address` is 20 bytes.

        The devnet has one validator and nobody verifies its votes, so its public key is only a
        name with the right shape.
        """
        key = sha256(b"validator/" + address).digest()
        return {
            "address": address.hex().upper(),
            "pub_key": {
                "type": "tendermint/PubKeyEd25519",
                "value": base64.b64encode(key).decode("ascii"),
            },
            "voting_power": str(VOTING_POWER),
        }
