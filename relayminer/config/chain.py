"""Settings of the chain: which nodes are asked, and how."""

from __future__ import annotations

from attrs import field, frozen

from relayminer.config.masking import masked_url_repr, masked_urls_repr


@frozen(kw_only=True)
class ChainSettings:
    """How to reach the chain."""

    chain_id: str = "pocket"
    rpc_url: str = field(default="http://127.0.0.1:26657", repr=masked_url_repr)
    rpc_urls: tuple[str, ...] = field(default=(), repr=masked_urls_repr)
    """Several nodes, the best first; when given, `rpc_url` is not looked at."""
    grpc_url: str = "127.0.0.1:19090"
    grpc_urls: tuple[str, ...] = ()
    """Several nodes, the best first; when given, `grpc_url` is not looked at."""
    broadcast_urls: tuple[str, ...] = ()
    """gRPC of the nodes that are told of transactions, all of them; empty: those of queries."""
    grpc_insecure: bool = True
    """Of URLs that do not say: `grpcs://` is TLS, `grpc://` is not."""
    query_timeout_seconds: float = 5.0
    max_concurrent_queries: int = 16
    """Of each node."""
    poll_interval_seconds: float = 1.0
    """How often to ask for the height while the WebSocket is away or silent."""
    block_time_seconds: float = 30.0
    """Expected time between blocks: turns blocks left in a window into a transaction's lifetime."""
    node_check_interval_seconds: float = 10.0
    """How often every node is looked at."""
    max_node_lag_blocks: int = 2
    """A node that is further behind the others is left until it has caught up."""

    @property
    def rpc_nodes(self) -> tuple[str, ...]:
        """The RPC nodes, the best first."""
        return self.rpc_urls or (self.rpc_url,)

    @property
    def grpc_nodes(self) -> tuple[str, ...]:
        """The gRPC nodes, the best first."""
        return self.grpc_urls or (self.grpc_url,)
