"""What our own transactions cost: measured, and remembered by the ledger over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from relayminer.miner.records import Phase
from relayminer.state.ledger import record_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.state.ledger import LedgerRecord

RECORDS_READ: Final = 200
"""Of the ledger, the newest: some sessions' worth."""


@define
class OwnFees:
    """What a message of ours cost the last time, uPOKT; 0 until one was sent."""

    claim_upokt: int = 0
    proof_upokt: int = 0


def fees_of(newest_first: Iterable[LedgerRecord]) -> OwnFees:
    """What the newest claim and the newest proof cost, by the ledger."""
    fees = OwnFees()
    for record in newest_first:
        fields = record_fields(record)
        fee, step = fields.get("fee_upokt"), fields.get("step")
        if not isinstance(fee, int) or fee <= 0:
            continue
        if step == Phase.CLAIM.submitted and not fees.claim_upokt:
            fees.claim_upokt = fee
        elif step == Phase.PROOF.submitted and not fees.proof_upokt:
            fees.proof_upokt = fee
        if fees.claim_upokt and fees.proof_upokt:
            break
    return fees
