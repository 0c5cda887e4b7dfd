"""The miner's metrics. Names are those of the Go miner where it has them; no session labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.miner.sending_metrics import SendingMetrics

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Counter, Gauge, Metrics

_SERVICE = ("supplier", "service_id")


class MinerMetrics:
    """All metric families of a miner process."""

    def __init__(self, metrics: Metrics) -> None:
        self._declare_relays(metrics)
        self._declare_sessions(metrics)
        self._declare_money(metrics)
        self.sending = SendingMetrics(metrics)
        self.facts = FactMetrics(metrics)
        self.registry_updates = metrics.counter(
            "ha_miner_supplier_registry_updates",
            "Changes of who is mined for, told to everybody",
            ("action",),
        )
        self.states_unwritten = metrics.counter(
            "ha_miner_supplier_cache_write_skipped",
            "Supplier states that were not written",
            ("reason",),
        )
        self._states_repaired = metrics.counter(
            "ha_miner_supplier_states_repaired", "Supplier states that others had spoilt."
        )
        self.driven_height = metrics.gauge(
            "ha_miner_driven_height", "Last block for which sessions were driven.", ("supplier",)
        )
        self.pass_blocks = metrics.gauge(
            "ha_miner_session_block_processing_lag",
            "Blocks since the pass before, when the last pass over sessions began",
            ("supplier",),
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
            "Log entries that did not enter a trie; poison is of no known service.",
            ("supplier", "reason", "service_id"),
        )
        self.relays_failed = metrics.counter(
            "ha_miner_relays_failed_smst",
            "Log entries that stay in the log for now: a checkpoint or a trie failed",
            (*service, "reason"),
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
        self.taken_over = metrics.counter(
            "ha_transport_redis_claimed",
            "Log entries taken over from consumers that are gone",
            ("supplier_addr",),
        )
        self.read_errors = metrics.counter(
            "ha_transport_redis_consume_errors",
            "Reads of the log that failed, for each supplier they were for",
            ("supplier_addr", "error_type"),
        )
        self.undecodable = metrics.counter(
            "ha_transport_redis_deserialization_errors",
            "Log entries that cannot be used, for whatever reason",
            ("supplier_addr",),
        )
        self.end_to_end = metrics.histogram(
            "ha_transport_redis_end_to_end_latency_seconds",
            "From a relay's entry into the log to its checkpoint",
            ("supplier_addr", "service_id"),
            (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )
        self.evictions = metrics.counter(
            "ha_smst_corruption_evictions",
            "Working copies of tries dropped because a node was missing or damaged",
            ("supplier", "reason"),
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
        self.sessions_loaded = metrics.counter(
            "ha_miner_session_snapshots_loaded",
            "Sessions read from the store when a supplier was taken",
            ("supplier",),
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


class OwnershipMetrics:
    """Which suppliers are worked for here.

    Args:
        metrics: where they are declared.
        owner: id of this process.
    """

    def __init__(self, metrics: Metrics, owner: str) -> None:
        instance = ("instance",)
        self._owner = owner
        self.accidents = metrics.recoveries.bind("supplier")
        self._count = metrics.gauge(
            "ha_miner_supplier_claimed_count", "Suppliers owned here", instance
        ).bind(owner)
        active = metrics.gauge(
            "ha_miner_supplier_manager_suppliers_active", "Suppliers worked for here"
        ).bind()
        active.read = lambda: self._count.value
        self.fair_share = metrics.gauge(
            "ha_miner_supplier_fair_share",
            "Suppliers divided by the living miners, rounded up",
            instance,
        ).bind(owner)
        self._taken = metrics.counter(
            "ha_miner_supplier_claimed", "Times that a supplier was taken", ("supplier", "instance")
        )
        self._left = metrics.counter(
            "ha_miner_supplier_released", "Times that it was given up", ("supplier", "instance")
        )

    def taken(self, supplier: str) -> None:
        """The lease of a supplier was got."""
        self._count.value += 1
        self._taken.bind(supplier, self._owner).value += 1

    def left(self, supplier: str) -> None:
        """It was given up or lost."""
        self._count.value -= 1
        self._left.bind(supplier, self._owner).value += 1


class FactMetrics:
    """What is remembered of the chain's answers about the past, by query client and kind."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("client", "cache_type")
        self.hits = metrics.counter(
            "ha_query_cache_hits", "Questions to the chain that need not be asked again", labels
        )
        self.misses = metrics.counter(
            "ha_query_cache_misses", "Questions to the chain that were asked", labels
        )
        self.size = metrics.gauge("ha_query_cache_size", "Answers in memory", labels)
