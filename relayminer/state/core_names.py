"""Names of caches, streams, events and suppliers: the first half of `relayminer.state.names`."""

from __future__ import annotations

import attrs

from relayminer.config.settings import NamespaceSettings


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
