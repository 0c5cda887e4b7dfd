"""The relay log with the spool behind it: where a relay goes while the store is away.

Nothing is tried twice here: a relay whose entry was not confirmed is spooled with the mark that the
store may have it, and the replay looks before it repeats.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import structlog

from relayminer.relayer.errors import UnavailableError
from relayminer.relayer.replay import ReplayError
from relayminer.relayer.spool import SpoolError
from relayminer.relayer.spool_file import SpoolRecord
from relayminer.state.errors import StateError, StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.relayer.relay import SessionContext
    from relayminer.relayer.spool import Spool
    from relayminer.relayer.spool_metrics import SpoolMetrics
    from relayminer.state.gateway import Redis
    from relayminer.telemetry.metrics import CounterFamily

UNAVAILABLE = "relay log unavailable"


class Log(Protocol):
    """The relay log of all suppliers, in the store."""

    async def append(
        self, supplier: str, mined: bytes, *, timeout_seconds: float | None = None
    ) -> object:
        """Add an entry; returns when the server has confirmed it."""
        ...

    async def append_once(
        self,
        supplier: str,
        mined: bytes,
        *,
        session_id: str,
        request_hash: bytes,
        ttl_seconds: int,
    ) -> bytes | None:
        """As `append`, unless the request was logged in the session before: None then."""
        ...


class StoreWatch:
    """Whether the store takes relays at this moment.

    Args:
        store: the gateway to it.
        metrics: shows the answer.
    """

    def __init__(self, store: Redis, metrics: SpoolMetrics) -> None:
        self._store = store
        self._reason: str | None = None
        self._log = structlog.get_logger("relayminer.relayer")
        metrics.away.read = lambda: float(self.is_away)

    @property
    def is_away(self) -> bool:
        """Not connected, full, or it failed at what it was asked and was not heard from since."""
        store = self._store
        return self._reason is not None or store.pressure is not None or not store.is_connected

    @property
    def reason(self) -> str:
        """Why it is away."""
        return self._reason or self._store.pressure or "the store is not reached"

    def failed(self, error: StateError) -> None:
        """A relay was not confirmed."""
        if self._reason is None:
            self._log.warning("relay_log_away", reason=str(error))
        self._reason = str(error)

    def answered(self) -> None:
        """The store answers again."""
        if self._reason is not None:
            self._log.info("relay_log_back")
        self._reason = None


class DurableLog:
    """Logs relays, in the store or on the disk.

    Args:
        log: the store's.
        watch: whether the store takes relays.
        spool: None refuses relays while the store is away.
        timeout_seconds: after which an entry counts as not confirmed; None leaves it to the log.
        errors: counts what the store did not confirm, by supplier and service.
        remember_seconds: how long a session's requests are remembered that are answered once.
        now_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        log: Log,
        watch: StoreWatch,
        spool: Spool | None,
        *,
        timeout_seconds: float | None,
        errors: CounterFamily,
        remember_seconds: int = 7_200,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._log = log
        self._watch = watch
        self._spool = spool
        self._timeout_seconds = timeout_seconds
        self._errors = errors
        self._remember_seconds = remember_seconds
        self._now_ns = now_ns

    def problem(self) -> str | None:
        """What keeps relays from being logged, None when nothing does."""
        if not self._watch.is_away:
            return None
        if self._spool is None:
            return f"the store is away ({self._watch.reason})"
        if self._spool.is_full:
            return "the store is away and the spool is full"
        return None

    def check(self) -> None:
        """Before any work is done for a relay.

        Raises:
            UnavailableError: it could not be logged.
        """
        if self._watch.is_away and self.problem() is not None:
            raise UnavailableError(UNAVAILABLE, "log_unavailable")

    async def append(
        self, supplier: str, mined: bytes, context: SessionContext, once: bytes | None = None
    ) -> bool:
        """Log one relay; when this returns it outlives us.

        Args:
            supplier: operator address.
            mined: the entry.
            context: its session.
            once: what tells replays of its request (32 bytes), when those are refused.

        Returns:
            Whether it is in the store; else it is in the spool.

        Raises:
            UnavailableError: 503, it is not logged.
            ReplayError: 409, its request was answered before.
        """
        maybe_logged = False
        if not self._watch.is_away:
            try:
                if once is None:
                    await self._log.append(supplier, mined, timeout_seconds=self._timeout_seconds)
                else:
                    await self._append_once(supplier, mined, context, once)
            except StateError as error:
                self._watch.failed(error)
                self._errors.bind(supplier, context.service).value += 1
                if self._spool is None:
                    raise UnavailableError(UNAVAILABLE, "log_unavailable") from error
                maybe_logged = isinstance(error, StoreAwayError) and error.maybe_executed
            else:
                return True
        await self._to_spool(mined, context, maybe_logged=maybe_logged)
        return False

    async def _append_once(
        self, supplier: str, mined: bytes, context: SessionContext, once: bytes
    ) -> None:
        entry_id = await self._log.append_once(
            supplier,
            mined,
            session_id=context.session_id,
            request_hash=once,
            ttl_seconds=self._remember_seconds,
        )
        if entry_id is None:
            raise ReplayError

    async def _to_spool(self, mined: bytes, context: SessionContext, *, maybe_logged: bool) -> None:
        if self._spool is None:
            raise UnavailableError(UNAVAILABLE, "log_unavailable")
        record = SpoolRecord(
            mined, self._now_ns(), context.claim_open_height, context.cost_upokt, maybe_logged
        )
        try:
            await self._spool.append(record)
        except SpoolError as error:
            raise UnavailableError(UNAVAILABLE, "log_unavailable") from error
