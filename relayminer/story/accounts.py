"""One session's account: its ledger entries added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relayminer.story.entries import Entry

OPEN, SETTLED, LOST, SKIPPED = "open", "settled", "lost", "skipped"

OVERSERVICED: Final = "overserviced"
DEFLATED: Final = "deflation"
SLASHED: Final = "slashed"
STORE_LOST: Final = "store_lost"


@define
class Account:
    """What a session earned and cost, uPOKT.

    Attributes:
        entries: oldest first.
        relays: in the sealed trie.
        relays_served: that the relayers say they have logged; 0 when they did not say.
        relays_late: that came after the trie was sealed.
        metered_upokt: spent of the application's budget.
        claimed_upokt: what the claim asked for.
        settled_upokt: of that, what the chain paid out, to all shareholders.
        earned_upokt: of that, what the operator's address got.
        claim_fees_upokt, proof_fees_upokt: of transactions that a mempool accepted.
        submission_fee_upokt: what the chain took for the proof.
        given_up_upokt: what the given-up session would have earned, by our reckoning.
        expired_upokt: the same, by the chain's.
    """

    supplier: str
    session_id: str
    service_id: str
    application_address: str
    session_end_height: int
    session_start_height: int = 0
    entries: list[Entry] = field(factory=list, repr=False)
    relays: int = 0
    relays_served: int = 0
    relays_late: int = 0
    metered_upokt: int = 0
    compute_units: int = 0
    root: str = ""
    claim_tx: str = ""
    proof_tx: str = ""
    claimed_upokt: int = 0
    settled_upokt: int = 0
    earned_upokt: int = 0
    claim_fees_upokt: int = 0
    proof_fees_upokt: int = 0
    submission_fee_upokt: int = 0
    outcome: str = OPEN
    cause: str = ""
    """Of a loss, in one word; the same words as in the metrics."""
    reason: str = ""
    """Of a loss or of being skipped, in more words."""
    given_up_upokt: int = 0
    expired_upokt: int = 0
    overserviced_upokt: int = 0
    deflated_upokt: int = 0
    slashed_upokt: int = 0
    store_lost_upokt: int = 0
    """Of relays that were in the trie once and that the store has lost."""

    @property
    def fees_upokt(self) -> int:
        """Everything that was paid to get the reward."""
        return self.claim_fees_upokt + self.proof_fees_upokt + self.submission_fee_upokt

    @property
    def net_upokt(self) -> int:
        """What the operator has of it, fees and penalties taken off."""
        return self.earned_upokt - self.fees_upokt - self.slashed_upokt

    @property
    def losses(self) -> dict[str, int]:
        """Cause to amount, uPOKT."""
        causes = {
            OVERSERVICED: self.overserviced_upokt,
            DEFLATED: self.deflated_upokt,
            SLASHED: self.slashed_upokt,
            STORE_LOST: self.store_lost_upokt,
        }
        if self.outcome == LOST:
            # The chain and we tell of the same loss; the chain's amount is the one that counts.
            causes[self.cause or LOST] = self.expired_upokt or self.given_up_upokt
        return {cause: amount for cause, amount in causes.items() if amount}

    def add(self, entry: Entry) -> None:
        """Take one more entry into account."""
        self.entries.append(entry)
        self.session_start_height = (
            entry.number("session_start_height") or self.session_start_height
        )
        taker = _TAKERS.get(entry.step)
        if taker is not None:
            taker(self, entry)

    # What each step says.

    def _served(self, entry: Entry) -> None:
        self.relays_served = entry.number("relays")

    def _metered(self, entry: Entry) -> None:
        self.metered_upokt = entry.number("consumed_upokt")

    def _mined(self, entry: Entry) -> None:
        self.relays, self.compute_units = entry.number("relays"), entry.number("compute_units")
        self.root = entry.text("root")

    def _late(self, entry: Entry) -> None:
        self.relays_late += entry.number("relays")

    def _relays_lost(self, entry: Entry) -> None:
        self.store_lost_upokt += entry.number("reward_upokt")

    def _skipped(self, entry: Entry) -> None:
        self._end(SKIPPED, entry.text("reason"), entry.text("reason"))

    def _claim_submitted(self, entry: Entry) -> None:
        self.claim_fees_upokt += entry.number("fee_upokt")
        self.claim_tx = entry.text("tx_hash")

    def _proof_submitted(self, entry: Entry) -> None:
        self.proof_fees_upokt += entry.number("fee_upokt")
        self.proof_tx = entry.text("tx_hash")

    def _proof_validated(self, _: Entry) -> None:
        intended = [one for one in self.entries if one.step == "proof_intent"]
        if intended:
            self.submission_fee_upokt = intended[-1].number("submission_fee_upokt")

    def _lost(self, entry: Entry) -> None:
        self.given_up_upokt = entry.number("lost_upokt")
        self._end(LOST, entry.text("state"), entry.text("reason"))

    def _expired(self, entry: Entry) -> None:
        self.expired_upokt = entry.number("lost_upokt")
        self._end(LOST, entry.text("reason").lower(), entry.text("reason"))

    def _settled(self, entry: Entry) -> None:
        self.outcome, self.cause, self.reason = SETTLED, "", ""
        self.relays = self.relays or entry.number("relays")
        self.compute_units = self.compute_units or entry.number("compute_units")
        self.claimed_upokt = entry.number("claimed_upokt")
        self.settled_upokt = entry.number("settled_upokt")
        self.earned_upokt = entry.number("earned_upokt")
        self.overserviced_upokt = entry.number("overservicing_loss_upokt")
        self.deflated_upokt = entry.number("deflation_loss_upokt")

    def _slashed(self, entry: Entry) -> None:
        self.slashed_upokt += entry.number("penalty_upokt")

    def _end(self, outcome: str, cause: str, reason: str) -> None:
        """Nothing undoes a settlement, and our own word for a loss says more than the chain's."""
        if self.outcome == SETTLED or (self.outcome == LOST and outcome == LOST and self.cause):
            return
        self.outcome, self.cause, self.reason = outcome, cause, reason


_TAKERS: Final[Mapping[str, Callable[[Account, Entry], None]]] = {
    "served": Account._served,  # noqa: SLF001 - one module
    "metered": Account._metered,  # noqa: SLF001
    "mined": Account._mined,  # noqa: SLF001
    "late": Account._late,  # noqa: SLF001
    "relays_lost": Account._relays_lost,  # noqa: SLF001
    "skipped": Account._skipped,  # noqa: SLF001
    "claim_submitted": Account._claim_submitted,  # noqa: SLF001
    "proof_submitted": Account._proof_submitted,  # noqa: SLF001
    "proof_validated": Account._proof_validated,  # noqa: SLF001
    "lost": Account._lost,  # noqa: SLF001
    "settled": Account._settled,  # noqa: SLF001
    "expired": Account._expired,  # noqa: SLF001
    "slashed": Account._slashed,  # noqa: SLF001
}


class Accounts:
    """The accounts of sessions, as entries come.

    Most events of the chain name service, application and end of a session, not its id: they are
    put to the session of which all three are known.
    """

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str, str, int], Account] = {}

    def add(self, entry: Entry) -> None:
        """Take one more entry, of any supplier, into account."""
        key = (entry.supplier, *entry.session)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(
                entry.supplier, entry.session_id, *entry.session
            )
        if "/" in account.session_id and "/" not in entry.session_id:
            account.session_id = entry.session_id
        account.add(entry)

    def find(
        self, supplier: str, service_id: str, application_address: str, session_end_height: int
    ) -> Account | None:
        """The account of one session, None while nothing is in the ledger of it."""
        key = (supplier, service_id, application_address, session_end_height)
        return self._accounts.get(key)

    def sorted(self) -> list[Account]:
        """All of them, oldest first."""
        return sorted(
            self._accounts.values(), key=lambda one: (one.session_end_height, one.supplier)
        )


def accounts_of(entries: Iterable[Entry]) -> list[Account]:
    """The account of every session that the entries of any suppliers speak of, oldest first."""
    accounts = Accounts()
    for entry in entries:
        accounts.add(entry)
    return accounts.sorted()
