"""Every metric of the Go implementation: name, and the labels that its dashboards may ask for.

Facts of its public interface, which dashboards and alerts are written against.
"""

from __future__ import annotations

from typing import Final

_TABLE: Final = """
ha_cache_  -
    block_events_published_total block_events_received_total current_block_height
    orchestrator_leader_status orchestrator_refresh_duration_seconds
ha_cache_  channel
    block_events_dropped_total
ha_cache_  query_type
    chain_queries_total chain_query_errors_total chain_query_latency_seconds
ha_cache_  reason
    sessions_marked_non_rewardable_total
ha_cache_  result
    orchestrator_refreshes_total session_rewardable_checks_total
ha_cache_  source
    supplier_contaminated_total
ha_cache_  cache_type,level
    get_latency_seconds hits_total misses_total
ha_cache_  cache_type,result
    lock_acquisitions_total
ha_cache_  cache_type,source
    invalidations_total
ha_keys_  -
    reloads_total supplier_keys_active
ha_keys_  provider
    load_errors_total
ha_keys_  type
    changes_total
ha_miner_  -
    configured_block_time_seconds current_block_height current_block_interval_seconds
    fullnode_slow_blocks_consecutive fullnode_slow_blocks_total redis_max_memory_bytes
    redis_memory_usage_ratio redis_used_memory_bytes supplier_boot_services_fallback_total
    supplier_manager_suppliers_active
ha_miner_  action
    supplier_registry_updates_total
ha_miner_  height
    block_results_retries_total
ha_miner_  instance
    leader_elections_total leader_losses_total leader_status supplier_claimed_count
    supplier_fair_share
ha_miner_  pool_name
    worker_pool_completed_tasks_total worker_pool_configured_size
    worker_pool_dropped_tasks_total worker_pool_failed_tasks_total worker_pool_running_workers
    worker_pool_submitted_tasks_total worker_pool_successful_tasks_total
    worker_pool_waiting_tasks
ha_miner_  reason
    supplier_cache_write_skipped_total
ha_miner_  session_id
    dedup_marked_total dedup_misses_total dedup_redis_cache_hits_total
ha_miner_  supplier
    claim_submission_latency_blocks claims_created_total consumer_lag leader_acquisitions_total
    leader_heartbeats_total leader_losses_total_legacy leader_status_legacy
    messages_acknowledged_total proof_requirement_checks_total proof_requirement_skipped_total
    proof_submission_latency_blocks proofs_created_total session_block_processing_lag
    session_snapshots_loaded_total session_snapshots_saved_total session_transition_queue_depth
    session_tree_errors_total session_tree_flushes_total session_tree_updates_total
    session_trees_active supplier_balance_critical_alerts_total supplier_balance_health_status
    supplier_balance_upokt supplier_balance_warning_alerts_total
    supplier_stake_critical_alerts_total supplier_stake_health_ratio supplier_stake_upokt
    supplier_stake_warning_alerts_total
ha_miner_  drain_reason,on_chain_result
    supplier_drain_decision_total
ha_miner_  instance,reason
    leader_acquisition_failures_total
ha_miner_  session_id,operation
    dedup_errors_total
ha_miner_  supplier,error_type
    supplier_monitor_errors_total
ha_miner_  supplier,instance
    supplier_claimed_total supplier_released_total
ha_miner_  supplier,operation
    proof_requirement_errors_total session_store_errors_total
ha_miner_  supplier,reason
    claim_errors_total proof_errors_total proof_requirement_required_total
ha_miner_  supplier,service_id
    claim_ceiling_exceeded_total claim_ceiling_exceeded_upokt claim_leaf_collapse_total
    claims_discarded_total claims_submitted_total compute_units_claimed_total
    compute_units_proved_total compute_units_settled_total proofs_submitted_total
    relays_claimed_total relays_consumed_from_stream_total relays_proved_total
    sessions_created_total sessions_probabilistic_proved_total sessions_proved_total
    supplier_slashed_total upokt_claimed_total upokt_earned_total upokt_proved_total
ha_miner_  supplier,state
    session_snapshots_skipped_at_startup_total
ha_miner_  supplier,status
    settlement_latency_blocks
ha_miner_  supplier,reason,service_id
    relays_rejected_total
ha_miner_  supplier,service_id,outcome
    claim_inclusion_outcome_total proof_inclusion_outcome_total
ha_miner_  supplier,service_id,reason
    claims_expired_by_reason_total claims_skipped_total compute_units_expired_by_reason_total
    compute_units_lost_total proof_skipped_total relays_expired_by_reason_total
    relays_lost_total sessions_failed_total upokt_expired_by_reason_total upokt_lost_total
ha_miner_  supplier,service_id,result
    claim_rebroadcasts_total proof_rebroadcasts_total
ha_miner_  supplier,service_id,session_id
    claim_num_leaves claim_relay_attempts claim_scheduled_height proof_scheduled_height
    relays_added_to_smst_total
ha_miner_  supplier,service_id,status
    claims_settled_by_status_total compute_units_settled_by_status_total
    relays_settled_by_status_total
ha_miner_  supplier,service_id,status_code
    relay_processing_latency_seconds
ha_miner_  supplier,service_id,from_state,to_state
    session_state_transitions_total
ha_miner_  supplier,service_id,session_id,reason
    relays_failed_smst_total
ha_panic_  component
    recoveries_total
ha_query_  service_id
    relay_mining_difficulty_target_bits
ha_query_  client,cache_type
    cache_hits_total cache_misses_total cache_size
ha_relayer_  -
    active_connections current_block_height streaming_batches_signed_total
    streaming_bytes_forwarded_total streaming_chunks_forwarded_total
ha_relayer_  operation
    relay_meter_redis_errors_total
ha_relayer_  proto
    inbound_requests_by_proto_total
ha_relayer_  service_id
    backend_dial_seconds fast_fails_total grpc_relay_latency_seconds grpc_relays_published_total
    grpc_relays_total grpc_web_requests_total http_pool_in_flight http_pool_max_conns
    http_pool_wait_seconds relays_mined_total relays_skipped_difficulty_total
    streaming_relays_served_total websocket_connections_active websocket_connections_total
    websocket_relays_emitted_total
ha_relayer_  service_id,direction
    websocket_messages_forwarded_total
ha_relayer_  service_id,endpoint
    backend_health_status health_check_failures_total health_check_successes_total
ha_relayer_  service_id,mode
    relay_meter_latency_seconds validation_latency_seconds
ha_relayer_  service_id,outcome
    backend_latency_seconds
ha_relayer_  service_id,reason
    grpc_relay_errors_total validation_failures_total
ha_relayer_  service_id,result
    relay_meter_consumptions_total
ha_relayer_  service_id,reused
    backend_conn_reused_total
ha_relayer_  service_id,rpc_type
    backend_missing_total relay_latency_seconds relay_post_backend_seconds
    relay_pre_backend_seconds relays_received_total relays_served_optimistically_total
    request_body_size_bytes response_body_size_bytes undeclared_transport_served_total
ha_relayer_  service_id,supplier
    relays_published_total
ha_relayer_  supplier,service_id
    relay_meter_sessions_active
ha_relayer_  transport,service
    simulated_relay_duration_seconds
ha_relayer_  service_id,application,reason
    relays_dropped_total
ha_relayer_  service_id,outcome,status_code
    backend_requests_total
ha_relayer_  service_id,rpc_type,reason
    relays_rejected_total
ha_relayer_  service_id,rpc_type,status_code
    relays_served_total
ha_relayer_  transport,service,supplier,result
    simulated_relays_total
ha_runtime_  -
    frees_total gc_completed_total gc_cpu_fraction gc_forced_total gc_pause_total_nanoseconds
    goroutines heap_alloc_bytes heap_idle_bytes heap_inuse_bytes heap_objects
    heap_released_bytes heap_sys_bytes last_gc_timestamp_seconds mallocs_total
    next_gc_heap_size_bytes stack_inuse_bytes stack_sys_bytes threads
ha_smst_  operation
    redis_operation_duration_seconds
ha_smst_  operation,error_type
    redis_errors_total
ha_smst_  operation,result
    redis_operations_total
ha_smst_  supplier,operation
    panics_recovered_total
ha_smst_  supplier,reason
    corruption_evictions_total corruption_purged_total
ha_transport_redis_  component
    reconnection_attempts_total reconnection_success_total
ha_transport_redis_  supplier_addr
    acked_total claimed_total deserialization_errors_total pending_messages
ha_transport_redis_  supplier_addr,error_type
    consume_errors_total
ha_transport_redis_  supplier_addr,service_id
    consumed_total end_to_end_latency_seconds publish_errors_total published_total
ha_tx_  supplier
    broadcast_latency_seconds claims_submitted_total insufficient_balance_errors_total
    proofs_submitted_total
ha_tx_  supplier,error_type
    claim_errors_total proof_errors_total
ha_tx_  supplier,status
    broadcasts_total
"""


def _read(table: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    prefix, labels = "", frozenset[str]()
    for line in table.strip().splitlines():
        if line.startswith(" "):
            found.update(dict.fromkeys((prefix + name for name in line.split()), labels))
        else:
            prefix, text = line.split()
            labels = frozenset(text.split(",")) - {"-"}
    return found


GO_METRICS: Final = _read(_TABLE)
"""Labels by name."""
