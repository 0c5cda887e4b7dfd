"""Every setting of a process, typed, with its default and its unit.

Names end in their unit. `relayminer.config.load` reads a YAML file into `Settings`; nothing else
in the project reads files or the environment for settings.
"""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from relayminer.config.balance import BalanceSettings
from relayminer.config.chain import ChainSettings
from relayminer.config.console import ConsoleSettings
from relayminer.config.debug import DebugSettings
from relayminer.config.entrance import ProxyProtocolSettings, TlsSettings
from relayminer.config.logs import LoggingSettings
from relayminer.config.masking import masked_headers_repr, masked_url_repr
from relayminer.config.notify import NotifySettings
from relayminer.config.simulation import CompressionSettings, SimulationSettings
from relayminer.config.tracing import TracingSettings
from relayminer.config.traffic import (
    AdmissionSettings,
    BackendTlsSettings,
    FreshnessSettings,
    HealthCheckSettings,
    HedgingSettings,
    LaneSettings,
    PoolProfile,
    ResponseCacheSettings,
    TimeoutProfile,
    pool_profiles,
    timeout_profiles,
    with_pool_profiles,
    with_timeout_profiles,
)

EMBEDDED = "embedded"

VALIDATION_MODES = ("eager", "optimistic")
BACKEND_TYPES = ("jsonrpc", "rest", "websocket", "grpc", "cometbft")
KEYRING_BACKENDS = ("file", "test", "os", "pass")


@frozen(kw_only=True)
class NamespaceSettings:
    """Segments of Redis key names; they must be equal in every process of a fleet."""

    base_prefix: str = "ha"
    cache_prefix: str = "cache"
    events_prefix: str = "events"
    streams_prefix: str = "relays"
    miner_prefix: str = "miner"
    supplier_prefix: str = "supplier"
    meter_prefix: str = "meter"
    params_prefix: str = "params"
    consumer_group_prefix: str = "miners"


@frozen(kw_only=True)
class RedisSettings:
    """Where the shared state lives."""

    url: str = field(default=EMBEDDED, repr=masked_url_repr)
    """`embedded` (a private server in `home`) or a URL: see docs/redis.md for all its forms."""
    appendfsync: str = "everysec"
    """Of the embedded server: `everysec`, or `always` to lose nothing when the power fails."""
    command_timeout_seconds: float = 5.0
    reconnect_backoff_max_seconds: float = 5.0
    max_queued_commands: int = 20_000
    """Commands that may wait for an answer on one connection; the next one is refused."""
    max_queued_bytes: int = 268_435_456
    """Bytes that may wait to be sent on one connection; what goes beyond is refused."""
    hash_tags: bool = False
    """Names with hash tags, which a cluster needs; all processes must agree on it."""
    accept_unsafe: bool = False
    """Start although the server may evict keys, or keeps nothing on disk."""
    watch_interval_seconds: float = 2.0
    """How often the server's memory and safety are looked at."""
    memory_warn_ratio: float = 0.8
    """Share of the server's memory in use from which it is told as low."""
    memory_shed_ratio: float = 0.95
    """Share from which relays are refused, so that there is room for what is in hand."""
    namespace: NamespaceSettings = NamespaceSettings()


@frozen(kw_only=True)
class TransactionSettings:
    """What transactions cost and how long they may live."""

    gas_limit: int = 0
    """Gas per transaction; 0 simulates each one."""
    gas_fallback_per_message: int = 200_000
    """Gas asked for per message when the simulation fails for a reason that is not the message."""
    gas_price: str = "0.000001upokt"
    gas_adjustment: float = 1.7
    lifetime_max_seconds: float = 590.0
    """Upper bound of an unordered transaction's lifetime; the chain refuses 10 minutes and more."""
    memo: str = "RelayMiner"


@frozen(kw_only=True)
class KeyringSettings:
    """A Cosmos keyring."""

    backend: str = "test"
    dir: Path | None = None
    """Parent of `keyring-test` or `keyring-file`; by default `~/.pocket`. The backend `os` has its
    items right there, when neither a secret service nor `pass` has any."""
    app_name: str = "pocket"
    """By it the secret service names its collection, and `pass` its folder."""
    key_names: tuple[str, ...] = ()
    """Keys to load; empty: all."""
    passphrase_file: Path | None = None
    """Of encrypted files: its first line is the passphrase. Without it a terminal is asked."""


@frozen(kw_only=True)
class KeySettings:
    """Sources of supplier keys, read in this order; of two keys for one address the later wins."""

    keys_file: Path | None = None
    keys_dir: Path | None = None
    keyring: KeyringSettings | None = None
    encrypted_file: Path | None = None
    """Of our own, made by `relayminer keys add`."""
    passphrase_file: Path | None = None
    """Of the encrypted file: its first line. Without it, systemd or a terminal is asked."""


@frozen(kw_only=True)
class AuthenticationSettings:
    """How a backend wants to be greeted; basic wins over bearer, bearer over plain."""

    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    plain_token: str = field(default="", repr=False)


@frozen(kw_only=True)
class EndpointSettings:
    """One address of a backend."""

    url: str = field(repr=masked_url_repr)
    name: str = ""


@frozen(kw_only=True)
class BackendSettings:
    """Where relays of one service and one RPC type go."""

    url: str = field(default="", repr=masked_url_repr)
    urls: tuple[EndpointSettings, ...] = ()
    """Several addresses instead of `url`; exactly one of the two is given."""
    base_path: str = ""
    load_balancing: str = ""
    """`first_healthy`, `round_robin` or `ranked`; empty: for one address the first, else the
    second."""
    protocol: str = "auto"
    """`http1`, `http2`, `alpn` (whichever the server agrees to), or `auto`: HTTP/2 for grpc, else
    HTTP/1.1, which costs less CPU a relay."""
    tls: BackendTlsSettings = field(factory=BackendTlsSettings)
    headers: dict[str, str] = field(factory=dict, repr=masked_headers_repr)
    authentication: AuthenticationSettings = AuthenticationSettings()
    max_retries: int = 1
    recovery_timeout_seconds: float = 30.0
    """How long an endpoint that failed is left alone before it is tried again."""
    unhealthy_threshold: int = 5
    """Failures in a row after which an endpoint is left alone."""
    health_check: HealthCheckSettings = field(factory=HealthCheckSettings)
    freshness: FreshnessSettings = field(factory=FreshnessSettings)
    hedging: HedgingSettings = field(factory=HedgingSettings)


@frozen(kw_only=True)
class ServiceSettings:
    """One service that this relayer serves."""

    backends: dict[str, BackendSettings]
    default_backend: str = "jsonrpc"
    validation_mode: str = ""
    """`eager` or `optimistic`; empty takes `relayer.validation_mode`."""
    max_body_bytes: int = 0
    """Largest request in bytes, over every transport; 0 takes `relayer.max_body_bytes`, in
    conversations `relayer.websocket.max_message_bytes`."""
    request_timeout_seconds: float = 0.0
    """Time for the whole backend exchange, retries included; 0 takes the profile's."""
    response_header_timeout_seconds: float = 0.0
    dial_timeout_seconds: float = 0.0
    max_connections: int = 0
    """Connections to one endpoint; 0 takes the profile's."""
    timeout_profile: str = ""
    """One of `relayer.timeout_profiles`; empty takes the relayer's own times."""
    pool_profile: str = ""
    """One of `relayer.pool_profiles`; empty: `relayer.max_connections_per_endpoint`."""
    admission: AdmissionSettings = field(factory=AdmissionSettings)
    lanes: dict[str, LaneSettings] = field(factory=dict)
    """By a name of yours; the first that takes a call has it."""
    response_cache: ResponseCacheSettings = field(factory=ResponseCacheSettings)


@frozen(kw_only=True)
class MeteringSettings:
    """How an application's stake bounds what is served (relayer.md section 7)."""

    enabled: bool = True
    fail_behavior: str = "open"
    """`open` serves when the budget cannot be read, `closed` answers 503."""
    lease_relays: int = 200
    """Relays of budget that one relayer takes from the shared counter at a time."""
    cache_ttl_seconds: float = 7200.0


@frozen(kw_only=True)
class WebSocketSettings:
    """Conversations, on both sides of the relayer (relayer.md 3.2)."""

    max_message_bytes: int = 15_728_640
    """Of a message either way; a larger one ends the conversation with 1009. A service's
    `max_body_bytes` sets a limit of its own for what clients send."""
    ping_interval_seconds: float = 27.0
    read_timeout_seconds: float = 30.0
    """A side that sends neither a message nor a pong for so long is gone."""
    write_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 2.0
    """How long to wait for the other's half of a farewell."""


@frozen(kw_only=True)
class RelayerSettings:
    """The relayer role."""

    listen: str = "0.0.0.0:8080"
    services: dict[str, ServiceSettings] = field(factory=dict)
    validation_mode: str = "eager"
    publish: str = "confirm"
    """`confirm` answers after the log has the relay; `after` at the same moment."""
    max_body_bytes: int = 10_485_760
    max_header_bytes: int = 1_048_576
    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 120.0
    max_connections: int = 10_000
    max_streams_per_connection: int = 250
    """Requests at once on one HTTP/2 connection."""
    max_grpc_message_bytes: int = 4_194_304
    """Largest message received over gRPC and gRPC-Web, after decompression."""
    request_timeout_seconds: float = 30.0
    response_header_timeout_seconds: float = 30.0
    dial_timeout_seconds: float = 5.0
    max_connections_per_endpoint: int = 500
    timeout_profiles: dict[str, TimeoutProfile] = field(
        factory=timeout_profiles, converter=with_timeout_profiles
    )
    """Besides those that are always known: `fast`, `streaming`."""
    pool_profiles: dict[str, PoolProfile] = field(
        factory=pool_profiles, converter=with_pool_profiles
    )
    """Besides those that are always known: `low`, `medium`, `high`."""
    retry_budget_ratio: float = 0.2
    """Retries per relay, over all services; 0 allows none."""
    retry_budget_reserve: int = 20
    """Retries that may be saved up."""
    max_response_bytes: int = 209_715_200
    max_answer_bytes_in_flight: int = 536_870_912
    """Bytes of all answers of backends that clients have not taken yet, those under 64 KiB not
    counted; an answer that would exceed it is refused with 503, a conversation's message waits."""
    max_in_flight: int = 2_000
    """Relays being served at once; the next one is answered 503."""
    publish_timeout_seconds: float = 5.0
    """How long a relay waits for the log before the store counts as away."""
    when_store_away: str = "spool"
    """`spool` keeps relays on disk in `home` until the store is back; `refuse` answers 503."""
    spool_max_bytes: int = 1_073_741_824
    """On disk, per process; relays beyond it are answered 503."""
    max_ring_members: int = 32
    """A ring signature with more members is refused before any curve work."""
    session_cache_entries: int = 20_000
    shutdown_delay_seconds: float = 2.0
    """From not being ready to accepting no more: time for gateways to look elsewhere."""
    drain_seconds: float = 20.0
    metering: MeteringSettings = MeteringSettings()
    response_compression: CompressionSettings = field(factory=CompressionSettings)
    simulation: SimulationSettings = field(factory=SimulationSettings)
    refuse_replays: bool = False
    """Answer a signed request once per session; the same bytes again are answered 409."""
    replay_filter_entries: int = 200_000
    """Requests that one relayer remembers; beyond them only the shared store does."""
    websocket: WebSocketSettings = WebSocketSettings()
    tls: TlsSettings = field(factory=TlsSettings)
    proxy_protocol: ProxyProtocolSettings = field(factory=ProxyProtocolSettings)


@frozen(kw_only=True)
class MinerSettings:
    """The miner role."""

    consumer_name: str = ""
    """Name in consumer groups and leases; empty: `miner-<hostname>`. A boot id is added."""
    batch_entries: int = 500
    """Stream entries read, accumulated and checkpointed together."""
    read_bytes_max: int = 12_582_912
    """Bytes of relays that one read of all streams brings, as far as the last ones tell."""
    open_leaves_max: int = 1_500_000
    """Leaves of tries in memory, about 180 bytes each; what is above that is loaded when needed."""
    read_block_seconds: float = 1.0
    claim_idle_seconds: float = 5.0
    """Entries that a dead consumer left pending this long are taken over."""
    cache_ttl_seconds: float = 7200.0
    session_ttl_seconds: float = 0.0
    """0 takes `cache_ttl_seconds`."""
    submission_tracking_ttl_seconds: float = 86_400.0
    ledger_records_max: int = 20_000
    """Records kept of each supplier, some ten a session, about 0.5 kB each; 0 keeps all."""
    reconcile_interval_seconds: float = 60.0
    max_messages_per_transaction: int = 30
    require_profit: bool = True
    """Skip a claim that would earn less than its transactions cost."""
    lease_ttl_seconds: float = 4.0
    lease_renew_seconds: float = 1.0
    balance: BalanceSettings = field(factory=BalanceSettings)
    shadow: bool = False
    """Build everything beside a running fleet, send nothing, compare with its claims on chain."""
    default_service_factor: float = 0.0
    """Share of an application's stake that one session may spend with one supplier, published for
    the relayers; 0: as the protocol shares it out."""
    service_factors: dict[str, float] = field(factory=dict)
    """By service id, over the default."""


@frozen(kw_only=True)
class CacheSettings:
    """Shared caches and their leader."""

    lease_ttl_seconds: float = 4.0
    lease_renew_seconds: float = 1.0
    refresh_interval_blocks: int = 4
    memory_entries: int = 10_000


@frozen(kw_only=True)
class ControlSettings:
    """The control plane: metrics, health and readiness."""

    listen: str = "127.0.0.1:9092"
    also_listen: tuple[str, ...] = ()
    """Further addresses that serve the same pages."""
    enabled: bool = True


@frozen(kw_only=True)
class Settings:
    """All settings of one process."""

    home: Path = field(factory=lambda: Path.home() / ".relayminer")
    redis: RedisSettings = RedisSettings()
    chain: ChainSettings = field(factory=ChainSettings)
    transactions: TransactionSettings = TransactionSettings()
    keys: KeySettings = KeySettings()
    relayer: RelayerSettings = RelayerSettings()
    miner: MinerSettings = MinerSettings()
    cache: CacheSettings = CacheSettings()
    control: ControlSettings = ControlSettings()
    console: ConsoleSettings = field(factory=ConsoleSettings)
    debug: DebugSettings = field(factory=DebugSettings)
    notify: NotifySettings = field(factory=NotifySettings)
    tracing: TracingSettings = field(factory=TracingSettings)
    logging: LoggingSettings = field(factory=LoggingSettings)
    reload_poll_seconds: float = 2.0
    """How often the configuration and the keys are looked at for changes; 0: only on SIGHUP."""
