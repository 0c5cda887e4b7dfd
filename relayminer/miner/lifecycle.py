"""The session state machine: pure decisions from a state and a block height.

The states and the decisions are those of the Go miner (`pocket-relay-miner:
miner/session_lifecycle.go`), whose stored sessions we share. On top of them, `duty` says what has
to be driven again at every block, which is what makes `claiming` and `proving` resumable after any
crash: they mean "in progress", never "somebody else is at it".

Heights are those of the last committed block. The chain accepts a message in blocks
`open <= height <= close`. What is sent at height `h` executes at `h + 1` at the earliest, so a
window is worth working for while `h < close`, and a simulation, which runs on committed state,
succeeds from `h >= open` on.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from relayminer.protocol.windows import SessionWindows


class SessionState(StrEnum):
    """Stored states of a session; the texts are shared with the Go fleet."""

    ACTIVE = "active"
    CLAIMING = "claiming"
    CLAIMED = "claimed"
    PROVING = "proving"
    PROVED = "proved"
    PROBABILISTIC_PROVED = "probabilistic_proved"
    CLAIM_WINDOW_CLOSED = "claim_window_closed"
    CLAIM_TX_ERROR = "claim_tx_error"
    CLAIM_MISSING = "claim_missing"
    CLAIM_SKIPPED = "claim_skipped"
    PROOF_WINDOW_CLOSED = "proof_window_closed"
    PROOF_TX_ERROR = "proof_tx_error"

    @property
    def is_terminal(self) -> bool:
        """Whether no transition leaves this state."""
        return self not in _OPEN_STATES


_OPEN_STATES = frozenset(
    {
        SessionState.ACTIVE,
        SessionState.CLAIMING,
        SessionState.CLAIMED,
        SessionState.PROVING,
    }
)


class Action(StrEnum):
    """Why a session changes its state; the texts are the Go miner's."""

    NONE = ""
    CLAIM_WINDOW_OPEN = "claim_window_open"
    CLAIM_WINDOW_TIMEOUT = "claim_window_timeout"
    CLAIM_TIMEOUT = "claim_timeout"
    PROOF_WINDOW_OPEN = "proof_window_open"
    PROOF_TIMEOUT = "proof_timeout"


@frozen
class Decision:
    """A transition, or none (`new_state` is None)."""

    new_state: SessionState | None = None
    action: Action = Action.NONE


class Duty(Enum):
    """What the owner of a session owes it at a height."""

    NOTHING = "nothing"
    CLAIM = "claim"
    PROVE = "prove"
    CLAIM_VERDICT = "claim_verdict"
    """The claim window is over: what the chain holds decides between claimed and lost."""
    PROOF_VERDICT = "proof_verdict"
    """The proof window is over: what the chain settled decides between proved and lost."""


_STAY = Decision()


def decide(state: SessionState, height: int, windows: SessionWindows) -> Decision:
    """The transition of a session in `state` when the block `height` has been committed.

    Args:
        state: The stored state.
        height: Height of the last committed block.
        windows: Window heights by the shared params in force at the session's end.

    Returns:
        The new state and why, or no transition (pocket-relay-miner: determineTransition).
    """
    if state in {SessionState.ACTIVE, SessionState.CLAIMING}:
        is_active = state is SessionState.ACTIVE
        if height >= windows.claim_close_height:
            why = Action.CLAIM_WINDOW_TIMEOUT if is_active else Action.CLAIM_TIMEOUT
            return Decision(SessionState.CLAIM_WINDOW_CLOSED, why)
        if is_active and height >= windows.claim_open_height:
            return Decision(SessionState.CLAIMING, Action.CLAIM_WINDOW_OPEN)
    elif state in {SessionState.CLAIMED, SessionState.PROVING}:
        if height >= windows.proof_close_height:
            return Decision(SessionState.PROOF_WINDOW_CLOSED, Action.PROOF_TIMEOUT)
        if state is SessionState.CLAIMED and height >= windows.proof_open_height:
            return Decision(SessionState.PROVING, Action.PROOF_WINDOW_OPEN)
    return _STAY


def duty(state: SessionState, height: int, windows: SessionWindows) -> Duty:
    """What has to be done for the session now, whatever was begun before.

    Time-outs are verdicts to be confirmed: a claim may have been included in the very last block
    of its window, and a proof in the block that also settles the claim. Only the chain knows.
    """
    decision = decide(state, height, windows)
    if decision.action in {Action.CLAIM_WINDOW_TIMEOUT, Action.CLAIM_TIMEOUT}:
        return Duty.CLAIM_VERDICT
    if decision.action is Action.PROOF_TIMEOUT:
        return Duty.PROOF_VERDICT
    if decision.new_state is SessionState.CLAIMING or state is SessionState.CLAIMING:
        return Duty.CLAIM
    if decision.new_state is SessionState.PROVING or state is SessionState.PROVING:
        return Duty.PROVE
    return Duty.NOTHING
