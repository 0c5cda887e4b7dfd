"""Errors of the shared state."""

from __future__ import annotations

from typing import Final

from relayminer.errors import RelayMinerError

NOT_THE_PRIMARY: Final = frozenset({"READONLY", "MASTERDOWN"})
"""What a server answers that was the primary and is not any more; nothing was written."""
OUT_OF_MEMORY: Final = "OOM"
NO_WRITES: Final = frozenset({OUT_OF_MEMORY, "MISCONF", "NOREPLICAS"})
"""What a server answers that is the primary and takes no writes at the moment."""
_INSIDE_SCRIPTS: Final = NOT_THE_PRIMARY | NO_WRITES


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
        self.code = refusal_code(message)


class StoreRefusesWritesError(StoreReplyError):
    """The server answers, but takes no writes: out of memory, disk or replicas.

    Nothing was written. It passes when the operator has helped the server.
    """


class StoreUnsafeError(StateError):
    """The server is set up so that it may lose what it has confirmed; the text says the remedy."""


class StoreFormatError(StateError):
    """What is stored has a form that this version cannot read; the text says what to do."""


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


def refusal_code(message: str) -> str:
    """The code of a server's error: its first word, or what a script of an old server ran into.

    Before version 7 a command that fails inside a script is told as `ERR Error running script
    (call to ...): @user_script:5: -READONLY You can't write ...`.
    """
    code = message.split(" ", 1)[0]
    if code == "ERR" and "user_script" in message:
        inner = message.rpartition(": -")[2].split(" ", 1)[0]
        if inner in _INSIDE_SCRIPTS:
            return inner
    return code


def reply_error(message: str) -> StoreReplyError:
    """The exception of a server's error."""
    if refusal_code(message) in NO_WRITES:
        return StoreRefusesWritesError(message)
    return StoreReplyError(message)
