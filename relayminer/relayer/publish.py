"""The relay's way into the log (relayer.md 9): when it is mined, and that it is logged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import trio

from relayminer.protocol.difficulty import is_applicable
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.relayer.errors import UnavailableError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.tally import Tally
    from relayminer.telemetry.metrics import Counter

_MAX_BOUND = 10_000


class Log(Protocol):
    """The relay log of all suppliers."""

    async def append(self, supplier: str, mined: bytes) -> object:
        """Add an entry; returns when the server has confirmed it."""
        ...


class Publisher:
    """Writes mined relays into the log.

    Args:
        log: where to.
        metrics: counters.
        tally: what was logged per session.
        wall_clock_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        log: Log,
        metrics: RelayerMetrics,
        tally: Tally,
        wall_clock_ns: Callable[[], int],
    ) -> None:
        self._log = log
        self._tally = tally
        self._metrics = metrics
        self._wall_clock_ns = wall_clock_ns
        self._published: dict[tuple[str, str], Counter] = {}

    def mined(self, relay: Relay, context: SessionContext, stored_response: bytes) -> bytes | None:
        """The log entry of the relay, None when its hash is not below the service's target."""
        request = relay.request
        relay_bytes = relay.own_forms().stored(
            request.meta.signature, request.payload, stored_response
        )
        relay_hash = hashlib.sha256(relay_bytes).digest()
        if not is_applicable(relay_hash, context.target):
            relay.route.metrics.skipped.value += 1
            return None
        return MinedRelayMessage(
            relay_hash=relay_hash,
            relay_bytes=relay_bytes,
            compute_units_per_relay=context.compute_units,
            session_id=context.session_id,
            session_end_height=context.end_height,
            supplier_operator_address=relay.supplier,
            service_id=context.service,
            application_address=context.application,
            arrival_block_height=relay.arrival_height,
            published_at_unix_nano=self._wall_clock_ns(),
            session_start_height=context.start_height,
        ).SerializeToString()

    async def publish(self, relay: Relay, entry: bytes) -> None:
        """Add the entry to the supplier's log; when this returns it is confirmed.

        Raises:
            UnavailableError: 503, the log did not confirm.
        """
        began = trio.current_time()
        try:
            await self._log.append(relay.supplier, entry)
        except StateError as error:
            raise UnavailableError("relay log unavailable", "log_unavailable") from error
        self._tally.logged(relay.supplier, relay.request.meta.session_header.session_id)
        metrics = relay.route.metrics
        metrics.publish_latency.observe(trio.current_time() - began)
        metrics.mined.value += 1
        key = (relay.service, relay.supplier)
        counter = self._published.get(key)
        if counter is None:
            counter = self._metrics.published.bind(*key)
            if len(self._published) < _MAX_BOUND:
                self._published[key] = counter
        counter.value += 1
