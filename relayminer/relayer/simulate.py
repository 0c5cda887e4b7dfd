"""Simulated relays: whether one is served (relayer.md 11). Knows no transport.

An operator's probe looks like a relay of a session that never was, signed by a key that the
configuration pins. It is answered with real signatures and real backends, and it is never metered,
logged or mined.

A transport of its own way uses it so:

```python
key_id = simulator.key_id(headers)
if key_id:
    with simulator.slot():                              # held until the answer
        await simulator.admit(request, key_id)          # RelayRequest as decoded
        ...                                             # backend, signature, answer
    simulator.count(transport, request, "success")
```

`slot` and `admit` raise `SimulationRefusedError`, which knows the HTTP status, the gRPC status and
the WebSocket close code. K-37 is done the better way: a replay is marked once the signature holds,
so that junk neither fills the store nor stands in a good request's way.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

from relayminer.config.simulation import parse_not_after
from relayminer.protocol.address import address_of
from relayminer.protocol.errors import ProtocolError, RingError
from relayminer.protocol.relay import check_request
from relayminer.protocol.ring import check_ring_signature
from relayminer.protocol.ring_members import PLACEHOLDER_PUBLIC_KEY
from relayminer.relayer.errors import RefusedError, RelayerConfigurationError
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from relayminer.config.simulation import SimulatedIdentitySettings, SimulationSettings
    from relayminer.net.http1 import Headers
    from relayminer.protocol.pb.service_pb2 import RelayRequest
    from relayminer.relayer.simulate_metrics import SimulationMetrics
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

HEADER: Final = b"pocket-simulation-key-id"
MAX_KEY_ID_BYTES: Final = 256

INVALID_ARGUMENT: Final = 3
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNAVAILABLE: Final = 14
CLOSE_REFUSED: Final = 4001
CLOSE_TRY_AGAIN: Final = 1013

VERIFY_FAILED: Final = "verify_failed"
RATE_LIMITED: Final = "rate_limited"
SUPPLIER_NOT_LOADED: Final = "supplier_not_loaded"

_SESSION_ID: Final = re.compile(r"simv1:([+-]?\d{1,19}):([^:]+)")
_SIGNATURE_FAILED: Final = "simulation: ring signature verification failed: "


class SimulationRefusedError(RefusedError):
    """A simulated relay that is not served.

    Attributes:
        grpc_status: number of the gRPC status.
        close_code: of a WebSocket.
        result: label of `simulated_relays_total`; also the `reason`.
        detail: the text without its prefix.
    """

    def __init__(
        self, status: int, grpc_status: int, result: str, detail: str, *, try_again: bool = False
    ) -> None:
        text = detail if try_again else f"simulation rejected: {detail}"
        super().__init__(status, text, result)
        self.grpc_status = grpc_status
        self.close_code = CLOSE_TRY_AGAIN if try_again else CLOSE_REFUSED
        self.result = result
        self.detail = detail


class ReplayMarks(Protocol):
    """Remembers signatures."""

    async def mark(self, signature_hash: str, seconds: int) -> bool:
        """Mark the signature with this hex SHA-256; False when it was marked before.

        Raises:
            StateError: the store did not say.
        """
        ...


class StoreMarks:
    """In the shared store, so that one request is served by one of all relayers."""

    def __init__(self, store: Redis, names: KeyNames) -> None:
        self._store = store
        self._names = names

    async def mark(self, signature_hash: str, seconds: int) -> bool:
        """As `ReplayMarks.mark`."""
        key = self._names.simulation_replay_key(signature_hash)
        return await self._store.command("SET", key, 1, "EX", seconds, "NX") is not None


@frozen
class Identity:
    """A pinned identity."""

    key_id: str
    enabled: bool
    not_after: float | None
    application: str
    ring: frozenset[bytes]
    services: frozenset[str]
    bucket: Bucket


class Bucket:
    """A token bucket that starts full: so many at once, and so many a second.

    Args:
        rate: tokens, and tokens a second.
        now: clock time.
    """

    __slots__ = ("_rate", "_seen_at", "_tokens")

    def __init__(self, rate: int, now: float) -> None:
        self._rate = float(rate)
        self._tokens = float(rate)
        self._seen_at = now

    def take(self, now: float) -> bool:
        """Whether there was a token."""
        gained = max(0.0, now - self._seen_at) * self._rate
        self._tokens = min(self._rate, self._tokens + gained)
        self._seen_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Simulator:
    """Admits simulated relays.

    Args:
        settings: enabled.
        keys: addresses of the suppliers whose keys are loaded.
        services: configured service ids.
        marks: of signatures seen.
        metrics: counters.
        max_ring_members: a larger ring is refused unseen.
        clock: seconds of a clock that never goes back.
        wall_clock: seconds since 1970.

    Raises:
        RelayerConfigurationError: a pinned identity cannot be used.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        *,
        keys: Container[str],
        services: Container[str],
        marks: ReplayMarks,
        metrics: SimulationMetrics,
        max_ring_members: int,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._max_concurrent = settings.max_concurrent
        self._window_seconds = settings.freshness_window_seconds
        self._keys = keys
        self._services = services
        self._marks = marks
        self._max_ring_members = max_ring_members
        self._clock = clock
        self._wall_clock = wall_clock
        self._identities: Mapping[str, Identity] = {
            one.key_id: _identity(one, clock()) for one in settings.identities
        }
        self.metrics = metrics
        self.in_flight = 0

    def key_id(self, headers: Headers) -> str:
        """The identity that a request names; empty for ordinary relays.

        Args:
            headers: names in lower case; of gRPC, the metadata.
        """
        for name, value in headers:
            if name == HEADER:
                return value[:MAX_KEY_ID_BYTES].decode("latin-1").strip()
        return ""

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of `max_concurrent` places, until the block ends.

        Raises:
            SimulationRefusedError: all are taken.
        """
        if self.in_flight >= self._max_concurrent:
            raise _try_again("simulation concurrency limit reached")
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def admit(self, request: RelayRequest, key_id: str) -> Identity:
        """Checks 1 to 14 of relayer.md 11, the signature before the replay mark.

        Raises:
            SimulationRefusedError: it is not served, and why.
        """
        identity = self._identity(key_id)
        self._check_supplier(request.meta.supplier_operator_address)
        try:
            check_request(request)
        except ProtocolError as error:
            raise _denied(VERIFY_FAILED, f"{_SIGNATURE_FAILED}{error}") from error
        self._check_scope(request, identity)
        self._check_session(request.meta.session_header.session_id)
        try:
            check_ring_signature(request, identity.ring, max_members=self._max_ring_members)
        except RingError as error:
            raise _denied(VERIFY_FAILED, f"{_SIGNATURE_FAILED}{error}") from error
        await self._mark(request.meta.signature)
        if not identity.bucket.take(self._clock()):
            raise _try_again("simulation rate limit reached")
        return identity

    def count(self, transport: str, request: RelayRequest | None, result: str) -> None:
        """One simulated relay more.

        Args:
            transport: label.
            request: None when it could not be decoded.
            result: label: a refusal's `result`, or `success`, `meter_degraded`, `sign_failed`,
                `backend_error`.
        """
        service = supplier = ""
        if request is not None:
            service = request.meta.session_header.service_id
            supplier = request.meta.supplier_operator_address
        # Labels are not a stranger's to choose.
        self.metrics.count(
            transport,
            service if service in self._services else "unknown",
            supplier if supplier in self._keys else "unknown",
            result,
        )

    def _identity(self, key_id: str) -> Identity:
        identity = self._identities.get(key_id)
        if identity is None:
            raise _denied(VERIFY_FAILED, "simulation: unknown key_id")
        if not identity.enabled:
            raise _denied(VERIFY_FAILED, "simulation: identity disabled")
        if identity.not_after is not None and self._wall_clock() > identity.not_after:
            raise _denied(VERIFY_FAILED, "simulation: identity expired (not_after)")
        return identity

    def _check_supplier(self, supplier: str) -> None:
        if not supplier:
            raise SimulationRefusedError(
                400,
                INVALID_ARGUMENT,
                SUPPLIER_NOT_LOADED,
                "simulation: supplier operator address required",
            )
        if supplier not in self._keys:
            raise _denied(
                SUPPLIER_NOT_LOADED,
                "simulation: supplier signing key not loaded on this relayer",
            )

    def _check_scope(self, request: RelayRequest, identity: Identity) -> None:
        header = request.meta.session_header
        if header.application_address != identity.application:
            raise _denied(
                "identity_mismatch",
                "simulation: request application address does not match pinned identity",
            )
        if header.service_id not in self._services:
            raise SimulationRefusedError(
                404,
                NOT_FOUND,
                "service_unknown",
                "simulation: service not configured on this relayer",
            )
        if identity.services and header.service_id not in identity.services:
            raise _denied(
                "service_not_allowed", "simulation: service not allowed for this identity"
            )

    def _check_session(self, session_id: str) -> None:
        found = _SESSION_ID.fullmatch(session_id)
        if found is None:
            raise SimulationRefusedError(
                400,
                INVALID_ARGUMENT,
                VERIFY_FAILED,
                "simulation: malformed synthetic session id",
            )
        if abs(int(self._wall_clock()) - int(found[1])) >= self._window_seconds:
            raise _denied(VERIFY_FAILED, "simulation: request timestamp outside freshness window")

    async def _mark(self, signature: bytes) -> None:
        try:
            is_new = await self._marks.mark(
                hashlib.sha256(signature).hexdigest(), 2 * self._window_seconds
            )
        except StateError as error:
            raise SimulationRefusedError(
                503,
                UNAVAILABLE,
                "dedup_unavailable",
                "simulation: replay dedup store unavailable",
            ) from error
        if not is_new:
            raise SimulationRefusedError(
                409,
                ALREADY_EXISTS,
                "replay_rejected",
                "simulation: request already seen (replay)",
            )


def _denied(result: str, detail: str) -> SimulationRefusedError:
    return SimulationRefusedError(403, PERMISSION_DENIED, result, detail)


def _try_again(detail: str) -> SimulationRefusedError:
    return SimulationRefusedError(429, RESOURCE_EXHAUSTED, RATE_LIMITED, detail, try_again=True)


def _identity(settings: SimulatedIdentitySettings, now: float) -> Identity:
    try:
        application_key = bytes.fromhex(settings.app_pubkey_hex)
        gateway_keys = [bytes.fromhex(text) for text in settings.gateway_pubkeys_hex]
        not_after = parse_not_after(settings.not_after) if settings.not_after else None
    except ValueError as error:
        raise RelayerConfigurationError(
            f"relayer.simulation.identities (key_id {settings.key_id!r}): {error}"
        ) from error
    ring = frozenset([application_key, *gateway_keys])
    if PLACEHOLDER_PUBLIC_KEY in ring:
        raise RelayerConfigurationError(
            f"relayer.simulation.identities (key_id {settings.key_id!r}): the placeholder key of "
            "rings without gateways is nobody's: everybody knows its secret"
        )
    return Identity(
        settings.key_id,
        settings.enabled,
        not_after,
        address_of(application_key),
        ring,
        frozenset(settings.allowed_services),
        Bucket(settings.max_rps, now),
    )
