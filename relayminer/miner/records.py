"""Ledger records: one per session and step, each with an id that makes repeating it harmless."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.miner.entries import SessionInfo


class Step(StrEnum):
    """What happened to a session."""

    SERVED = "served"
    METERED = "metered"
    MINED = "mined"
    LATE = "late"
    SKIPPED = "skipped"
    CLAIM_INTENT = "claim_intent"
    CLAIM_SUBMITTED = "claim_submitted"
    CLAIM_FAILED = "claim_failed"
    CLAIM_INCLUDED = "claim_included"
    PROOF_INTENT = "proof_intent"
    PROOF_SUBMITTED = "proof_submitted"
    PROOF_FAILED = "proof_failed"
    PROOF_VALIDATED = "proof_validated"
    PROOF_NOT_REQUIRED = "proof_not_required"
    TRIE_REBUILT = "trie_rebuilt"
    """A damaged trie was set aside and made anew from what was left of it."""
    SET_BACK = "set_back"
    """A trie holds less than it did: the store lost what it had confirmed."""
    RELAYS_LOST = "relays_lost"
    """What was still missing of it when the session was sealed."""
    LOST = "lost"
    SETTLED = "settled"
    EXPIRED = "expired"
    SLASHED = "slashed"
    DISCARDED = "discarded"
    OVERSERVICED = "overserviced"
    SHADOW_CLAIM = "shadow_claim"


class Phase(StrEnum):
    """Which of the two transactions of a session."""

    CLAIM = "claim"
    PROOF = "proof"

    @property
    def intent(self) -> Step:
        """Step written before a broadcast."""
        return Step.CLAIM_INTENT if self is Phase.CLAIM else Step.PROOF_INTENT

    @property
    def submitted(self) -> Step:
        """Step written when the mempool has the transaction."""
        return Step.CLAIM_SUBMITTED if self is Phase.CLAIM else Step.PROOF_SUBMITTED

    @property
    def failed(self) -> Step:
        """Step written when the transaction was refused or has to wait."""
        return Step.CLAIM_FAILED if self is Phase.CLAIM else Step.PROOF_FAILED


Value = str | int


@frozen
class Record:
    """One line of a supplier's ledger."""

    id: str
    """Equal for the same fact, whoever records it and however often."""
    step: Step
    session_id: str
    fields: Mapping[str, Value] = field(factory=dict)


def record(step: Step, info: SessionInfo, *marks: Value, **fields: Value) -> Record:
    """A record about a session.

    Args:
        step: What happened.
        info: To which session.
        *marks: What tells two records of this step apart: a height, a transaction hash.
        **fields: Everything else; amounts in uPOKT, heights in blocks.
    """
    parts = [step.value, info.session_id, *map(str, marks)]
    return Record(
        ":".join(parts),
        step,
        info.session_id,
        {
            "service_id": info.service_id,
            "application_address": info.application_address,
            "session_start_height": info.start_height,
            "session_end_height": info.end_height,
            **fields,
        },
    )


def ledger_json(record: Record, unix_seconds: int) -> bytes:
    """The stored form of a ledger record."""
    value: dict[str, Value] = {
        "step": record.step.value,
        "session_id": record.session_id,
        "unix_seconds": unix_seconds,
        **record.fields,
    }
    return json.dumps(value, separators=(",", ":")).encode()
