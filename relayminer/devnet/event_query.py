"""CometBFT's event query language: which events a subscriber or a search wants.

`tm.event='NewBlock' AND tx.height>5`; operators `=`, `<`, `<=`, `>`, `>=`, `CONTAINS`, `EXISTS`.
A condition holds when any value of its composite key satisfies it (cometbft: libs/pubsub/query).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import frozen

from relayminer.devnet.errors import QuerySyntaxError

EventMap: TypeAlias = Mapping[str, Sequence[str]]
"""Composite key (`tx.hash`, `transfer.sender`) to its values, as CometBFT indexes events."""

MAX_QUERY_LENGTH = 512

_CONDITION = re.compile(
    r"""\s*(?P<key>[^\s='"()<>]+)\s*
        (?:(?P<exists>EXISTS)
         |(?P<op>CONTAINS|<=|>=|=|<|>)\s*(?:'(?P<text>[^']*)'|(?P<number>-?\d+(?:\.\d+)?)))\s*""",
    re.VERBOSE,
)
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


@frozen
class Condition:
    """One comparison of a query."""

    key: str
    comparison: str
    text: str | None = None
    number: float | None = None

    def holds(self, events: EventMap) -> bool:
        """Whether any value under `key` satisfies the comparison."""
        values = events.get(self.key, ())
        if self.comparison == "EXISTS":
            return self.key in events
        return any(self._accepts(value) for value in values)

    def _accepts(self, value: str) -> bool:
        if self.comparison == "CONTAINS":
            return self.text is not None and self.text in value
        if self.number is None:
            return self.comparison == "=" and value == self.text
        try:
            return _ORDER[self.comparison](float(value), self.number)
        except ValueError:  # a value that is no number matches no numeric condition
            return False


@frozen
class EventQuery:
    """Conditions that must all hold."""

    text: str
    conditions: tuple[Condition, ...]

    def matches(self, events: EventMap) -> bool:
        """Whether the event with these composite keys is wanted."""
        return all(condition.holds(events) for condition in self.conditions)


def parse_query(text: str) -> EventQuery:
    """The query that `text` spells.

    Raises:
        QuerySyntaxError: `text` is empty, too long, or not in the language.
    """
    if len(text) > MAX_QUERY_LENGTH:
        raise QuerySyntaxError("maximum query length exceeded")
    if not text.strip():
        raise QuerySyntaxError("query cannot be empty")
    conditions = []
    position = 0
    while True:
        match = _CONDITION.match(text, position)
        if match is None:
            raise QuerySyntaxError(f"failed to parse query: unexpected text at offset {position}")
        number = match["number"]
        conditions.append(
            Condition(
                key=match["key"],
                comparison="EXISTS" if match["exists"] else match["op"],
                text=match["text"],
                number=None if number is None else float(number),
            )
        )
        position = match.end()
        if position == len(text):
            return EventQuery(text, tuple(conditions))
        if not text.startswith("AND ", position):
            raise QuerySyntaxError(f"failed to parse query: expected AND at offset {position}")
        position += len("AND")
