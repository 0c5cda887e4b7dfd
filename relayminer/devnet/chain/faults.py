"""What can be made to go wrong inside the chain, for those who test against it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from relayminer.devnet.chain.errors import DevnetError
from relayminer.devnet.chain.values import TxResult

if TYPE_CHECKING:
    from collections.abc import Callable


class StalledError(DevnetError):
    """The chain was told to make no blocks."""


@frozen(slots=True)
class _Refusal:
    """What CheckTx answers while refusals are left."""

    result: TxResult
    left: int


@define
class Faults:
    """The faults in force."""

    stalled: bool = False
    """While set, no block is made."""
    delay_blocks: int = 0
    """How many blocks a new transaction waits before one may take it."""
    lose_txs: int = 0
    """How many transactions more are accepted and never reach a block."""
    _refusal: _Refusal | None = field(default=None, init=False)
    _seed: int | None = field(default=None, init=False)

    def delay_txs(self, blocks: int) -> None:
        """Let every transaction broadcast from now on wait `blocks` further blocks; 0 ends it."""
        self.delay_blocks = blocks

    def refuse_txs(self, count: int, code: int, codespace: str = "sdk", log: str = "") -> None:
        """Let CheckTx refuse the next `count` transactions with this code."""
        self._refusal = _Refusal(TxResult(code, codespace, log), count) if count > 0 else None

    def take_refusal(self) -> TxResult | None:
        """The answer that the next transaction gets without being looked at, None for none."""
        refusal = self._refusal
        if refusal is None:
            return None
        left = refusal.left - 1
        self._refusal = _Refusal(refusal.result, left) if left > 0 else None
        return refusal.result

    def take_loss(self) -> bool:
        """Whether the transaction that was just accepted is lost."""
        if self.lose_txs <= 0:
            return False
        self.lose_txs -= 1
        return True

    def shuffle(self, seed: int | None) -> None:
        """Let blocks take transactions in an order drawn from `seed`; None ends it."""
        self._seed = seed

    def order(self, height: int) -> Callable[[list[bytes]], None] | None:
        """What reorders the transactions of the block at `height`, None for their own order."""
        if self._seed is None:
            return None
        return random.Random(f"{self._seed}/{height}").shuffle  # noqa: S311 - a test's disorder
