"""When the killed node was away, and which windows of the chain passed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from relayminer.protocol.windows import session_windows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.demo.rows import Row
    from relayminer.protocol.pb.shared_pb2 import Params


@define
class Downtime:
    """Heights between which nobody could have claimed or proven; 0 while that is not known."""

    from_height: int = 0
    to_height: int = 0

    def covers(self, open_height: int, close_height: int) -> bool:
        """Whether a message could be in no block of a window.

        One that was sent in the last block before is not known to have left; one that is sent in
        the last block of a window comes too late.
        """
        known = 0 < self.from_height <= self.to_height
        return known and self.from_height <= open_height + 1 and self.to_height >= close_height - 1


def explain_missed(rows: Iterable[Row], downtime: Downtime, params: Params) -> None:
    """Say of rows without a claim, or without a proof, that nobody could have made it."""
    for row in rows:
        if row.skipped or not row.in_trie or row.settled:
            continue
        windows = session_windows(params, row.session_end_height)
        what, opens, closes = (
            ("proof", windows.proof_open_height, windows.proof_close_height)
            if row.claimed
            else ("claim", windows.claim_open_height, windows.claim_close_height)
        )
        if downtime.covers(opens, closes):
            row.skipped = (
                f"no {what} was possible: its window, blocks {opens} to {closes}, passed while "
                f"relayer and miner were killed and started again, blocks {downtime.from_height} "
                f"to {downtime.to_height}; give them more time (--block-seconds)"
            )
