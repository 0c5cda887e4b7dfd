"""The names of every key and channel in the shared store.

The first groups are the Go implementation's names, byte for byte (`pocket-relay-miner:
transport/redis/namespace.go`, golden data `redis_keys.json`); the last group is ours, placed where
none of its scan patterns looks. Arguments are used as they are: addresses, session ids and service
ids contain none of the separators.
"""

from __future__ import annotations

import attrs

from relayminer.state.core_names import CoreNames

CLAIM_PHASE = "claim"
PROOF_PHASE = "proof"


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

    def notice_key(self, event: str, subject: str) -> str:
        """Which process has told the operator of something that all of them see."""
        return f"{self.base}:relayminer:notice:{event}:{subject}"

    def ledger_key(self, supplier: str) -> str:
        """A supplier's append-only ledger (stream)."""
        return f"{self.base}:ledger:{self.tag(supplier)}"

    def ledger_ids_key(self, supplier: str) -> str:
        """Record id to stream entry id of a ledger (hash)."""
        return f"{self.base}:ledger:{self.tag(supplier)}:ids"

    @property
    def last_block_key(self) -> str:
        """The last block event, in the slot of the leader's lease."""
        slot = f"{self.tag('global_leader')}:" if self.hash_tags else ""
        return f"{self.base}:{slot}last_block"

    def old_smst_key(self, session_id: str, part: str) -> str:
        """What tries were called when no supplier was in their names; of the Go miner of old."""
        return f"{self.smst_nodes_prefix}{session_id}:{part}"

    @property
    def format_key(self) -> str:
        """The number of the form in which all this is stored."""
        return f"{self.base}:relayminer:format"

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
