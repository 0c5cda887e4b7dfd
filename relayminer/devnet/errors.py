"""Errors of the devnet's outside; refusals of the simulated chain itself are in `chain.errors`."""

from __future__ import annotations

from relayminer.devnet.chain.errors import DevnetError

__all__ = [
    "ControlError",
    "DevnetError",
    "DevnetInfoError",
    "HttpError",
    "QuerySyntaxError",
    "RpcError",
    "SubscriptionError",
]


class QuerySyntaxError(DevnetError):
    """An event query is not in CometBFT's language."""


class SubscriptionError(DevnetError):
    """A subscription is refused; the text is the one CometBFT answers with."""


class RpcError(DevnetError):
    """A JSON-RPC call failed.

    Attributes:
        code: JSON-RPC error code.
        message: the standard message of that code.
        data: what CometBFT puts in `error.data`.
    """

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(f"{message}: {data}")
        self.code = code
        self.message = message
        self.data = data


class DevnetInfoError(DevnetError):
    """The devnet's info file is missing or is not one."""


class ControlError(DevnetError):
    """A control command that cannot be carried out; says why."""


class HttpError(DevnetError):
    """The peer does not speak HTTP/1.1, or says more than our limits allow."""
