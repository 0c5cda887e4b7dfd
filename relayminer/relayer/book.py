"""Sessions that valid relays have vouched for, and the rings of their applications.

The hot path is one dictionary look-up and comparisons. Everything that asks the caches, and
through them the chain, happens once per session (and once a minute for its ring).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio

from relayminer.cache.errors import AbsentError, CacheError
from relayminer.protocol.budget import relay_cost_upokt
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.ring_members import (
    PLACEHOLDER_ADDRESS,
    expected_ring,
    ring_addresses,
)
from relayminer.protocol.session import session_end
from relayminer.protocol.windows import session_windows
from relayminer.relayer.errors import InvalidRelayError, RefusedError, UnavailableError
from relayminer.relayer.relay import SessionContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.protocol.pb.session_pb2 import Session
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.view import ChainView

RING_SECONDS = 60.0
RING_RENEWAL_SECONDS = 5.0
"""A ring younger than this is not asked for again, however many signatures it refuses."""


class LookupLimit:
    """A token bucket: how many unvouched applications may be looked up."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at: float | None = None

    def take(self) -> bool:
        """Whether one more look-up is allowed now."""
        now = self._clock()
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class SessionBook:
    """Contexts by session id, and rings by application and session end."""

    def __init__(
        self,
        view: ChainView,
        metrics: RelayerMetrics,
        *,
        max_sessions: int,
        lookups_per_second: float = 100.0,
        lookup_burst: float = 500.0,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._view = view
        self._metrics = metrics
        self._max_sessions = max_sessions
        self._clock = clock
        self._limit = LookupLimit(lookups_per_second, lookup_burst, clock)
        self._contexts: dict[str, SessionContext] = {}
        self._vouched: dict[str, None] = {}
        metrics.sessions_active.read_all = self._active

    def _active(self) -> Counter[tuple[str, ...]]:
        """How many sessions are charged, by supplier and service."""
        return Counter(
            (supplier, one.service) for one in self._contexts.values() for supplier in one.budgets
        )

    def find(self, session_id: str) -> SessionContext | None:
        """The context of a session that some valid relay has vouched for."""
        return self._contexts.get(session_id)

    def contexts(self) -> list[SessionContext]:
        """All known sessions."""
        return list(self._contexts.values())

    def has_ring(self, context: SessionContext) -> bool:
        """Whether the context's ring is fresh."""
        return context.ring_expires_at > self._clock()

    def set_ring(self, context: SessionContext, ring: frozenset[bytes]) -> None:
        """The ring is this for the next minute."""
        context.ring = ring
        context.ring_expires_at = self._clock() + RING_SECONDS

    async def ring(self, application: str, end_height: int) -> frozenset[bytes]:
        """The keys (33 bytes each) that may sign for `application` in that session.

        Raises:
            InvalidRelayError: there is no such application, or a member has no key.
            UnavailableError: too many unknown applications at once, or nobody can be asked.
        """
        if application not in self._vouched and not self._view.application_is_cached(application):
            self._allow_lookup()
        try:
            record = await self._view.application(application)
            live = await self._view.shared_params()
            addresses = ring_addresses(record, session_end(live, end_height))
            keys: dict[str, bytes] = {}
            for address in addresses:
                if address == PLACEHOLDER_ADDRESS or address in keys:
                    continue
                key = await self._view.public_key(address)
                if key is not None:
                    keys[address] = key
            return frozenset(expected_ring(addresses, keys))
        except AbsentError as error:
            raise InvalidRelayError(f"ring signature verification failed: {error}") from error
        except CacheError as error:
            raise UnavailableError(
                "application cannot be looked up now", "application_lookup_failed"
            ) from error
        except ProtocolError as error:
            raise InvalidRelayError(f"ring signature verification failed: {error}") from error

    async def renewed_ring(self, context: SessionContext) -> frozenset[bytes] | None:
        """The ring by the application's record as it is on chain now; None when that is no news."""
        built_at = context.ring_expires_at - RING_SECONDS
        if self._clock() - built_at < RING_RENEWAL_SECONDS:
            return None
        known = context.ring
        # Whatever comes out, the next forgery does not ask again.
        self.set_ring(context, known)
        try:
            await self._view.refresh_application(context.application)
            ring = await self.ring(context.application, context.end_height)
        except (CacheError, RefusedError):
            return None
        self.set_ring(context, ring)
        return None if ring == known else ring

    def _allow_lookup(self) -> None:
        if not self._limit.take():
            self._metrics.lookups_refused.value += 1
            raise UnavailableError(
                "too many unknown applications at once, try again", "lookup_limited"
            )

    async def resolve(self, relay: Relay, height: int) -> SessionContext:
        """The context of the relay's session, from the chain; its ring signature is verified.

        Args:
            relay: whose header is compared with the chain's.
            height: the last block height, 0 when unknown.

        Raises:
            InvalidRelayError: expired, no such session, or not the one of the header.
            UnavailableError: nobody can be asked.
        """
        self._vouch(relay.application)
        try:
            windows = session_windows(
                await self._view.shared_params_at(relay.end_height), relay.end_height
            )
        except CacheError as error:
            raise UnavailableError("shared parameters unavailable", "params_failed") from error
        check_timing(relay.end_height, windows.grace_end_height, height)
        current = height == 0 or relay.end_height >= height
        lookup_height = relay.start_height if current else relay.end_height
        try:
            session = await self._view.session(relay.application, relay.service, lookup_height)
        except CacheError as error:
            raise InvalidRelayError(f"failed to get session: {error}") from error
        check_header(relay, session)
        try:
            context = await self._context(
                relay, session, windows.grace_end_height, windows.claim_open_height
            )
        except (CacheError, ProtocolError) as error:
            raise UnavailableError("session terms unavailable", "terms_failed") from error
        return self._remember(context)

    async def _context(
        self, relay: Relay, session: Session, grace_end_height: int, claim_open_height: int
    ) -> SessionContext:
        units = await self._view.compute_units(relay.service, relay.start_height)
        at_start = await self._view.shared_params_at(relay.start_height)
        return SessionContext(
            application=relay.application,
            service=relay.service,
            session_id=relay.session_id,
            start_height=relay.start_height,
            end_height=relay.end_height,
            grace_end_height=grace_end_height,
            claim_open_height=claim_open_height,
            suppliers=frozenset(one.operator_address for one in session.suppliers),
            target=await self._view.difficulty_target(relay.service, relay.start_height),
            compute_units=units,
            cost_upokt=relay_cost_upokt(units, at_start),
        )

    def _remember(self, context: SessionContext) -> SessionContext:
        known = self._contexts.get(context.session_id)
        if known is not None:
            # Another relay was faster; its budgets are in use.
            return known
        if len(self._contexts) >= self._max_sessions:
            del self._contexts[next(iter(self._contexts))]
        self._contexts[context.session_id] = context
        return context

    def _vouch(self, application: str) -> None:
        self._vouched.pop(application, None)
        if len(self._vouched) >= self._max_sessions:
            del self._vouched[next(iter(self._vouched))]
        self._vouched[application] = None

    def take_expired(self, height: int) -> list[SessionContext]:
        """Forget the sessions that no relay can belong to any more, and return them."""
        expired = [one for one in self._contexts.values() if one.grace_end_height < height]
        for context in expired:
            del self._contexts[context.session_id]
        return expired


def check_timing(end_height: int, grace_end_height: int, height: int) -> None:
    """Whether a relay of a session is still in time (relayer.md 8.2 #4).

    Raises:
        InvalidRelayError: the session and its grace period are over.
    """
    if height and height > end_height and height > grace_end_height:
        raise InvalidRelayError(
            "session timing validation failed: session expired, session end height: "
            f"{end_height}, current height: {height} (grace period elapsed)"
        )


def check_header(relay: Relay, session: Session) -> None:
    """Compare the relay's session header with the chain's, field by field (relayer.md 8.2 #7).

    Raises:
        InvalidRelayError: they differ.
    """
    header = session.header
    for name, expected, got in (
        ("application", header.application_address, relay.application),
        ("service", header.service_id, relay.service),
        ("start height", header.session_start_block_height, relay.start_height),
        ("end height", header.session_end_block_height, relay.end_height),
    ):
        if expected != got:
            raise InvalidRelayError(
                f"session header {name} mismatch, expecting: {expected}, got: {got}"
            )
    if header.session_id != relay.session_id:
        raise InvalidRelayError(
            f"session ID mismatch, expected: {header.session_id}, got: {relay.session_id}"
        )
