"""All sessions of one supplier: in memory, and in the store before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relayminer.miner.lifecycle import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.metrics import MinerMetrics
    from relayminer.miner.sessions import Session
    from relayminer.miner.store import SupplierStore
    from relayminer.miner.witness import Testimony

_log = structlog.get_logger("relayminer.miner.book")


class SessionBook:
    """The sessions of a supplier. Every change is written before it is believed.

    Nothing but a finished session ever leaves the book: a store that fails to answer is no reason
    to forget a session that earns money.
    """

    def __init__(self, supplier: str, store: SupplierStore, metrics: MinerMetrics) -> None:
        self._supplier = supplier
        self._store = store
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        self._testimony: Testimony | None = None
        self.on_open: Callable[[Session], None] = lambda _session: None
        """Told of every session that a relay is the first of."""

    async def load(self) -> None:
        """Read every session of the supplier from the store."""
        for session in await self._store.load_sessions():
            self._sessions[session.session_id] = session
        self._metrics.sessions_loaded.bind(self._supplier).value += len(self._sessions)

    async def compare(self, testimony: Testimony) -> None:
        """Believe a witness that a trie held more than the store says, or that there was one.

        Raises:
            LeaseLostError, StateError: not all of it was compared.
        """
        self._testimony = testimony
        for session_id, held in list(testimony.sessions.items()):
            session = self.get(session_id) or await self.open(held.info)
            if not session.accepts_relays:
                testimony.forget(session_id)
            elif (held.relays, held.compute_units) > (session.relay_count, session.compute_units):
                session.relay_count, session.compute_units = held.relays, held.compute_units

    def get(self, session_id: str) -> Session | None:
        """A session by id."""
        return self._sessions.get(session_id)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def find(self, service_id: str, application_address: str, end_height: int) -> Session | None:
        """The session that an event without a session id speaks of."""
        for session in self._sessions.values():
            info = session.info
            if (info.service_id, info.application_address, info.end_height) == (
                service_id,
                application_address,
                end_height,
            ):
                return session
        return None

    async def open(self, info: SessionInfo) -> Session:
        """The session `info` speaks of, written to the store if it was not there."""
        session = await self._store.create_session(info)
        if info.session_id not in self._sessions:
            self._metrics.sessions_created.bind(self._supplier, info.service_id).value += 1
        self._sessions[info.session_id] = session
        self.on_open(session)
        return session

    async def move(self, session: Session, state: SessionState, reason: str = "") -> None:
        """Change a session's state, in the store first.

        Raises:
            LeaseLostError: the supplier is not ours any more.
            StateError: the state was not changed.
        """
        before = session.state
        if before is state:
            return
        await self._store.set_state(session, state)
        session.state = state
        metrics, service = self._metrics, session.info.service_id
        metrics.transitions.bind(self._supplier, service, before.value, state.value).value += 1
        if state is SessionState.PROVED:
            metrics.sessions_proved.bind(self._supplier, service).value += 1
        elif state is SessionState.PROBABILISTIC_PROVED:
            metrics.sessions_unproved.bind(self._supplier, service).value += 1
        _log.info(
            "session changed",
            supplier=self._supplier,
            session_id=session.session_id,
            before=before.value,
            after=state.value,
            reason=reason,
        )

    def forget(self, session: Session) -> None:
        """Drop a session that is long over from memory; the store keeps it for its time."""
        self._sessions.pop(session.session_id, None)
        if self._testimony is not None:
            self._testimony.forget(session.session_id)
