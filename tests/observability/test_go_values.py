"""What the Go names say of a node that served, claimed, proved and was paid."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.cache.metrics import HeightMetrics
from relayminer.insight.runtime import Runtime
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from tests.observability.conftest import Watched
    from tests.observability.exposition import Exposed

HAPPENED = (
    "ha_cache_block_events_published_total",
    "ha_cache_block_events_received_total",
    "ha_cache_chain_query_latency_seconds_count",
    "ha_cache_orchestrator_leader_status",
    "ha_cache_orchestrator_refresh_duration_seconds_count",
    "ha_miner_claim_submission_latency_blocks_count",
    "ha_miner_compute_units_settled_total",
    "ha_miner_configured_block_time_seconds",
    "ha_miner_proof_requirement_checks_total",
    "ha_miner_session_block_processing_lag",
    "ha_miner_supplier_claimed_total",
    "ha_miner_supplier_registry_updates_total",
    "ha_query_cache_hits_total",
    "ha_query_cache_misses_total",
    "ha_query_cache_size",
    "ha_relayer_backend_dial_seconds_count",
    "ha_runtime_heap_objects",
    "ha_runtime_threads",
    "ha_tx_broadcast_latency_seconds_count",
    "ha_tx_claims_submitted_total",
)


def total(exposed: Exposed, name: str, **labels: str) -> float:
    """The sum of all values of a sample that has these labels."""
    return sum(
        value
        for (one, found), value in exposed.values.items()
        if one == name and labels.items() <= dict(found).items()
    )


def test_what_happened_was_counted(watched: Watched) -> None:
    """None of these stays at 0 in a run without trouble."""
    silent = [name for name in HAPPENED if watched.exposed.highest(name) <= 0]
    assert not silent


def test_names_that_are_about_one_thing_agree(watched: Watched) -> None:
    """Relays, sessions and messages are as many, whichever metric is asked."""
    seen = watched.exposed
    counted = total(seen, "ha_miner_relays_added_to_smst_total")
    assert total(seen, "ha_transport_redis_end_to_end_latency_seconds_count") == counted
    answered = total(seen, "ha_relayer_http_pool_wait_seconds_count")
    assert total(seen, "ha_relayer_backend_conn_reused_total") == answered >= counted
    dialled = total(seen, "ha_relayer_backend_dial_seconds_count")
    assert total(seen, "ha_relayer_backend_conn_reused_total", reused="false") == dialled
    assert total(seen, "ha_tx_claims_submitted_total") == total(
        seen, "ha_miner_claims_submitted_total"
    )
    owned = total(seen, "ha_miner_supplier_claimed_count")
    assert total(seen, "ha_miner_supplier_manager_suppliers_active") == owned
    assert total(seen, "ha_miner_supplier_fair_share") == owned
    flushed = total(
        seen, "ha_smst_redis_operations_total", operation="flush_pipeline", result="success"
    )
    assert 0 < flushed <= counted


def test_nothing_went_wrong(watched: Watched) -> None:
    """Errors are counted where there are some, and nowhere else."""
    for name in (
        "ha_panic_recoveries_total",
        "ha_smst_redis_errors_total",
        "ha_transport_redis_publish_errors_total",
        "ha_transport_redis_deserialization_errors_total",
        "ha_miner_relays_failed_smst_total",
        "ha_tx_claim_errors_total",
    ):
        assert total(watched.exposed, name) == 0, name


async def test_garbage_collections_are_timed(autojump_clock: object) -> None:
    """A full collection is one, and takes time; who ends listens no more."""
    del autojump_clock
    metrics = Metrics()
    runtime = Runtime(metrics)

    def value(name: str) -> float:
        return metrics.values(f"ha_runtime_{name}")[()]

    async with trio.open_nursery() as nursery:
        await nursery.start(runtime.run)
        before = value("gc_completed_total")
        gc.collect()
        assert value("gc_completed_total") == before + 1
        assert value("gc_pause_total_nanoseconds") > 0
        assert 0 < value("gc_cpu_fraction") < 1
        assert value("last_gc_timestamp_seconds") > 1e9
        nursery.cancel_scope.cancel()
    paused = value("gc_pause_total_nanoseconds")
    gc.collect()
    assert value("gc_pause_total_nanoseconds") == paused


@pytest.mark.parametrize(("seconds", "slow"), [((30, 45), 0), ((30, 46, 46), 2), ((50, 30), 1)])
def test_late_blocks_are_told(seconds: tuple[int, ...], slow: int) -> None:
    """More than one and a half block times after the one before; the row ends with a good one."""
    metrics = Metrics()
    heights = HeightMetrics(metrics, 30.0)
    time_ns = 0
    heights.block(1, time_ns)
    for height, after in enumerate(seconds, 2):
        time_ns += after * 1_000_000_000
        heights.block(height, time_ns)
    assert metrics.values("ha_miner_fullnode_slow_blocks") == {(): slow}
    row = metrics.values("ha_miner_fullnode_slow_blocks_consecutive")[()]
    assert row == (0 if seconds[-1] <= 45 else slow)
    assert metrics.values("ha_miner_current_block_interval_seconds") == {(): seconds[-1]}
