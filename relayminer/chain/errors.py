"""What can go wrong between us and the chain.

The difference that costs money is the one between "does not exist" and "not known": only the gRPC
status NOT_FOUND means the former (state.md 7.3). Every other failure leaves the question open.
"""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class ChainError(RelayMinerError):
    """Root of the errors of this package."""


class NotFoundError(ChainError):
    """The chain says that the thing does not exist (gRPC NOT_FOUND, nothing else)."""


class ChainUnavailableError(ChainError):
    """The node did not answer: not reached, too slow, or it closed the connection."""


class NodeBehindError(ChainUnavailableError):
    """The node answered from a state that is too old to mean anything."""


class ChainQueryError(ChainError):
    """The node answered, with an error or with something that we cannot read.

    Attributes:
        status: the gRPC status name (`INTERNAL`), or `RPC` for a CometBFT answer.
    """

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class UnsupportedQueryError(ChainQueryError):
    """The node is too old to know this query (gRPC UNIMPLEMENTED)."""


class HeightNotReachedError(ChainQueryError):
    """A block was asked for that the node does not have yet."""


class WrongChainError(ChainError):
    """The node belongs to another chain than the settings say."""

    def __init__(self, address: str, found: str, expected: str) -> None:
        super().__init__(
            f"the node at {address} is on chain {found!r}, but chain.chain_id is {expected!r}: "
            "set chain.chain_id, or point chain.rpc_url (or rpc_urls) at nodes of that chain"
        )


class TransactionError(ChainError):
    """Root of the refusals of a transaction."""


class TransactionRefusedError(TransactionError):
    """The node's mempool refused the transaction (CheckTx).

    Attributes:
        codespace: module that refused, `sdk` for the transaction layer.
        code: number of the error in that codespace.
        raw_log: the node's text.
        tx_hash: upper-case hex of the refused transaction.
    """

    def __init__(self, codespace: str, code: int, raw_log: str, tx_hash: str) -> None:
        super().__init__(
            f"transaction {tx_hash} refused by the node: {codespace} {code}: {raw_log}"
        )
        self.codespace = codespace
        self.code = code
        self.raw_log = raw_log
        self.tx_hash = tx_hash


class SimulationRefusedError(TransactionError):
    """Simulation says that the transaction would fail.

    Attributes:
        message_index: which message of the batch failed, None when the whole transaction did.
        details: the node's text.
    """

    def __init__(self, details: str, message_index: int | None) -> None:
        super().__init__(f"transaction would fail: {details}")
        self.details = details
        self.message_index = message_index


class GasPriceError(ChainError):
    """A gas price that cannot be read."""
