"""One entry of a ledger, readable."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from relayminer.state.ledger import LedgerRecord, record_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

STEPS: Final[Mapping[str, str]] = {
    "served": "relays logged by the relayers",
    "metered": "spent of the application's budget",
    "mined": "trie sealed",
    "trie_rebuilt": "damaged trie set aside and made anew from what was left",
    "set_back": "the store lost what it had confirmed of the trie",
    "relays_lost": "relays were missing when the trie was sealed: lost",
    "late": "relays came after the trie was sealed: lost",
    "skipped": "no claim is made",
    "claim_intent": "about to send the claim",
    "claim_submitted": "claim in the mempool",
    "claim_failed": "claim not accepted",
    "claim_included": "claim on chain",
    "proof_intent": "about to send the proof",
    "proof_submitted": "proof in the mempool",
    "proof_failed": "proof not accepted",
    "proof_validated": "proof found valid by the chain",
    "proof_not_required": "no proof is wanted",
    "lost": "given up without a reward",
    "settled": "settled by the chain",
    "expired": "claim expired",
    "slashed": "stake taken by the chain",
    "discarded": "claim discarded by the chain",
    "overserviced": "the application's budget did not cover all of it",
    "shadow_claim": "what a shadow miner would have claimed, beside the claim on chain",
}
"""What each step means. Steps that are not here are shown by their name."""

UNREADABLE: Final = "unreadable"


@frozen
class Entry:
    """One entry.

    Attributes:
        entry_id: its place in the supplier's ledger.
        id: what it is about.
        unix_seconds: when it was written down.
        fields: everything else: amounts in uPOKT, heights in blocks.
    """

    supplier: str
    entry_id: str
    id: str
    step: str
    session_id: str
    unix_seconds: int
    fields: Mapping[str, Any]

    def number(self, name: str) -> int:
        """A field that is a whole number; 0 where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def text(self, name: str) -> str:
        """A field as text; empty where there is none."""
        value = self.fields.get(name)
        return "" if value is None else str(value)

    @property
    def session(self) -> tuple[str, str, int]:
        """Service, application and end: what tells a session even without its id."""
        return (
            self.text("service_id"),
            self.text("application_address"),
            self.number("session_end_height"),
        )

    @property
    def day(self) -> str:
        """The day that it was written down, UTC."""
        return day_of(self.unix_seconds)

    def as_json(self) -> dict[str, Any]:
        """For programs: one flat object."""
        own = {
            "supplier": self.supplier,
            "time_utc": time_of(self.unix_seconds),
            "step": self.step,
            "session_id": self.session_id,
        }
        return own | dict(self.fields) | {"id": self.id, "entry_id": self.entry_id}


def entry_of(supplier: str, record: LedgerRecord) -> Entry:
    """A ledger's record; what cannot be read becomes an entry with the step `unreadable`."""
    fields = record_fields(record)
    moment = fields.pop("unix_seconds", None)
    if not isinstance(moment, int):
        # The entry's own id begins with the moment in milliseconds.
        head = record.entry_id.partition("-")[0]
        moment = int(head) // 1000 if head.isdecimal() else 0
    step, session_id = fields.pop("step", UNREADABLE), fields.pop("session_id", "")
    return Entry(supplier, record.entry_id, record.id, str(step), str(session_id), moment, fields)


def day_of(unix_seconds: int) -> str:
    """The UTC day of a moment, `2026-11-21`."""
    return time_of(unix_seconds)[:10]


def time_of(unix_seconds: int) -> str:
    """A moment as people write it, UTC."""
    try:
        moment = dt.datetime.fromtimestamp(unix_seconds, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return str(unix_seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
