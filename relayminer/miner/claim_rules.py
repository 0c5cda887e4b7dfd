"""Which claims are worth making and how they are batched: pure rules.

Amounts are in uPOKT, sums in compute units, lifetimes in seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

SEAL_WAIT_BLOCKS: Final = 0.1
SEAL_WAIT_MAX_SECONDS: Final = 2.0
LIFETIME_MIN_SECONDS: Final = 120.0
"""As the Go miner's."""
LIFETIME_SLOWNESS: Final = 2.0
"""Blocks may come this much slower than expected before a transaction dies in its window."""


@frozen
class Profit:
    """What a claim earns and costs, in uPOKT."""

    reward_upokt: int
    cost_upokt: int

    @property
    def worthwhile(self) -> bool:
        """Whether the claim earns more than it costs."""
        return self.reward_upokt > self.cost_upokt


@frozen
class Costs:
    """Own recent transaction costs of one message, in uPOKT."""

    claim_fee_upokt: int
    proof_fee_upokt: int
    proof_submission_fee_upokt: int


def expected_cost_upokt(costs: Costs, *, reward_upokt: int, threshold_upokt: int, p: float) -> int:
    """Expected cost of claiming and, where it is needed, proving a session, in uPOKT.

    `cost = claim fee + P(proof) * (proof fee + submission fee)`, where P is 1 from the requirement
    threshold on and the request probability `p` below it (poktroll: x/proof proof requirement).
    """
    probability = 1.0 if reward_upokt >= threshold_upokt else min(1.0, max(0.0, p))
    proof = costs.proof_fee_upokt + costs.proof_submission_fee_upokt
    return costs.claim_fee_upokt + int(probability * proof)


def transactions_of(messages: Sequence[T], max_messages: int) -> Iterator[Sequence[T]]:
    """Split `messages` into runs of at most `max_messages`, in order."""
    for start in range(0, len(messages), max_messages):
        yield messages[start : start + max_messages]


def lifetime_seconds(
    height: int, close_height: int, block_time_seconds: float, max_seconds: float
) -> float:
    """How long an unordered transaction sent at `height` may live: to the end of its window.

    One block is added because the window includes its closing height. A window ends at a height and
    a transaction at a time: where few blocks are left, one that comes late must still take it. (One
    that outlives its window is refused, which costs its fee; one that dies in it costs the reward.)
    """
    blocks_left = max(1, close_height - height + 1)
    wanted = max(blocks_left * block_time_seconds * LIFETIME_SLOWNESS, LIFETIME_MIN_SECONDS)
    return min(wanted, max_seconds)


def seal_wait_seconds(height: int, claim_open_height: int, block_time_seconds: float) -> float:
    """How long sealing waits in the block that opens the claim window, before the last drain.

    A relayer answers relays of a session until it hears of that block, which may be a moment
    after us, and what it looked at before is on its way into the log.
    """
    if height > claim_open_height:
        return 0.0
    return min(block_time_seconds * SEAL_WAIT_BLOCKS, SEAL_WAIT_MAX_SECONDS)


class OnChain(Enum):
    """How the chain's claim of a session compares with ours."""

    ABSENT = "absent"
    OURS = "ours"
    SMALLER = "smaller"
    """A claim with fewer relays, or as many under another root: ours may replace it."""
    LARGER = "larger"
    """A claim with more relays: replacing it would lose money."""


def compare_claim(ours: bytes, theirs: bytes | None) -> OnChain:
    """Compare our 48-byte root with that of the claim on chain (None when there is no claim)."""
    if theirs is None:
        return OnChain.ABSENT
    if theirs == ours:
        return OnChain.OURS
    return OnChain.LARGER if _count(theirs) > _count(ours) else OnChain.SMALLER


def _count(root: bytes) -> int:
    return int.from_bytes(root[40:48], "big")


def resend_height(submit_height: int, close_height: int, resends: int) -> int:
    """Height from which a message that is still missing on chain is sent again.

    A quarter of the remaining window, at least two blocks: a transaction needs one block to be
    included and one more to be seen by a node that lags.
    """
    step = max(2, (close_height - submit_height) // 4)
    return submit_height + step * (1 + max(0, resends - 1) // 2)
