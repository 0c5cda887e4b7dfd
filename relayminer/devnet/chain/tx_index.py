"""Included transactions by hash, and by what their events say. Source: cometbft: state/txindex."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relayminer.devnet.chain.errors import GrpcCode, QueryError
from relayminer.devnet.chain.transactions import tx_hash
from relayminer.devnet.chain.values import IncludedTx

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.devnet.chain.values import Block, TxResult

_CONDITION = re.compile(
    r"\s*(?P<key>[\w./-]+)\s*(?P<operator><=|>=|=|<|>|CONTAINS|EXISTS)\s*"
    r"(?P<value>'[^']*'|-?\d+)?\s*"
)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


class TxIndex:
    """The transactions of all blocks."""

    def __init__(self) -> None:
        self._included: dict[bytes, IncludedTx] = {}

    def add(self, block: Block, results: tuple[TxResult, ...]) -> None:
        """Index the transactions of a block."""
        for index, (tx, result) in enumerate(zip(block.txs, results, strict=True)):
            digest = tx_hash(tx)
            self._included[digest] = IncludedTx(
                digest, block.height, index, tx, result, block.time_ns
            )

    def drop(self, block: Block) -> None:
        """Forget the transactions of a block."""
        for tx in block.txs:
            self._included.pop(tx_hash(tx), None)

    def get(self, digest: bytes) -> IncludedTx | None:
        """The transaction of this hash."""
        return self._included.get(digest)

    def search(self, query: str, *, descending: bool = False) -> list[IncludedTx]:
        """Transactions whose events meet every condition, in chain order or against it.

        Raises:
            QueryError: (INTERNAL) for an empty query or one that cannot be read.
        """
        conditions = [_condition(part) for part in _parts(query)]
        found = [
            each
            for each in self._included.values()
            if all(condition(each) for condition in conditions)
        ]
        return found[::-1] if descending else found


def _parts(query: str) -> list[str]:
    if not query.strip():
        raise QueryError(GrpcCode.INTERNAL, "query cannot be empty")
    return re.split(r"\s+AND\s+", query.strip())


def _condition(text: str) -> Callable[[IncludedTx], bool]:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise QueryError(GrpcCode.INTERNAL, f"failed to parse query: {text}")
    key, operator = match["key"], match["operator"]
    value = (match["value"] or "").strip("'")

    def holds(included: IncludedTx) -> bool:
        values = _values(included, key)
        if operator == "EXISTS":
            return bool(values)
        if operator == "CONTAINS":
            return any(value in each for each in values)
        if operator == "=":
            return value.upper() in values if key == "tx.hash" else value in values
        compare = _COMPARE[operator]
        return any(compare(int(each), int(value)) for each in values if each.lstrip("-").isdigit())

    return holds


def _values(included: IncludedTx, key: str) -> list[str]:
    if key == "tx.height":
        return [str(included.height)]
    if key == "tx.hash":
        return [included.hash.hex().upper()]
    event_type, _, name = key.rpartition(".")
    return [
        attribute.value
        for event in included.result.events
        if event.type == event_type
        for attribute in event.attributes
        if attribute.key == name
    ]
