"""How the chain refuses: registered errors, gRPC status errors of handlers and of queries."""

from __future__ import annotations

from enum import IntEnum

from relayminer.errors import RelayMinerError


class GrpcCode(IntEnum):
    """The gRPC status codes that the chain uses."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13


GRPC_NAMES = {
    GrpcCode.UNKNOWN: "Unknown",
    GrpcCode.INVALID_ARGUMENT: "InvalidArgument",
    GrpcCode.NOT_FOUND: "NotFound",
    GrpcCode.ALREADY_EXISTS: "AlreadyExists",
    GrpcCode.PERMISSION_DENIED: "PermissionDenied",
    GrpcCode.FAILED_PRECONDITION: "FailedPrecondition",
    GrpcCode.OUT_OF_RANGE: "OutOfRange",
    GrpcCode.UNIMPLEMENTED: "Unimplemented",
    GrpcCode.INTERNAL: "Internal",
}
"""How Go prints a status code."""


class DevnetError(RelayMinerError):
    """Root of what the simulated chain raises."""


class GenesisError(DevnetError):
    """A genesis document that the chain cannot start from."""


class HeightError(DevnetError):
    """A height outside the chain, in the words of the RPC server."""


class ChainError(DevnetError):
    """A refusal by the state machine; becomes code, codespace and log of a transaction.

    `text` is the whole error text without a codespace, as the chain prints it.
    """

    def __init__(self, codespace: str, code: int, text: str) -> None:
        super().__init__(text)
        self.codespace = codespace
        self.code = code
        self.text = text

    def wrapped(self, detail: str) -> ChainError:
        """The same registered error with `detail: ` in front of its text."""
        return ChainError(self.codespace, self.code, f"{detail}: {self.text}")


class StatusError(ChainError):
    """A gRPC status raised by a message handler: code 1, codespace `undefined` in a block."""

    def __init__(self, grpc_code: GrpcCode, description: str) -> None:
        text = f"rpc error: code = {GRPC_NAMES[grpc_code]} desc = {description}"
        super().__init__("undefined", 1, text)
        self.grpc_code = grpc_code
        self.description = description


class OutOfGasError(ChainError):
    """The gas limit was passed; `sdk` code 11."""

    def __init__(self, location: str, gas_wanted: int, gas_used: int) -> None:
        text = (
            f"out of gas in location: {location}; "
            f"gasWanted: {gas_wanted}, gasUsed: {gas_used}: out of gas"
        )
        super().__init__("sdk", 11, text)


class QueryError(DevnetError):
    """A query that ends with a gRPC status other than OK."""

    def __init__(self, grpc_code: GrpcCode, text: str) -> None:
        super().__init__(text)
        self.grpc_code = grpc_code
        self.text = text
