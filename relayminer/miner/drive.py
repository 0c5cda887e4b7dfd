"""One pass over a supplier's sessions at every new block.

A pass looks at each session's state, its windows and the height, and does what is due. It keeps
nothing between passes but what is stored, so a pass after a crash, a takeover or a failed pass is
like any other. When blocks come faster than passes end, heights are left out: only the newest one
matters.

Sessions that end together are worked on together. A pass does not wait for that work, and a later
pass leaves out the sessions that are still in hand: what hangs holds back nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.claim import claim_group, claims_on_chain
from relayminer.miner.errors import TrieUnavailableError
from relayminer.miner.lifecycle import Duty, SessionState, duty
from relayminer.miner.prove import prove_group
from relayminer.miner.reconcile import SETTLEMENT_GRACE_BLOCKS, claim_verdict, proof_verdict
from relayminer.miner.records import Phase
from relayminer.miner.taken_back import BELIEVED, is_last_look, send_again
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.windows import SessionWindows
    from relayminer.watchdog import Pulse

GROUP_SECONDS: Final = 30.0
GROUP_BLOCKS: Final = 2
"""Longest time that sessions may be in hand, in seconds and in block times: the longer of both. The
next pass goes on where it ended."""
PASS_DEADLINE_SECONDS: Final = 60.0
"""Longest silence of a pass: every session is a word of it."""

SLOWNESS: Final = 2.0
"""Blocks may come this much slower than expected before anything stored runs out."""

_log = structlog.get_logger("relayminer.miner.drive")

_PHASES: Final = {Duty.CLAIM: Phase.CLAIM, Duty.PROVE: Phase.PROOF}
_FAILED_CLAIMS: Final = frozenset(
    {
        SessionState.CLAIM_WINDOW_CLOSED,
        SessionState.CLAIM_TX_ERROR,
        SessionState.CLAIM_SKIPPED,
    }
)


class Driver:
    """Drives the sessions of one supplier."""

    def __init__(self, context: SupplierContext) -> None:
        self._context = context
        self._in_hand: set[str] = set()
        self._height = 0
        self._begun_height = 0
        self._due = trio.Event()
        self._ledger_grew = False
        self._set_backs = context.process.blocks.set_backs
        # Whoever wrote down what we begin with may have seen another past.
        self._doubted = {session.session_id: False for session in context.book}
        context.book.on_open = self._see

    def _see(self, session: Session) -> None:
        """A session of which the log tells after it has ended: its window may be in this block."""
        if session.end_height < self._height:
            self._due.set()

    def is_waited_for(self) -> bool:
        """Whether there is a block that no pass has looked at."""
        latest = self._context.process.blocks.latest
        return self._due.is_set() or (latest is not None and latest.height > self._height)

    async def run(self, pulse: Pulse) -> None:
        """Make a pass at every new block until cancelled.

        Raises:
            LeaseLostError: the supplier is not ours any more.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            while True:
                pulse.idle()
                await self._due.wait()
                self._due = trio.Event()
                pulse.got_on()
                await self._believe_again(self._height)
                await self._drive(self._height, nursery, pulse)
                await self._trim_ledger()

    async def _believe_again(self, height: int) -> None:
        """See what the chain has of what we believe to be there, where there is doubt.

        Sessions in hand are looked at when they are free.
        """
        book = self._context.book
        doubted, self._doubted = self._doubted, {}
        later = {one: why for one, why in doubted.items() if one in self._in_hand}
        now = {one: why for one, why in doubted.items() if one not in later}
        try:
            free = [one for one in book if one.session_id not in self._in_hand | now.keys()]
            for session in free:
                if await self._is_last_look(session, height):
                    now[session.session_id] = False
            for was_set_back in (True, False):
                sessions = [one for one in book if now.get(one.session_id) is was_set_back]
                await send_again(self._context, sessions, height, was_set_back=was_set_back)
        except (ChainError, StateError) as error:
            _log.warning("not compared with the chain yet", height=height, error=str(error))
            later |= now
        # A set-back meanwhile weighs more.
        self._doubted = later | self._doubted

    async def _is_last_look(self, session: Session, height: int) -> bool:
        if session.state not in BELIEVED or session.trie_deleted:
            return False
        windows = await self._context.process.facts.windows(session.end_height, height)
        return is_last_look(session, windows, height)

    async def _trim_ledger(self) -> None:
        """Drop the oldest records after sessions have ended; what is open is among the newest."""
        keep = self._context.process.settings.ledger_records_max
        if not self._ledger_grew or not keep:
            return
        self._ledger_grew = False
        try:
            await self._context.store.trim_ledger(keep)
        except StateError as error:
            _log.warning("ledger not trimmed", supplier=self._context.address, error=str(error))

    async def _follow(self) -> None:
        with self._context.process.blocks.subscribe() as blocks:
            while True:
                height = (await blocks.receive()).height
                set_backs = self._context.process.blocks.set_backs
                # The other past may be higher already than what we had seen of ours.
                if height <= self._height or set_backs != self._set_backs:
                    self._set_backs = set_backs
                    self._doubted = {one.session_id: True for one in self._context.book}
                self._height = height
                self._due.set()

    async def _drive(self, height: int, nursery: trio.Nursery, pulse: Pulse) -> None:
        """One pass at the last committed block `height`; what it begins runs in `nursery`."""
        lag = self._context.process.metrics.pass_blocks.bind(self._context.address)
        lag.value = max(0, height - self._begun_height) if self._begun_height else 1
        self._begun_height = height
        await self._context.process.known.tell(session.info for session in self._context.book)
        groups: dict[tuple[Duty, int], list[Session]] = defaultdict(list)
        windows_at: dict[int, SessionWindows] = {}
        for session in self._context.book:
            windows = await self._windows(session, height, windows_at)
            pulse.got_on()
            if windows is None:
                continue
            if not session.state.is_terminal:
                await self._keep_alive(session, windows, height)
            if session.session_id in self._in_hand:
                continue
            if session.state.is_terminal:
                await self._clean_up(session, windows, height)
                continue
            what = duty(session.state, height, windows)
            if what is not Duty.NOTHING:
                groups[what, session.end_height].append(session)
        self._begin(groups, windows_at, height, nursery)

    def _begin(
        self,
        groups: Mapping[tuple[Duty, int], Sequence[Session]],
        windows_at: Mapping[int, SessionWindows],
        height: int,
        nursery: trio.Nursery,
    ) -> None:
        """Take the sessions of a pass in hand; the pass is over when the last of them is done."""
        left = len(groups)

        def done() -> None:
            nonlocal left
            left -= 1
            driven = self._context.process.metrics.driven_height.bind(self._context.address)
            if left <= 0 and (height == self._height or height > driven.value):
                driven.value = height

        if not groups:
            done()
        for (what, end_height), sessions in groups.items():
            self._in_hand.update(session.session_id for session in sessions)
            nursery.start_soon(
                self._take_in_hand, what, sessions, windows_at[end_height], height, done
            )

    async def _take_in_hand(
        self,
        what: Duty,
        sessions: Sequence[Session],
        windows: SessionWindows,
        height: int,
        done: Callable[[], None],
    ) -> None:
        try:
            await self._group(what, sessions, windows, height)
        finally:
            self._in_hand.difference_update(session.session_id for session in sessions)
        done()
        if self._height != height:
            # The blocks that came meanwhile have left these sessions out.
            self._due.set()

    async def _windows(
        self, session: Session, height: int, known: dict[int, SessionWindows]
    ) -> SessionWindows | None:
        """The session's windows; None when the chain cannot say, then nothing is decided."""
        end_height = session.end_height
        if end_height not in known:
            try:
                known[end_height] = await self._context.process.facts.windows(end_height, height)
            except ChainError as error:
                _log.warning("windows are not known", end_height=end_height, error=str(error))
                return None
        return known[end_height]

    async def _keep_alive(self, session: Session, windows: SessionWindows, height: int) -> None:
        """See to it that what is stored outlives the session's windows, however slow the blocks."""
        now = trio.current_time()
        if now < session.refresh_at:
            return
        process = self._context.process
        blocks = max(0, windows.proof_close_height - height) + SETTLEMENT_GRACE_BLOCKS
        ttl_seconds = max(
            process.settings.cache_ttl_seconds, blocks * process.block_time_seconds * SLOWNESS
        )
        try:
            await self._context.store.keep_alive(session.session_id, int(ttl_seconds))
        except StateError as error:
            _log.warning("not kept alive", session_id=session.session_id, error=str(error))
        else:
            session.refresh_at = now + process.settings.cache_ttl_seconds / 4

    async def _group(
        self, what: Duty, sessions: Sequence[Session], windows: SessionWindows, height: int
    ) -> None:
        """Do one group's duty; whatever goes wrong is tried again at the next block."""
        sends = what in {Duty.CLAIM, Duty.PROVE}
        if sends and not self._context.process.may_send(self._context.address):
            _log.error("not staked, nothing is sent", supplier=self._context.address)
            return
        work: dict[Duty, Callable[[], Awaitable[None]]] = {
            Duty.CLAIM: lambda: claim_group(self._context, sessions, windows, height),
            Duty.PROVE: lambda: prove_group(self._context, sessions, windows, height),
            Duty.CLAIM_VERDICT: lambda: self._claim_verdicts(sessions, windows, height),
            Duty.PROOF_VERDICT: lambda: self._proof_verdicts(sessions, windows, height),
        }
        seconds = max(GROUP_SECONDS, GROUP_BLOCKS * self._context.process.block_time_seconds)
        with trio.move_on_after(seconds) as scope:
            try:
                await work[what]()
            except (ChainError, StateError, TrieUnavailableError) as error:
                _log.warning(
                    "not possible now, tried again at the next block",
                    supplier=self._context.address,
                    duty=what.value,
                    height=height,
                    sessions=len(sessions),
                    error=str(error),
                )
                self._failed(what, too_slow=False)
        if scope.cancelled_caught:
            self._failed(what, too_slow=True)
            _log.error(
                "took too long, goes on at the next block",
                supplier=self._context.address,
                duty=what.value,
                height=height,
            )

    def _failed(self, what: Duty, *, too_slow: bool) -> None:
        phase = _PHASES.get(what)
        if phase is not None:
            sending = self._context.process.metrics.sending
            sending.group_failed(self._context.address, phase, too_slow=too_slow)

    async def _claim_verdicts(
        self, sessions: Sequence[Session], windows: SessionWindows, height: int
    ) -> None:
        theirs = await claims_on_chain(self._context, windows.claim_close_height)
        shadow = self._context.process.shadow
        if shadow is not None:
            await shadow.compare(self._context, sessions, theirs)
            return
        for session in sessions:
            claim = theirs.get(session.session_id)
            await claim_verdict(self._context, session, windows, claim, height)
        # Where the proof window opens with the claim window's last block there is no time to lose.
        ready = [
            session for session in sessions if duty(session.state, height, windows) is Duty.PROVE
        ]
        if ready:
            await prove_group(self._context, ready, windows, height)

    async def _proof_verdicts(
        self, sessions: Sequence[Session], windows: SessionWindows, height: int
    ) -> None:
        theirs = await claims_on_chain(self._context, windows.proof_close_height)
        for session in sessions:
            claim = theirs.get(session.session_id)
            await proof_verdict(self._context, session, windows, claim, height)

    async def _clean_up(self, session: Session, windows: SessionWindows, height: int) -> None:
        """Delete the trie of a finished session once no window can ask for it, then forget."""
        over = (
            windows.claim_close_height
            if session.state in _FAILED_CLAIMS
            else windows.proof_close_height
        )
        if height <= over:
            return
        try:
            if not session.trie_deleted:
                await self._context.store.delete_trie(session.session_id)
                self._context.process.tries.drop(self._context.address, session.session_id)
                session.trie_deleted = True
        except StateError as error:
            _log.warning("trie not deleted", session_id=session.session_id, error=str(error))
            return
        if height > windows.settlement_height + SETTLEMENT_GRACE_BLOCKS:
            self._context.book.forget(session)
            self._ledger_grew = True
