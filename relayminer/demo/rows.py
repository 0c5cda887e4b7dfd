"""One row per supplier and session: what was sent must be what is paid."""

from __future__ import annotations

from attrs import define, field

from relayminer.errors import RelayMinerError


class UnknownSessionError(RelayMinerError):
    """The chain speaks of a session that the demonstration has not used."""


@define(kw_only=True)
class Row:
    """The way of one supplier's relays in one session; amounts in uPOKT."""

    supplier: str
    supplier_name: str
    service_id: str
    application: str
    session_id: str
    session_end_height: int
    sent: int = 0
    served: int = 0
    logged: int = 0
    in_trie: int = 0
    claimed: int = 0
    proven: int = 0
    settled: int = 0
    settled_upokt: int = 0
    earned_upokt: int = 0
    fees_upokt: int = 0
    slashed_upokt: int = 0
    skipped: str = ""
    """Why the miner made no claim, empty when it did."""
    failures: list[str] = field(factory=list)
    claimed_roots: set[bytes] = field(factory=set)
    """Roots of all claims that blocks took, also of those that failed there."""

    def counts(self) -> tuple[int, ...]:
        """The seven counts in the order of the relay's way."""
        return (
            self.sent,
            self.served,
            self.logged,
            self.in_trie,
            self.claimed,
            self.proven,
            self.settled,
        )

    def is_whole(self, *, faults: bool) -> bool:
        """Whether no relay was lost or counted twice.

        Args:
            faults: processes were killed meanwhile. Then a relay may be in the log although its
                client never saw the answer, so what was served may be less than what is paid, and
                the counters of a killed process may have missed its last moment; what is paid must
                still be the same from the trie onwards, at least what was served, and never more
                than was sent.
        """
        if not faults:
            return len(set(self.counts())) == 1
        if len(self.claimed_roots) > 1:
            return False
        paid = {self.in_trie, self.claimed, self.proven, self.settled}
        return len(paid) == 1 and self.served <= self.settled <= self.sent


class Rows:
    """All rows, found by supplier and session id or by what the chain's events tell."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}

    def add(self, row: Row) -> None:
        """Take `row` in."""
        self._rows[row.supplier, row.session_id] = row

    def get(self, supplier: str, session_id: str) -> Row | None:
        """The row of a supplier and session, if there is one."""
        return self._rows.get((supplier, session_id))

    def all(self) -> list[Row]:
        """Ordered by session end, service and supplier."""
        return sorted(
            self._rows.values(),
            key=lambda row: (row.session_end_height, row.service_id, row.supplier_name),
        )

    def of_event(self, values: dict[str, str]) -> Row:
        """The row that an event of the proof or tokenomics module speaks of.

        Args:
            values: attributes with their JSON quotes taken off.

        Raises:
            UnknownSessionError: no row is meant.
        """
        end_height = int(values["session_end_block_height"])
        for row in self._rows.values():
            if (
                row.supplier == values["supplier_operator_address"]
                and row.service_id == values["service_id"]
                and row.application == values["application_address"]
                and row.session_end_height == end_height
            ):
                return row
        raise UnknownSessionError(f"an event of a session ending at {end_height} that was not used")
