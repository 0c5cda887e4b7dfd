"""`relayer.refuse_replays`: a signed request is answered once in its session (DESIGN 12).

Each relayer remembers what it has answered, or is about to answer, in a bounded filter; what all
of them have answered is in the shared store, written in the same step as the log entry. So a
replay through the same relayer costs no backend work, and one through another relayer, or of a
request that the filter has forgotten, gets no answer either.

A request is what its ring signature's challenge says it is: nobody without a key of the ring can
make another one for the same text. Padding behind the signature, or unknown fields, change nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from relayminer.protocol.ring import SIZE_LENGTH
from relayminer.relayer.errors import RefusedError, UnavailableError
from relayminer.state.errors import StateError
from relayminer.state.relay_log import RelayLog

if TYPE_CHECKING:
    from relayminer.config.settings import RelayerSettings
    from relayminer.relayer.relay import Relay
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.telemetry.metrics import Metrics

REPLAY: Final = "replay"
_CHALLENGE_END: Final = SIZE_LENGTH + 32
_KEPT_BYTES: Final = 16
"""Of a hash, in memory: two of 200,000 are the same once in 10^28 relayers."""


class ReplayError(RefusedError):
    """The signed request was answered before."""

    def __init__(self) -> None:
        super().__init__(409, "relay request already answered in this session", REPLAY)


def request_identity(relay: Relay) -> bytes:
    """32 bytes that are the same for all replays of a verified request, and for nothing else."""
    request = relay.request
    digest = relay.own_forms().request_digest(request.payload)
    return hashlib.sha256(digest + request.meta.signature[:_CHALLENGE_END]).digest()


class ReplayGuard:
    """The filter of one relayer, and its way to the shared one.

    Args:
        max_requests: remembered here; the oldest is forgotten first.
        log: of all suppliers; holds what all relayers have answered.
        remember_seconds: how long the store remembers a session's requests.
        metrics: where what is remembered is shown.
    """

    def __init__(
        self, max_requests: int, log: RelayLog, remember_seconds: int, metrics: Metrics
    ) -> None:
        self._max_requests = max_requests
        self._log = log
        self._remember_seconds = remember_seconds
        # A dict keeps the order in which they came.
        self._seen: dict[bytes, None] = {}
        remembered = metrics.gauge(
            "ha_relayer_replay_filter_requests", "Requests remembered by refuse_replays"
        ).bind()
        remembered.read = lambda: len(self._seen)

    def check(self, relay: Relay) -> None:
        """Look, and leave no trace: the relay is not verified.

        Raises:
            ReplayError: it is known.
        """
        if request_identity(relay)[:_KEPT_BYTES] in self._seen:
            raise ReplayError

    def enter(self, relay: Relay) -> None:
        """Remember a verified relay, before any work is done for it.

        Raises:
            ReplayError: it is known.
        """
        identity = request_identity(relay)
        key = identity[:_KEPT_BYTES]
        if key in self._seen:
            raise ReplayError
        while len(self._seen) >= self._max_requests:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        relay.once = identity

    def forget(self, relay: Relay) -> None:
        """The relay was not answered after all: its client may send it again."""
        if relay.once is not None:
            self._seen.pop(relay.once[:_KEPT_BYTES], None)

    async def mark(self, relay: Relay) -> None:
        """Tell all relayers of a relay that is answered and not mined.

        Raises:
            ReplayError: one of them has answered it.
            UnavailableError: the store did not say.
        """
        if relay.once is None:
            return
        try:
            is_new = await self._log.remember(
                relay.supplier,
                relay.session_id,
                relay.once,
                ttl_seconds=self._remember_seconds,
            )
        except StateError as error:
            raise UnavailableError("relay log unavailable", "log_unavailable") from error
        if not is_new:
            raise ReplayError


def replay_guard_of(
    settings: RelayerSettings, store: Redis, names: KeyNames, metrics: Metrics
) -> ReplayGuard | None:
    """None when replays are relays like any other."""
    if not settings.refuse_replays:
        return None
    return ReplayGuard(
        settings.replay_filter_entries,
        RelayLog(store, names),
        int(settings.metering.cache_ttl_seconds),
        metrics,
    )
