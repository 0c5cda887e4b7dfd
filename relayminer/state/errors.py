"""Errors of the shared state."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class StateError(RelayMinerError):
    """The shared state could not do what was asked."""


class StoreAwayError(StateError):
    """The store gave no answer: it is not reached, or not within the deadline.

    Attributes:
        maybe_executed: False when the command certainly never left this process, so repeating it
            is safe; True when the server may have executed it without our knowing.
    """

    def __init__(self, message: str, *, maybe_executed: bool = False) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


class StoreFullError(StateError):
    """Too many commands wait for the store already; this one was not sent."""


class StoreReplyError(StateError):
    """The server answered with an error.

    Attributes:
        code: the first word of the server's answer, such as `WRONGTYPE`, `NOGROUP` or `OOM`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.split(" ", 1)[0]


class StoreStartError(StateError):
    """The embedded server cannot be started, adopted or stopped; the text says what to do."""


class StoreUrlError(StateError):
    """A Redis URL that cannot be understood; the text never carries its password."""


class UnreadableValueError(StateError):
    """A stored value does not have the form that its key promises."""


class FencedError(StateError):
    """A state change was refused because another owner holds a newer fencing token."""


class SessionSealedError(StateError):
    """The session's trie is sealed: its root is claimed and no relay may be added."""


class StaleCommitError(StateError):
    """The stored trie is not the one that a commit was made from: load it again and redo."""


class SessionMissingError(StateError):
    """There is no session record under this supplier and session id."""


class LegacySessionError(StateError):
    """The session record has the old form (one JSON text) and must be converted first."""
