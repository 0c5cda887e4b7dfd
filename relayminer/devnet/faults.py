"""What goes wrong on purpose between the node and its clients.

Faults of the state machine itself (stalls, delayed or refused transactions) are `chain.faults`.
"""

from __future__ import annotations

from attrs import define, field, frozen


@frozen
class QueryFault:
    """The answer that calls of one gRPC method get instead of the chain's.

    Attributes:
        code: gRPC status code.
        text: its message.
    """

    code: int
    text: str


@define
class WireFaults:
    """The faults in force; set through the control surface."""

    lag_blocks: int = 0
    """RPC shows the chain this many blocks behind, like a node that fell back."""
    rpc_down: bool = False
    """RPC calls are answered 503 and WebSocket handshakes refused."""
    grpc_down: bool = False
    """gRPC calls end with UNAVAILABLE (14)."""
    delay_seconds: float = 0.0
    """Every RPC and gRPC answer waits this long."""
    drop_blocks: int = 0
    """The next blocks that no subscriber hears of."""
    queries: dict[str, tuple[QueryFault, int]] = field(factory=dict)
    """Method path to its fault and the number of calls that it still hits."""

    def take_dropped_block(self) -> bool:
        """Whether the block that was just made is one that nobody hears of."""
        if self.drop_blocks <= 0:
            return False
        self.drop_blocks -= 1
        return True

    def fail_query(self, method: str, fault: QueryFault, calls: int) -> None:
        """Let the next `calls` calls of a gRPC method (`/package.Service/Method`) fail."""
        self.queries[method] = (fault, calls)

    def take_query_fault(self, method: str) -> QueryFault | None:
        """The fault that this call of `method` meets, None when it may pass."""
        if self.grpc_down:
            return QueryFault(14, "devnet: gRPC is down on purpose")
        planned = self.queries.pop(method, None)
        if planned is None:
            return None
        fault, calls = planned
        if calls > 1:
            self.queries[method] = (fault, calls - 1)
        return fault
