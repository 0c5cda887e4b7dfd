"""The miner's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.config.foreign.common import (
    KEYS,
    LOGGING,
    NODE,
    REDIS,
    SERVERS,
    finish_common,
)
from relayminer.config.foreign.rows import UNSET, Row, above_zero, address, go_duration, not_empty

if TYPE_CHECKING:
    from relayminer.config.foreign.rows import Translation

MAX_LIFETIME_SECONDS: Final = 590
_RECONCILE_SECONDS: Final = 60
_DEFAULT_CLAIM_IDLE_MS: Final = 60_000
_POOLS = "there are no worker pools: one loop does the work, bounded where it waits"
_LEASE = "our leases are shorter, so that another miner takes over in seconds (miner.lease_...)"
_LEADER = (
    "our lease is shorter, so that a standby takes over in seconds: see cache.lease_ttl_seconds"
)
_INCLUSION = (
    "claims and proofs are looked for on chain at every block, and sent again while their window "
    "is open and they are missing"
)
_LIFETIME = "a transaction lives as long as its window, or until it can be replaced in it"
_BALANCE = "balances and stakes are always looked at; miner.balance.interval_seconds: 0 ends it"
_UNUSED = "without effect there too"
_SUPPLIERS = "passed over there too: suppliers are those whose keys are loaded"


def milliseconds(value: object) -> object:
    """Seconds of it; 0 and less mean the other implementation's default."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return (value if value > 0 else _DEFAULT_CLAIM_IDLE_MS) / 1000


def lifetime(value: object) -> object:
    """Not longer than the chain takes it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return min(value, MAX_LIFETIME_SECONDS) if value > 0 else UNSET
    return value


def reconcile(value: object) -> object:
    """0 and less mean the default there, whatever its comment says."""
    return above_zero(value)


def batch(value: object) -> object:
    """An explicit 0 is read as 5,000 there."""
    return 5000 if value == 0 else value


def reload_poll(value: object) -> object:
    """Whether files are watched."""
    return 0 if value is False else UNSET


TRANSACTION: Final = (
    Row("transaction.gas_limit", "transactions.gas_limit"),
    Row("transaction.gas_price", "transactions.gas_price", not_empty),
    Row("transaction.gas_adjustment", "transactions.gas_adjustment", above_zero),
    Row("transaction.disable_claim_batching"),
    Row("transaction.disable_proof_batching"),
    Row(
        "transaction.disable_pre_proof_claim_verification",
        note="a proof is only sent for a claim that is on chain with our root",
    ),
    *(
        Row(f"transaction.{name}", note=_INCLUSION)
        for name in (
            "disable_inclusion_reconciler",
            "inclusion_reconciler_max_concurrent",
            "inclusion_reconciler_per_group_timeout_ms",
            "max_rebroadcasts",
            "rebroadcast_safety_blocks",
        )
    ),
    Row("transaction.tx_timeout_max_seconds", "transactions.lifetime_max_seconds", lifetime),
    *(
        Row(f"transaction.{name}", note=_LIFETIME)
        for name in (
            "tx_timeout_min_seconds",
            "tx_timeout_default_seconds",
            "tx_timeout_clock_skew_buffer_seconds",
        )
    ),
)

ROWS: Final = (
    *REDIS,
    Row("redis.consumer_name", "miner.consumer_name"),
    Row("redis.claim_idle_timeout_ms", "miner.claim_idle_seconds", milliseconds),
    *NODE,
    Row("pocket_node.query_timeout_seconds", "chain.query_timeout_seconds", above_zero),
    Row("pocket_node.chain_id", "chain.chain_id", not_empty),
    *KEYS,
    *TRANSACTION,
    *SERVERS,
    *LOGGING,
    Row("suppliers", note=_SUPPLIERS),
    Row("deduplication_ttl_blocks", note=_UNUSED + ": a relay is one leaf however often it comes"),
    Row("batch_size", "miner.batch_entries", batch),
    Row("ack_batch_size", note=_UNUSED + ": a whole batch is acknowledged after its checkpoint"),
    Row("hot_reload_enabled", "reload_poll_seconds", reload_poll),
    Row("session_ttl", "miner.session_ttl_seconds", go_duration),
    Row("cache_ttl", "miner.cache_ttl_seconds", go_duration),
    Row("submission_tracking_ttl", "miner.submission_tracking_ttl_seconds", go_duration),
    Row(
        "smst_live_root_checkpoint_interval",
        note="nodes and root are stored together with every batch, before it is acknowledged",
    ),
    Row("supplier_reconcile_interval_seconds", "miner.reconcile_interval_seconds", reconcile),
    Row("known_applications", note="applications are looked up when they are first seen"),
    Row("block_time_seconds", "chain.block_time_seconds", above_zero),
    Row("block_health_monitor.enabled", note="late blocks are always told"),
    Row("block_health_monitor.slowness_threshold", note="late blocks are always told"),
    Row("default_service_factor", "miner.default_service_factor"),
    Row("service_factors", "miner.service_factors"),
    Row("settlement_monitor.enabled", note="settlements are always followed"),
    Row("balance_monitor.enabled", note=_BALANCE),
    Row("balance_monitor.check_interval_seconds", "miner.balance.interval_seconds", above_zero),
    Row("balance_monitor.balance_threshold_upokt", "miner.balance.min_balance_upokt"),
    Row(
        "balance_monitor.stake_warning_proof_threshold",
        "miner.balance.warn_missable_proofs",
        above_zero,
    ),
    Row(
        "balance_monitor.stake_critical_proof_threshold",
        "miner.balance.critical_missable_proofs",
        above_zero,
    ),
    Row(
        "session_lifecycle.max_concurrent_transitions",
        note="the suppliers of a miner work side by side, each on its sessions in turn",
    ),
    *(
        Row(f"worker_pools.{name}", note=_POOLS)
        for name in (
            "master_pool_size",
            "cpu_multiplier",
            "workers_per_supplier",
            "query_workers",
            "settlement_workers",
        )
    ),
    Row("leader_election.leader_ttl_seconds", note=_LEADER),
    Row("leader_election.heartbeat_rate_seconds", note=_LEADER),
    Row("supplier_claiming.claim_ttl_seconds", note=_LEASE),
    Row("supplier_claiming.renew_rate_seconds", note=_LEASE),
    Row(
        "supplier_claiming.rebalance_interval_seconds",
        note="suppliers are shared anew with every renewal",
    ),
)


def finish(translation: Translation) -> None:
    """What one row alone cannot say."""
    finish_common(translation)
    keys = translation.found("keys")
    if not isinstance(keys, dict) or not keys:
        translation.missing(("keys",))
    listen = address(translation.found("metrics.addr") or ":9092")
    translation.put(("control", "listen"), listen, translation.place(("metrics", "addr")))
    _batching(translation)


def _batching(translation: Translation) -> None:
    """Both kinds of transaction have one size here."""
    for kind in ("claim", "proof"):
        name = f"disable_{kind}_batching"
        if translation.found(f"transaction.{name}") is True:
            place = translation.place(("transaction", name))
            key = ("miner", "max_messages_per_transaction")
            translation.put(key, 1, place)
            translation.note(place, key, "holds for claims and proofs alike")
