"""One pass over a supplier's sessions at every new block.

A pass looks at each session's state, its windows and the height, and does what is due. It keeps
nothing between passes but what is stored, so a pass after a crash, a takeover or a failed pass is
like any other. When blocks come faster than passes end, heights are left out: only the newest one
matters.
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
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.sessions import Session
    from relayminer.protocol.windows import SessionWindows

GROUP_SECONDS: Final = 120.0
"""Longest time one group of one pass may take; the next pass goes on where it ended."""

SLOWNESS: Final = 2.0
"""Blocks may come this much slower than expected before anything stored runs out."""

_log = structlog.get_logger("relayminer.miner.drive")

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

    async def run(self) -> None:
        """Make a pass at every new block until cancelled.

        Raises:
            LeaseLostError: the supplier is not ours any more.
        """
        with self._context.process.blocks.subscribe() as blocks:
            while True:
                block = await blocks.receive()
                await self.drive(block.height)

    async def drive(self, height: int) -> None:
        """One pass at the last committed block `height`."""
        groups: dict[tuple[Duty, int], list[Session]] = defaultdict(list)
        windows_at: dict[int, SessionWindows] = {}
        for session in self._context.book:
            windows = await self._windows(session, height, windows_at)
            if windows is None:
                continue
            if session.state.is_terminal:
                await self._clean_up(session, windows, height)
                continue
            await self._keep_alive(session, windows, height)
            what = duty(session.state, height, windows)
            if what is not Duty.NOTHING:
                groups[what, session.end_height].append(session)
        async with trio.open_nursery() as nursery:
            for (what, end_height), sessions in groups.items():
                nursery.start_soon(self._group, what, sessions, windows_at[end_height], height)
        self._context.process.metrics.driven_height.bind(self._context.address).value = height

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
        with trio.move_on_after(GROUP_SECONDS) as scope:
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
        if scope.cancelled_caught:
            _log.error(
                "took too long, goes on at the next block",
                supplier=self._context.address,
                duty=what.value,
                height=height,
            )

    async def _claim_verdicts(
        self, sessions: Sequence[Session], windows: SessionWindows, height: int
    ) -> None:
        theirs = await claims_on_chain(self._context, windows.claim_close_height)
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
