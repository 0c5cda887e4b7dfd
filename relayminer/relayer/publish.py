"""The relay's way into the log (relayer.md 9): when it is mined, and that it is logged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import trio

from relayminer.protocol.difficulty import is_applicable
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.relay import Relay, SessionContext
    from relayminer.relayer.spool_log import DurableLog
    from relayminer.relayer.tally import Tally
    from relayminer.telemetry.metrics import Counter

_MAX_BOUND = 10_000


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
        log: DurableLog,
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
        if relay.trace is not None:
            relay.trace.relay_hash = relay_hash
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

    def check(self) -> None:
        """Before any work is done for a relay.

        Raises:
            UnavailableError: 503, it could not be logged.
        """
        self._log.check()

    async def publish(self, relay: Relay, context: SessionContext, entry: bytes) -> None:
        """Add the entry to the supplier's log; when this returns it outlives this process.

        Raises:
            UnavailableError: 503, the log did not confirm.
            ReplayError: 409, another relayer has answered the request.
        """
        began = trio.current_time()
        if await self._log.append(relay.supplier, entry, context, relay.once):
            self._tally.logged(relay.supplier, context.session_id)
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
