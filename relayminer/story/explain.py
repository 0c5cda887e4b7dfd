"""The whole story of one session: what is stored of it, what was done for it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from relayminer.protocol.reward import root_sum
from relayminer.state.errors import UnreadableValueError
from relayminer.state.meter import MeterStore
from relayminer.state.sessions import SessionStore
from relayminer.state.submissions import SubmissionStore
from relayminer.state.suppliers import SupplierStates
from relayminer.state.tally import TallyStore
from relayminer.state.tries import TrieStore
from relayminer.story.accounts import Account
from relayminer.story.books import Books
from relayminer.story.errors import UnknownSessionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.protocol.windows import SessionWindows
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.state.snapshots import Snapshot
    from relayminer.state.submissions import Submission
    from relayminer.story.entries import Entry
    from relayminer.story.forecast import Prices

SHORTEST_PREFIX = 4
MAX_TOLD = 5


@frozen
class Story:
    """Everything about one session of one supplier.

    Attributes:
        account: the ledger's entries, added up.
        snapshot: its record, if it still exists.
        submission: what was sent, as the Go fleet's tools see it.
        windows: by the parameters at its end; None when the chain could not be asked.
        logged: relays that relayers have counted for it.
        consumed_upokt: spent of the application's budget by now.
        live_root, sealed_root: of its trie (48 bytes), if it still exists.
        worth_upokt: of what is in its trie; None when the chain could not be asked.
    """

    account: Account
    snapshot: Snapshot | None
    submission: Submission | None
    windows: SessionWindows | None
    logged: int
    consumed_upokt: int
    live_root: bytes | None
    sealed_root: bytes | None
    worth_upokt: int | None

    @property
    def state(self) -> str:
        """The stored state, or the outcome by the ledger when there is no record any more."""
        return self.snapshot.state if self.snapshot is not None else self.account.outcome

    def happened(self) -> list[tuple[int, Entry]]:
        """The ledger's entries with the height at which each happened (0: not told)."""
        return [(entry.number("height"), entry) for entry in self.account.entries]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        account = self.account
        snapshot = self.snapshot
        record = None
        if snapshot is not None:
            record = attrs.asdict(snapshot)
            record["claimed_root_hash"] = snapshot.claimed_root_hash.hex()
        return {
            "supplier": account.supplier,
            "session_id": account.session_id,
            "service_id": account.service_id,
            "application_address": account.application_address,
            "session_start_height": account.session_start_height,
            "session_end_height": account.session_end_height,
            "state": self.state,
            "outcome": account.outcome,
            "reason": account.reason,
            "relays": {
                "logged": self.logged or account.relays_served,
                "mined": account.relays,
                "late": account.relays_late,
            },
            "compute_units": account.compute_units,
            "metered_upokt": self.consumed_upokt or account.metered_upokt,
            "root": account.root,
            "live_root": "" if self.live_root is None else self.live_root.hex(),
            "sealed_root": "" if self.sealed_root is None else self.sealed_root.hex(),
            "worth_upokt": self.worth_upokt,
            "claim_tx": account.claim_tx,
            "proof_tx": account.proof_tx,
            "claimed_upokt": account.claimed_upokt,
            "settled_upokt": account.settled_upokt,
            "earned_upokt": account.earned_upokt,
            "fees_upokt": account.fees_upokt,
            "losses_upokt": account.losses,
            "net_upokt": account.net_upokt,
            "windows": None if self.windows is None else attrs.asdict(self.windows),
            "record": record,
            "submission": None if self.submission is None else attrs.asdict(self.submission),
            "ledger": [entry.as_json() for entry in account.entries],
        }


class Teller:
    """Finds sessions and tells their stories.

    Args:
        redis: the running gateway to the store; only read from.
        names: key names.
        prices: what the chain says, if it can be asked.
    """

    def __init__(self, redis: Redis, names: KeyNames, prices: Prices) -> None:
        self._books = Books(redis, names)
        self._states = SupplierStates(redis, names)
        self._sessions = SessionStore(redis, names, ttl_seconds=1)
        self._tries = TrieStore(redis, names, ttl_seconds=1, session_ttl_seconds=1)
        self._submissions = SubmissionStore(redis, names, ttl_seconds=0)
        self._meter = MeterStore(redis, names, ttl_seconds=1)
        self._tally = TallyStore(redis, names, ttl_seconds=1)
        self._prices = prices

    async def find(
        self, wanted: str, height: int | None = None, *, supplier: str = ""
    ) -> list[Account]:
        """The sessions that fit.

        Args:
            wanted: a session id or the beginning of one; with a height a supplier's address.
            height: a block of the session.
            supplier: whose ledger alone is looked into.

        Raises:
            UnknownSessionError: none fits, or `wanted` is too short.
        """
        if height is None and len(wanted) < SHORTEST_PREFIX:
            raise UnknownSessionError(
                f"{wanted!r} is too short: give at least {SHORTEST_PREFIX} characters of a session"
            )
        # Also those for whom nothing was ever settled.
        registered = {one.operator_address for one in await self._states.all()}
        suppliers = sorted(registered.union(await self._books.suppliers()))
        if supplier or height is not None:
            suppliers = [supplier or wanted]
        found: dict[tuple[str, str], Account] = {}
        for account in await self._books.accounts(suppliers):
            found[account.supplier, account.session_id] = account
        for whose in suppliers:
            # Sessions that nothing is in the ledger about yet.
            for one in (await self._sessions.load_all(whose)).sessions:
                key = (whose, one.session_id)
                account = found.setdefault(key, _account(one))
                account.session_start_height = one.session_start_height
        fitting = [account for account in found.values() if _fits(account, wanted, height)]
        if not fitting:
            what = wanted if height is None else f"{wanted} at height {height}"
            raise UnknownSessionError(f"nothing is known of a session {what}")
        return sorted(fitting, key=lambda one: (one.session_end_height, one.supplier))

    async def tell(self, account: Account) -> Story:
        """The story of one session; raises StateError."""
        supplier, session_id = account.supplier, account.session_id
        roots = await self._tries.roots(supplier, session_id)
        snapshot = await self._readable_snapshot(supplier, session_id)
        units = snapshot.total_compute_units if snapshot else 0
        root = roots.sealed or roots.live
        if root is not None:
            # While a session is open its record says what was ever counted.
            units = root_sum(root)
        units = account.compute_units or units
        return Story(
            account=account,
            snapshot=snapshot,
            submission=await self._readable_submission(account),
            windows=await self._prices.windows(account.session_end_height),
            logged=await self._tally.logged(supplier, session_id),
            consumed_upokt=await self._meter.consumed(session_id, supplier),
            live_root=roots.live,
            sealed_root=roots.sealed,
            worth_upokt=await self._prices.upokt(
                account.service_id, account.session_start_height, units
            ),
        )

    async def _readable_snapshot(self, supplier: str, session_id: str) -> Snapshot | None:
        try:
            return await self._sessions.load(supplier, session_id)
        except UnreadableValueError:
            return None

    async def _readable_submission(self, account: Account) -> Submission | None:
        try:
            return await self._submissions.load(
                account.supplier, account.session_end_height, account.session_id
            )
        except UnreadableValueError:
            return None


def _account(snapshot: Snapshot) -> Account:
    return Account(
        snapshot.supplier_operator_address,
        snapshot.session_id,
        snapshot.service_id,
        snapshot.application_address,
        snapshot.session_end_height,
        snapshot.session_start_height,
    )


def _fits(account: Account, wanted: str, height: int | None) -> bool:
    if height is None:
        return account.session_id.startswith(wanted)
    return account.session_start_height <= height <= account.session_end_height


def choices(accounts: Sequence[Account]) -> str:
    """Several sessions fit: which ones, for a message."""
    shown = [
        f"{one.session_id} of {one.supplier} ({one.service_id}, ends {one.session_end_height})"
        for one in accounts[:MAX_TOLD]
    ]
    more = len(accounts) - MAX_TOLD
    return "\n".join([*shown, f"and {more} more"] if more > 0 else shown)
