"""Settings of what lies between a verified relay and its backend: probes, queues, lanes, caches."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the types

from attrs import field, frozen

from relayminer.config.masking import masked_headers_repr


@frozen(kw_only=True)
class BackendTlsSettings:
    """TLS with a backend whose URL says so (https, wss, grpcs)."""

    ca_file: Path | None = None
    """Authorities to believe, in PEM; empty: those of the system."""
    server_name: str = ""
    """Whom the certificate must be for; empty: the host of the URL."""
    insecure: bool = False
    """Believe any certificate: whoever is on the way may then answer in the backend's place."""


@frozen(kw_only=True)
class HealthCheckSettings:
    """Active probes of a backend's endpoints, in the protocol that the backend speaks.

    HTTP backends get a request, WebSocket backends a handshake, gRPC backends a call of
    `grpc.health.v1.Health/Check`.
    """

    enabled: bool = False
    endpoint: str = ""
    """Path to ask for, merged like a relay's; of a gRPC backend the service's name."""
    interval_seconds: float = 10.0
    timeout_seconds: float = 5.0
    unhealthy_threshold: int = 3
    """Failed probes in a row after which an endpoint gets no relays."""
    healthy_threshold: int = 2
    """Good probes in a row after which it gets relays again."""
    method: str = "GET"
    request_body: str = ""
    content_type: str = ""
    """Empty: `application/json` for a body that starts with a brace or a bracket."""
    expected_status: tuple[int, ...] = ()
    """Empty: any of 200 to 299."""
    expected_body: str = ""
    """Text that the answer must hold."""
    headers: dict[str, str] = field(factory=dict, repr=masked_headers_repr)
    """Sent with probes, besides the backend's own."""


@frozen(kw_only=True)
class FreshnessSettings:
    """Takes an endpoint out while its chain height lags that of its siblings."""

    max_lag_blocks: int = 0
    """0: heights are not asked for."""
    interval_seconds: float = 5.0
    timeout_seconds: float = 5.0
    method: str = ""
    """JSON-RPC method that answers the height; empty: `eth_blockNumber`."""
    path: str = ""
    """To GET instead; empty: `/status` for cometbft, a JSON-RPC call for jsonrpc."""
    height_field: str = ""
    """Where the answer has the height, with dots; empty: where the protocol has it."""


@frozen(kw_only=True)
class HedgingSettings:
    """A second endpoint is asked when the first takes long; the faster answer counts."""

    methods: tuple[str, ...] = ()
    """JSON-RPC methods that may be asked twice; empty: none."""
    after_seconds: float = 0.5


@frozen(kw_only=True)
class AdmissionSettings:
    """How much of a service is served at once, and who waits."""

    max_in_flight: int = 0
    """Relays of the service at its backends at once; 0: no limit but the relayer's."""
    max_waiting: int = 500
    """Relays that may wait for their turn; beyond it the longest queue gives way."""
    max_wait_seconds: float = 0.0
    """Who would wait longer is answered 503 at once; 0: as long as a relay takes on average."""
    fair_by: str = "application"
    """`application` or `supplier`: whose relays take turns."""


@frozen(kw_only=True)
class LaneSettings:
    """Dear JSON-RPC methods that share a limit of their own."""

    methods: tuple[str, ...] = ()
    """Names or patterns such as `trace_*`."""
    log_range_blocks: int = 0
    """Also any call whose filter spans more blocks than this; 0: ranges are not looked at."""
    max_in_flight: int = 4
    max_waiting: int = 16
    max_wait_seconds: float = 0.0
    """0: as long as a relay of the lane takes on average."""


@frozen(kw_only=True)
class ResponseCacheSettings:
    """Answers of immutable JSON-RPC methods, kept in memory; each relay is signed on its own."""

    methods: tuple[str, ...] = ()
    """Names of methods; empty: nothing is kept."""
    max_bytes: int = 67_108_864
    ttl_seconds: float = 300.0


@frozen(kw_only=True)
class TimeoutProfile:
    """Times of a backend exchange."""

    request_timeout_seconds: float = 30.0
    response_header_timeout_seconds: float = 30.0
    """0: no limit but the request's."""
    dial_timeout_seconds: float = 5.0
    """For TCP and TLS together."""


@frozen(kw_only=True)
class PoolProfile:
    """Connections to one endpoint of a backend."""

    max_connections: int = 500
    max_idle_connections: int = 100
    idle_timeout_seconds: float = 90.0


def timeout_profiles() -> dict[str, TimeoutProfile]:
    """Those that are always known."""
    return {
        "fast": TimeoutProfile(),
        "streaming": TimeoutProfile(
            request_timeout_seconds=600.0,
            response_header_timeout_seconds=0.0,
            dial_timeout_seconds=10.0,
        ),
    }


def pool_profiles() -> dict[str, PoolProfile]:
    """Those that are always known."""
    return {
        name: PoolProfile(max_connections=connections, max_idle_connections=idle)
        for name, connections, idle in (("low", 10, 5), ("medium", 100, 20), ("high", 250, 50))
    }


def with_timeout_profiles(given: dict[str, TimeoutProfile]) -> dict[str, TimeoutProfile]:
    """`given` over those that are always known."""
    return {**timeout_profiles(), **given}


def with_pool_profiles(given: dict[str, PoolProfile]) -> dict[str, PoolProfile]:
    """`given` over those that are always known."""
    return {**pool_profiles(), **given}
