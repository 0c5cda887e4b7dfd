"""What can go wrong between two sockets."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class NetError(RelayMinerError):
    """Root of the errors of this package."""


class WireError(NetError):
    """The connection broke: reset, refused, closed in the middle of a message."""


class NotProcessedError(WireError):
    """The server says that it has not looked at the request: it may be sent again."""


class WireTimeoutError(NetError):
    """The peer took longer than it was given."""


class DialTimeoutError(WireTimeoutError):
    """There was no connection in time, so nothing was asked."""


class ResponseTooLargeError(NetError):
    """The answer has more bytes than we accept."""


class TooMuchHeldError(NetError):
    """All answers in hand together have more bytes than we hold."""


class HeadTooLargeError(ResponseTooLargeError):
    """The answer's headers are more than we accept."""


class BadResponseError(NetError):
    """The answer is not HTTP/1.1."""


class TlsSetupError(NetError):
    """A certificate, a key or a list of authorities that cannot be used."""


class ProxyHeaderError(NetError):
    """A connection that does not begin with a PROXY header as it should."""


class BadUrlError(NetError):
    """A URL that cannot be used: what is wrong with it is the text."""


class BadRequestError(NetError):
    """A request that cannot be written as HTTP/1.1: what is wrong with it is the text."""


class RequestRefusedError(NetError):
    """A client's request that is refused before anybody else sees it.

    Attributes:
        status: the HTTP status to answer with; the text of the error is the message.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
