"""The names of every key and channel in the shared store.

The first groups are the Go implementation's names, byte for byte (`pocket-relay-miner:
transport/redis/namespace.go`, golden data `redis_keys.json`); the last group is ours, placed where
none of its scan patterns looks. Arguments are used as they are: addresses, session ids and service
ids contain none of the separators.
"""

from __future__ import annotations

import attrs

from relayminer.config.settings import NamespaceSettings

CLAIM_PHASE = "claim"
PROOF_PHASE = "proof"


@attrs.frozen
class CoreNames:
    """Names of caches, streams, events and suppliers."""

    namespace: NamespaceSettings = attrs.field(factory=NamespaceSettings)
    hash_tags: bool = False
    """Whether keys that meet in one script get a hash tag, as a cluster needs it."""

    def tag(self, part: str) -> str:
        """A part of a name; with hash tags the one that says in which slot the key is."""
        return f"{{{part}}}" if self.hash_tags else part

    @property
    def base(self) -> str:
        """First segment of every name."""
        return self.namespace.base_prefix

    @property
    def cache_prefix(self) -> str:
        """Prefix of all cache entries, without the separator."""
        return f"{self.base}:{self.namespace.cache_prefix}"

    @property
    def events_prefix(self) -> str:
        """Prefix of all channels but the meter's, without the separator."""
        return f"{self.base}:{self.namespace.events_prefix}"

    @property
    def miner_prefix(self) -> str:
        """Prefix of the miners' own keys, without the separator."""
        return f"{self.base}:{self.namespace.miner_prefix}"

    @property
    def all_keys_pattern(self) -> str:
        """Every key of this namespace."""
        return f"{self.base}:*"

    def app_stake_key(self, application: str) -> str:
        """Legacy; never written."""
        return f"{self.base}:app_stake:{application}"

    def cache_key(self, kind: str, key: str) -> str:
        """A cache entry of `kind` (`application`, `service`, `account`, `session`, ...)."""
        return f"{self.cache_prefix}:{kind}:{key}"

    def cache_known_key(self, kind: str) -> str:
        """Set of all `applications` or `services` ever seen."""
        return f"{self.cache_prefix}:known:{kind}"

    def cache_lock_key(self, kind: str, key: str) -> str:
        """Lock held while one process fetches a cache entry from the chain."""
        return f"{self.cache_prefix}:lock:{kind}:{key}"

    @property
    def params_shared_cache_key(self) -> str:
        """Live shared parameters (protobuf)."""
        return f"{self.cache_prefix}:shared_params"

    @property
    def params_shared_lock_key(self) -> str:
        """Lock of the live shared parameters."""
        return f"{self.cache_prefix}:lock:shared_params"

    @property
    def params_proof_key(self) -> str:
        """Live proof parameters (protobuf)."""
        return f"{self.cache_prefix}:proof_params"

    @property
    def params_proof_lock_key(self) -> str:
        """Lock of the live proof parameters."""
        return f"{self.cache_prefix}:lock:proof_params"

    @property
    def params_session_key(self) -> str:
        """Session parameters; nobody writes it."""
        return f"{self.cache_prefix}:session_params"

    def params_shared_at_key(self, height: int) -> str:
        """Shared parameters in force at `height` (JSON)."""
        return f"{self.cache_prefix}:params:shared:{height}"

    def params_shared_at_lock_key(self, height: int) -> str:
        """Lock of the shared parameters at `height`."""
        return f"{self.cache_prefix}:lock:params:shared:{height}"

    @property
    def params_supplier_key(self) -> str:
        """Supplier parameters (JSON)."""
        return f"{self.cache_prefix}:params:supplier"

    @property
    def params_supplier_lock_key(self) -> str:
        """Lock of the supplier parameters."""
        return f"{self.cache_prefix}:lock:params:supplier"

    def session_cache_key(self, application: str, service: str, height: int) -> str:
        """A session from the chain (JSON)."""
        return f"{self.cache_prefix}:session:{application}:{service}:{height}"

    def session_validation_key(self, application: str, service: str, height: int) -> str:
        """Result of a session validation (JSON)."""
        return f"{self.cache_prefix}:session:validation:{application}:{service}:{height}"

    def session_rewardable_key(self, session_id: str) -> str:
        """Whether a session's relays will be paid; `false` means no."""
        return f"{self.cache_prefix}:session:rewardable:{session_id}"

    def event_channel(self, kind: str, event: str) -> str:
        """Channel of a cache's events; the segment `cache` is literal here."""
        return f"{self.events_prefix}:cache:{kind}:{event}"

    @property
    def events_cache_prefix(self) -> str:
        """Prefix that uses the configured cache segment, unlike `event_channel`."""
        return f"{self.events_prefix}:{self.namespace.cache_prefix}"

    @property
    def supplier_params_invalidate_channel(self) -> str:
        """Channel that drops the supplier parameters."""
        return f"{self.events_cache_prefix}:invalidate:supplier_params"

    @property
    def shared_params_height_invalidate_channel(self) -> str:
        """Channel that drops the shared parameters of one height."""
        return f"{self.events_prefix}:invalidate:params"

    @property
    def session_rewardable_channel(self) -> str:
        """Channel that tells whether a session's relays will be paid."""
        return f"{self.events_prefix}:session:rewardable"

    @property
    def block_event_channel(self) -> str:
        """Channel of new blocks."""
        return f"{self.events_prefix}:blocks"

    @property
    def supplier_update_channel(self) -> str:
        """Channel of suppliers that come and go."""
        return f"{self.events_prefix}:supplier_update"

    @property
    def legacy_params_pattern(self) -> str:
        """Parameters as very old versions kept them."""
        return self.legacy_params_key("*")

    def legacy_params_key(self, name: str) -> str:
        """Legacy; never written."""
        return f"{self.base}:{self.namespace.params_prefix}:{name}"

    def service_compute_units_key(self, service: str) -> str:
        """Legacy; never written."""
        return f"{self.base}:service:{service}:compute_units"

    @property
    def service_factor_default_key(self) -> str:
        """Budget factor of services without one of their own (JSON)."""
        return f"{self.base}:service_factor:default"

    def service_factor_service_key(self, service: str) -> str:
        """Budget factor of one service (JSON)."""
        return f"{self.base}:service_factor:service:{service}"

    def simulation_replay_key(self, signature_hash: str) -> str:
        """Marks the signature of a simulated relay as used; takes the hex of its SHA-256."""
        return f"{self.base}:sim:replay:{signature_hash}"

    @property
    def supplier_key_prefix(self) -> str:
        """Prefix of supplier states, without the separator."""
        return f"{self.base}:{self.namespace.supplier_prefix}"

    def supplier_state_key(self, supplier: str) -> str:
        """What relayers know of a supplier (JSON)."""
        return f"{self.supplier_key_prefix}:{supplier}"

    @property
    def supplier_state_pattern(self) -> str:
        """Every supplier state."""
        return self.supplier_state_key("*")

    @property
    def suppliers_registry_prefix(self) -> str:
        """Prefix of registry entries, without the separator."""
        return f"{self.base}:{self.tag('suppliers')}"

    def suppliers_registry_key(self, supplier: str) -> str:
        """Registry entry of a supplier (JSON)."""
        return f"{self.suppliers_registry_prefix}:{supplier}"

    @property
    def suppliers_registry_index_key(self) -> str:
        """Set of the addresses in the registry."""
        return f"{self.suppliers_registry_prefix}:index"

    @property
    def stream_prefix(self) -> str:
        """Prefix of relay streams, without the separator."""
        return f"{self.base}:{self.namespace.streams_prefix}"

    def stream_key(self, supplier: str) -> str:
        """The relay log of a supplier."""
        return f"{self.stream_prefix}:{self.tag(supplier)}"

    @property
    def consumer_group(self) -> str:
        """The one consumer group of all miners."""
        return f"{self.base}-{self.namespace.consumer_group_prefix}"


@attrs.frozen
class KeyNames(CoreNames):
    """All names: those of `CoreNames` and those of meters, miners and tries."""

    @property
    def meter_active_sessions_key(self) -> str:
        """Set of `session|supplier` that are being metered."""
        return f"{self.base}:{self.namespace.meter_prefix}:active_sessions"

    def meter_active_sessions_of(self, supplier: str) -> str:
        """The same set; with hash tags each supplier has its own."""
        slot = f":{self.tag(supplier)}" if self.hash_tags else ""
        return f"{self.meter_active_sessions_key}{slot}"

    @property
    def meter_cleanup_channel(self) -> str:
        """Channel on which miners tell that a session's meter may go."""
        return f"{self.base}:{self.namespace.meter_prefix}:cleanup"

    def meter_session_key(self, session_id: str) -> str:
        """Legacy; never written."""
        return f"{self.base}:{self.namespace.meter_prefix}:{session_id}"

    def meter_meta_key(self, session_id: str, supplier: str, prefix: str | None = None) -> str:
        """What a session's budget was computed from; `meter` is literal here (state 1.3)."""
        return f"{prefix or self.base}:meter:{session_id}:{self.tag(supplier)}:meta"

    def meter_consumed_key(self, session_id: str, supplier: str, prefix: str | None = None) -> str:
        """How much of a session's budget is spent, in uPOKT."""
        return f"{prefix or self.base}:meter:{session_id}:{self.tag(supplier)}:consumed"

    @property
    def miner_active_set_key(self) -> str:
        """Set of the ids of living miners."""
        return f"{self.miner_prefix}:active"

    def miner_instance_key(self, miner: str) -> str:
        """A miner's heartbeat."""
        return f"{self.miner_prefix}:instance:{miner}"

    def miner_claim_key(self, supplier: str) -> str:
        """The lease of a supplier; its value is the owner's id."""
        return f"{self.miner_prefix}:claim:{self.tag(supplier)}"

    @property
    def global_leader_key(self) -> str:
        """The lease of leadership; its value is the leader's id."""
        return f"{self.miner_prefix}:{self.tag('global_leader')}"

    @property
    def miner_leader_prefix(self) -> str:
        """Legacy prefix of per-supplier leaders."""
        return f"{self.miner_prefix}:leader"

    @property
    def miner_dedup_prefix(self) -> str:
        """Prefix of the sets of known relay hashes."""
        return f"{self.miner_prefix}:dedup"

    def miner_dedup_session_key(self, session_id: str) -> str:
        """Set of the raw relay hashes that a session knows."""
        return f"{self.miner_dedup_prefix}:session:{session_id}"

    @property
    def miner_sessions_prefix(self) -> str:
        """Prefix of session records, without the separator."""
        return f"{self.miner_prefix}:sessions"

    def miner_session_key(self, supplier: str, session_id: str) -> str:
        """The record of a session (hash)."""
        return f"{self.miner_sessions_prefix}:{self.tag(supplier)}:{session_id}"

    def miner_sessions_index_key(self, supplier: str) -> str:
        """Set of the ids of a supplier's sessions."""
        return f"{self.miner_sessions_prefix}:{self.tag(supplier)}:index"

    def miner_session_state_index_key(self, supplier: str, state: str) -> str:
        """Set of the ids of a supplier's sessions in `state`."""
        return f"{self.miner_sessions_prefix}:{self.tag(supplier)}:state:{state}"

    def rebroadcast_key(self, phase: str, supplier: str, session_end_height: int) -> str:
        """Messages to send again until they are on chain (hash); Go's braces are literal."""
        first = phase if self.hash_tags else f"{{{phase}}}"
        return f"{self.miner_prefix}:rebroadcast:{first}:{self.tag(supplier)}:{session_end_height}"

    def rebroadcast_index_key(self, phase: str, supplier: str = "") -> str:
        """Set of `supplier:session end` with such messages; with hash tags one per supplier."""
        if self.hash_tags:
            return f"{self.miner_prefix}:rebroadcast:{phase}:{self.tag(supplier)}:index"
        return f"{self.miner_prefix}:rebroadcast:{{{phase}}}:index"

    @property
    def smst_nodes_prefix(self) -> str:
        """Prefix of tries, with the separator."""
        return f"{self.base}:smst:"

    def smst_nodes_key(self, supplier: str, session_id: str) -> str:
        """Nodes of a trie (hash: hex digest to preimage)."""
        return f"{self.smst_nodes_prefix}{self.tag(supplier)}:{session_id}:nodes"

    def smst_root_key(self, supplier: str, session_id: str) -> str:
        """The claimed root, 48 bytes; its presence means that the trie is sealed."""
        return f"{self.smst_nodes_prefix}{self.tag(supplier)}:{session_id}:root"

    def smst_live_root_key(self, supplier: str, session_id: str) -> str:
        """The root of the last checkpoint, 48 bytes."""
        return f"{self.smst_nodes_prefix}{self.tag(supplier)}:{session_id}:live_root"

    def smst_stats_key(self, supplier: str, session_id: str) -> str:
        """`count:sum` of the claimed root in decimal."""
        return f"{self.smst_nodes_prefix}{self.tag(supplier)}:{session_id}:stats"

    @property
    def smst_nodes_pattern(self) -> str:
        """The nodes of every trie."""
        return f"{self.smst_nodes_prefix}*:*:nodes"

    def smst_session_nodes_pattern(self, session_id: str) -> str:
        """The nodes of a session's tries, whoever the supplier."""
        return f"{self.smst_nodes_prefix}*:{session_id}:nodes"

    def smst_session_all_pattern(self, supplier: str, session_id: str) -> str:
        """Every key of one trie."""
        return f"{self.smst_nodes_prefix}{self.tag(supplier)}:{session_id}:*"

    def tx_track_key(self, supplier: str, session_end_height: int, session_id: str) -> str:
        """What was submitted for a session (JSON)."""
        return f"{self.base}:tx:track:{self.tag(supplier)}:{session_end_height}:{session_id}"

    def tx_track_pattern(self, supplier: str) -> str:
        """Every submission record of a supplier."""
        return f"{self.base}:tx:track:{self.tag(supplier)}:*"

    @property
    def tx_track_all_pattern(self) -> str:
        """Every submission record."""
        return f"{self.base}:tx:track:*"

    # Ours from here on: unknown to the Go implementation.

    def fence_key(self, lease_key: str) -> str:
        """Counter of fencing tokens beside a lease; never expires, so tokens never repeat."""
        return f"{self.base}:fence:{lease_key.removeprefix(self.base + ':')}"

    def supplier_fence_key(self, supplier: str) -> str:
        """Fencing counter of a supplier's lease."""
        return self.fence_key(self.miner_claim_key(supplier))

    def miner_wants_key(self, miner: str) -> str:
        """The suppliers that a living miner has keys for, one a line."""
        return f"{self.base}:relayminer:wants:{miner}"

    @property
    def lease_news_channel(self) -> str:
        """Channel of leases that were given up: whoever waits for one need not wait for long."""
        return f"{self.events_prefix}:relayminer:leases"

    def ledger_key(self, supplier: str) -> str:
        """A supplier's append-only ledger (stream)."""
        return f"{self.base}:ledger:{self.tag(supplier)}"

    def ledger_ids_key(self, supplier: str) -> str:
        """Record id to stream entry id of a ledger (hash)."""
        return f"{self.base}:ledger:{self.tag(supplier)}:ids"

    @property
    def last_block_key(self) -> str:
        """The last block event, for those who start between two blocks."""
        return f"{self.base}:last_block"

    def smst_damage_key(self, supplier: str, session_id: str, what: str) -> str:
        """A damaged trie's `nodes` and `roots` that were kept aside, and those `rebuilt` for it."""
        return f"{self.base}:relayminer:damaged:{self.tag(supplier)}:{session_id}:{what}"

    def dead_letter_key(self, supplier: str) -> str:
        """Log entries that could not be used (stream)."""
        return f"{self.base}:dead_letters:{self.tag(supplier)}"

    def relay_replay_key(self, session_id: str, supplier: str) -> str:
        """Set of the request hashes that a session has answered; beside the log it is fed with."""
        slot = f"{self.tag(supplier)}:" if self.hash_tags else ""
        return f"{self.base}:replays:{slot}{session_id}"

    def logged_key(self, supplier: str, session_id: str) -> str:
        """How many relays of a session were logged, as relayers counted them."""
        return f"{self.base}:relayminer:logged:{self.tag(supplier)}:{session_id}"

    def shadow_counts_key(self, supplier: str) -> str:
        """What a shadow miner has copied of a supplier's log (hash)."""
        return f"{self.base}:relayminer:shadow:{self.tag(supplier)}"

    @property
    def settled_heights_key(self) -> str:
        """Hash of supplier to the last block whose settlement events were recorded."""
        return f"{self.base}:relayminer:settled_heights"
