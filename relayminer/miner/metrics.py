"""The miner's metrics. Names are those of the Go miner where it has them; no session labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Counter, Gauge, Metrics

_SERVICE = ("supplier", "service_id")


class MinerMetrics:
    """All metric families of a miner process."""

    def __init__(self, metrics: Metrics) -> None:
        self._declare_relays(metrics)
        self._declare_sessions(metrics)
        self._declare_money(metrics)
        self._owned = metrics.gauge("ha_miner_supplier_claimed_count", "Suppliers owned here.")
        self._states_repaired = metrics.counter(
            "ha_miner_supplier_states_repaired", "Supplier states that others had spoilt."
        )
        self.driven_height = metrics.gauge(
            "ha_miner_driven_height", "Last block for which sessions were driven.", ("supplier",)
        )
        self._settled_height = metrics.gauge(
            "ha_miner_settled_height", "Last block whose events are in the ledger."
        )
        self._open_tries = metrics.gauge("ha_miner_open_tries", "Tries held in memory.")
        self._open_leaves = metrics.gauge("ha_miner_open_leaves", "Leaves of tries in memory.")

    def _declare_relays(self, metrics: Metrics) -> None:
        supplier, service = ("supplier",), _SERVICE
        self.relays_added = metrics.counter(
            "ha_miner_relays_added_to_smst", "Relays that a checkpoint holds.", service
        )
        self.relays_rejected = metrics.counter(
            "ha_miner_relays_rejected",
            "Log entries that did not enter a trie.",
            ("supplier", "reason"),
        )
        self.checkpoint_failures = metrics.counter(
            "ha_miner_checkpoint_failures", "Checkpoints that failed and are repeated.", supplier
        )
        self.tries_rebuilt = metrics.counter(
            "ha_miner_tries_rebuilt", "Damaged tries that were set aside and rebuilt.", supplier
        )
        self.consumed = metrics.counter(
            "ha_miner_relays_consumed_from_stream", "Log entries read.", service
        )
        metrics.alias("ha_transport_redis_consumed", ("supplier_addr", "service_id"), self.consumed)
        self.acknowledged = metrics.counter(
            "ha_transport_redis_acked", "Log entries acknowledged.", ("supplier_addr",)
        )

    def _declare_sessions(self, metrics: Metrics) -> None:
        service = _SERVICE
        self.transitions = metrics.counter(
            "ha_miner_session_state_transitions",
            "State changes of sessions.",
            (*service, "from_state", "to_state"),
        )
        self.sessions_created = metrics.counter(
            "ha_miner_sessions_created", "Sessions that began to be counted here.", service
        )
        self.sessions_proved = metrics.counter(
            "ha_miner_sessions_proved", "Sessions whose proof the chain found valid.", service
        )
        self.sessions_unproved = metrics.counter(
            "ha_miner_sessions_probabilistic_proved",
            "Sessions that settle without a proof: none was asked for.",
            service,
        )
        self.slashed_upokt = metrics.counter(
            "ha_miner_upokt_slashed", "Stake lost to penalties, uPOKT.", service
        )

    def _declare_money(self, metrics: Metrics) -> None:
        service = _SERVICE
        self.submitted = metrics.counter(
            "ha_miner_messages_submitted", "Messages in the mempool.", ("supplier", "phase")
        )
        self.refused = metrics.counter(
            "ha_miner_messages_refused",
            "Messages that were refused or have to wait.",
            ("supplier", "phase", "verdict"),
        )
        self.fees_upokt = metrics.counter(
            "ha_miner_fees_upokt", "Transaction fees offered, uPOKT.", ("supplier", "phase")
        )
        self.skipped = metrics.counter(
            "ha_miner_claims_skipped", "Claims not made.", (*service, "reason")
        )
        self.lost_upokt = metrics.counter(
            "ha_miner_upokt_lost", "Expected reward of lost sessions, uPOKT.", (*service, "reason")
        )
        self.settled_upokt = metrics.counter(
            "ha_miner_upokt_settled", "Settled claims, uPOKT before the split.", service
        )

    @property
    def owned(self) -> Gauge:
        """Suppliers whose lease this process holds."""
        return self._owned.bind()

    @property
    def states_repaired(self) -> Counter:
        """Supplier states that had to be written again."""
        return self._states_repaired.bind()

    @property
    def settled_height(self) -> Gauge:
        """The last block whose settlement events were recorded."""
        return self._settled_height.bind()

    @property
    def open_tries(self) -> Gauge:
        """Tries in memory."""
        return self._open_tries.bind()

    @property
    def open_leaves(self) -> Gauge:
        """Leaves of the tries in memory."""
        return self._open_leaves.bind()

    def added(self, supplier: str, service: str) -> Counter:
        """Relays added for a supplier and service."""
        return self.relays_added.bind(supplier, service)
