"""What is known of each node that the settings name, and in which order they are asked.

Nodes are ranked by the operator. A node is left while something speaks against it, and asked again,
at its old rank, when that is over. What is held against it says how far it may still be used:

- away or slow: another is asked first; when there is no other, it is tried all the same;
- behind: the same, but "there is no such thing" from it means nothing;
- of another chain, or with another block at the same height: it is not asked at all.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog
import trio
from attrs import define, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relayminer.telemetry.metrics import Metrics

HEIGHT_BELIEVED_SECONDS: Final = 60.0
"""How long the height of a node that is gone says how far the chain is."""
SLOW_STRIKES: Final = 3
"""So many times in a row outrun by the next node, a node is slow."""

T = TypeVar("T")

_log = structlog.get_logger("relayminer.chain.nodes")


class Kind(StrEnum):
    """What a node is asked for."""

    RPC = "rpc"
    GRPC = "grpc"
    BROADCAST = "broadcast"


class Fault(Enum):
    """What speaks against a node."""

    AWAY = "away"
    SLOW = "slow"
    BEHIND = "behind"
    DISAGREES = "disagrees"
    WRONG_CHAIN = "wrong_chain"

    @property
    def forbids(self) -> bool:
        """Whether nothing at all may be asked of it."""
        return self in {Fault.DISAGREES, Fault.WRONG_CHAIN}


@define(eq=False)
class Standing:
    """What is known of one node.

    Attributes:
        name: host and port, without a password.
        rank: 0 is asked first.
        height: the newest block or state that it has told of; 0 when it has told of none.
        seen_at: when it last answered, on Trio's clock.
        strikes: how often in a row the next node was faster.
        is_identified: it has been seen to be of our chain since it last went away.
    """

    kind: Kind
    name: str
    rank: int
    height: int = 0
    seen_at: float = float("-inf")
    strikes: int = 0
    is_identified: bool = False
    fault: Fault | None = None
    reason: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether nothing speaks against it."""
        return self.fault is None

    def saw(self, height: int, now: float) -> None:
        """It has spoken of this height (0: it did not say which)."""
        self.seen_at = now
        if height:
            self.height = height


@frozen
class Member(Generic[T]):
    """A node's standing and the way to ask it."""

    standing: Standing
    client: T


class NodeBoard:
    """The standings of all nodes of a process; says in the log what changes.

    Args:
        clock: seconds, monotonic; Trio's when None.
    """

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._standings: list[Standing] = []
        self._failures: dict[tuple[str, str, str], int] = {}

    def add(self, kind: Kind, name: str) -> Standing:
        """A node at the end of the ranking of its kind."""
        rank = sum(one.kind is kind for one in self._standings)
        standing = Standing(kind, name, rank)
        self._standings.append(standing)
        return standing

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standings)

    @property
    def best_height(self) -> int:
        """How far the chain is, by what nodes have said within the last minute; else 0."""
        oldest = self._clock() - HEIGHT_BELIEVED_SECONDS
        heights = [
            one.height
            for one in self._standings
            if one.seen_at >= oldest and not (one.fault and one.fault.forbids)
        ]
        return max(heights, default=0)

    def saw(self, standing: Standing, height: int = 0) -> None:
        """A node has answered; what only its silence said against it is over."""
        standing.saw(height, self._clock())
        standing.strikes = 0
        if standing.fault in {Fault.AWAY, Fault.SLOW}:
            self.clear(standing)

    def outrun(self, standing: Standing) -> None:
        """The next node answered while this one had not."""
        standing.strikes += 1
        if standing.strikes >= SLOW_STRIKES and standing.is_usable:
            self.hold_against(standing, Fault.SLOW, "others answer sooner, again and again")

    def hold_against(self, standing: Standing, fault: Fault, reason: str) -> None:
        """Leave a node, for this reason, until it is cleared."""
        key = (standing.kind.value, standing.name, fault.value)
        self._failures[key] = self._failures.get(key, 0) + 1
        if standing.fault is fault:
            standing.reason = reason
            return
        if standing.fault is not None and standing.fault.forbids and not fault.forbids:
            # What forbids it stays: that it is away now as well changes nothing.
            return
        if fault is Fault.AWAY:
            standing.is_identified = False
        standing.fault, standing.reason = fault, reason
        _log.warning(
            "node left",
            kind=standing.kind.value,
            node=standing.name,
            fault=fault.value,
            reason=reason,
            height=standing.height,
        )

    def clear(self, standing: Standing) -> None:
        """Nothing speaks against a node any more."""
        if standing.fault is None:
            return
        _log.info(
            "node taken back",
            kind=standing.kind.value,
            node=standing.name,
            fault=standing.fault.value,
            height=standing.height,
        )
        standing.fault, standing.reason, standing.strikes = None, "", 0

    def show(self, metrics: Metrics) -> None:
        """Show all nodes in the metrics from now on."""
        labels = ("kind", "node")
        up = metrics.gauge(
            "relayminer_chain_node_usable", "1 while nothing speaks against a node.", labels
        )
        height = metrics.gauge(
            "relayminer_chain_node_height", "Newest height that a node has told of.", labels
        )
        chosen = metrics.gauge(
            "relayminer_chain_node_chosen", "1 for the node that is asked first.", labels
        )
        for one in self._standings:
            names = (one.kind.value, one.name)
            up.bind(*names).read = lambda one=one: float(one.is_usable)
            height.bind(*names).read = lambda one=one: float(one.height)
            chosen.bind(*names).read = lambda one=one: float(self.first(one.kind) is one)
        faults = metrics.gauge(
            "relayminer_chain_node_faults",
            "How often something was held against a node since the start.",
            (*labels, "fault"),
        )
        for one in self._standings:
            for fault in Fault:
                key = (one.kind.value, one.name, fault.value)
                faults.bind(*key).read = lambda key=key: float(self._failures.get(key, 0))

    def first(self, kind: Kind) -> Standing | None:
        """The node of a kind that is asked first."""
        found = in_order([one for one in self._standings if one.kind is kind])
        return found[0] if found else None


def in_order(standings: list[Standing]) -> list[Standing]:
    """Whom to ask, the best first; those that may not be asked are left out.

    When all are forbidden the first one is left: whoever asks it learns what is wrong.
    """
    allowed = [one for one in standings if one.fault is None or not one.fault.forbids]
    if not allowed:
        return standings[:1]
    return sorted(allowed, key=lambda one: (not one.is_usable, one.rank))


class Ranked(Generic[T]):
    """The nodes of one kind with their clients."""

    def __init__(self, board: NodeBoard, kind: Kind) -> None:
        self.board = board
        self.kind = kind
        self._members: list[Member[T]] = []

    def add(self, name: str, client: T) -> Member[T]:
        """A node at the end of the ranking."""
        member = Member(self.board.add(self.kind, name), client)
        self._members.append(member)
        return member

    def __iter__(self) -> Iterator[Member[T]]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def in_order(self) -> list[Member[T]]:
        """Whom to ask, the best first."""
        if len(self._members) == 1:
            return self._members
        places = {id(member.standing): member for member in self._members}
        return [
            places[id(standing)]
            for standing in in_order([member.standing for member in self._members])
        ]
