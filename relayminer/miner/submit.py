"""One supplier's messages on their way to the chain, with a result for each of them.

A transaction is atomic: one message that the chain refuses takes all the others down with it. So a
refused batch is taken apart until the offender stands alone, and the others go through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

from relayminer.chain.errors import (
    ChainError,
    SimulationRefusedError,
    TransactionRefusedError,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.miner.interfaces import Submitted

_WINDOW_TEXTS: Final = ("claim window", "proof window", "commit height")
_SHORTAGE_TEXTS: Final = (
    "insufficient funds",
    "insufficient account balance",
    "spendable balance",
    "insufficient fee",
)
_SDK: Final = "sdk"


@frozen
class Prepared:
    """A message for one session."""

    session_id: str
    message: Message


class Verdict(Enum):
    """What became of a message."""

    ACCEPTED = "accepted"
    """The mempool has it; whether it is included, the chain will show."""
    REFUSED = "refused"
    """The chain will not have this message."""
    DEFERRED = "deferred"
    """Nothing wrong with the message: node away, too early, no funds. Try again later."""


@frozen
class Result:
    """What became of one session's message."""

    verdict: Verdict
    reason: str = ""
    tx_hash: str = ""
    fee_upokt: int = 0
    """This message's share of the transaction's fee."""


Send = Callable[[Sequence[Prepared]], Awaitable["Submitted"]]


@frozen
class Refusal:
    """Why a transaction was refused, and whose fault it was."""

    text: str
    is_message_fault: bool
    message_index: int | None = None
    """Which message of the batch is to blame, where the node says so."""
    is_shortage: bool = False
    """The account cannot pay for all of it: fewer messages may go through, and more later."""


def refusal_of(error: ChainError) -> Refusal | None:
    """What a failed submission says about the messages; None when it says nothing about them.

    Codes of the module `sdk` come from the ante chain (fees, signature, lifetime). Being outside
    the window concerns every message of a batch alike, since they share a session end, and tells
    of the node's height rather than of them.
    """
    if isinstance(error, SimulationRefusedError):
        index, text, blamed = error.message_index, error.details, True
        if index is None and "proof" not in text:
            blamed = False
    elif isinstance(error, TransactionRefusedError):
        index, text, blamed = None, error.raw_log, error.codespace != _SDK
    else:
        return None
    if any(window in text for window in _WINDOW_TEXTS):
        blamed = False
    # A fee that cannot be paid (`sdk` 5) is one for the whole batch, and says nothing of its parts.
    is_simulated = isinstance(error, SimulationRefusedError)
    shortage = is_simulated and speaks_of_shortage(text)
    return Refusal(
        text,
        is_message_fault=blamed and not shortage,
        message_index=None if shortage else index,
        is_shortage=shortage,
    )


def speaks_of_shortage(text: str) -> bool:
    """Whether the chain says that the account cannot pay."""
    return any(one in text.lower() for one in _SHORTAGE_TEXTS)


def is_not_required(reason: str) -> bool:
    """Whether the chain refused a proof because it does not want one (`proof` 1129)."""
    return "proof not required" in reason.lower()


async def submit_each(prepared: Sequence[Prepared], send: Send) -> dict[str, Result]:
    """Send messages together; take a refused batch apart; return a result per session id.

    Args:
        prepared: Messages of one supplier whose sessions share their end.
        send: Broadcasts one transaction.
    """
    results: dict[str, Result] = {}
    parts = [list(prepared)]
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            submitted = await send(part)
        except ChainError as error:
            refusal = refusal_of(error)
            alone = len(part) == 1
            if refusal is None or not (
                refusal.is_message_fault or (refusal.is_shortage and not alone)
            ):
                text = str(error) if refusal is None else refusal.text
                _all(results, part, Result(Verdict.DEFERRED, text))
            elif alone:
                _all(results, part, Result(Verdict.REFUSED, refusal.text))
            else:
                # The part to be tried next is the one at the end of the list.
                parts.extend(_take_apart(part, refusal.message_index))
        else:
            _accept(results, part, submitted)
    return results


def _take_apart(part: list[Prepared], named: int | None) -> list[list[Prepared]]:
    """Two smaller parts: the message to blame and the rest, or two halves."""
    if named is not None and named < len(part):
        return [[part[named]], part[:named] + part[named + 1 :]]
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _all(results: dict[str, Result], part: Sequence[Prepared], result: Result) -> None:
    for item in part:
        results[item.session_id] = result


def _accept(results: dict[str, Result], part: Sequence[Prepared], submitted: Submitted) -> None:
    share, rest = divmod(submitted.fee_upokt, len(part))
    for index, item in enumerate(part):
        results[item.session_id] = Result(
            Verdict.ACCEPTED,
            tx_hash=submitted.tx_hash,
            fee_upokt=share + (rest if index == 0 else 0),
        )
