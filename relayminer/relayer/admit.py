"""Whether a relay is served: cheap checks before dear ones (relayer.md 2.2 and 8).

`open` decodes and checks what needs nobody's answer. `verify` checks the protocol's rules: without
a turn of the loop for a session that is known, through the caches for one that is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, decode_http_request
from relayminer.protocol.errors import DecodeError, ProtocolError, RingError
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.point_tables import PointTables
from relayminer.protocol.relay import check_request
from relayminer.protocol.ring import check_ring_signature
from relayminer.relayer.book import check_timing
from relayminer.relayer.errors import InvalidRelayError, RefusedError, no_backend
from relayminer.relayer.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from relayminer.cache.moment import ChainMoment
    from relayminer.plugin import Headers, RelayCall
    from relayminer.relayer.book import SessionBook
    from relayminer.relayer.gate import SupplierGate
    from relayminer.relayer.metrics import RelayerMetrics
    from relayminer.relayer.relay import SessionContext
    from relayminer.relayer.routes import Route, ServiceRoutes

MAX_SESSION_BLOCKS = 10_000
MAX_HEIGHT_DISTANCE = 10_000
_INVALID = "invalid relay request: body must be a valid RelayRequest protobuf"
_NO_HEADERS: dict[str, tuple[str, ...]] = {}


class Admission:
    """The checks of one relayer.

    Args:
        routes: by service id.
        gate: the supplier registry.
        book: known sessions.
        keys: addresses of the suppliers whose keys are loaded.
        moment: the block height.
        max_body_bytes: of any request.
        max_ring_members: a larger ring is refused unseen.
        metrics: counters.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, ServiceRoutes],
        gate: SupplierGate,
        book: SessionBook,
        keys: Container[str],
        moment: ChainMoment,
        max_body_bytes: int,
        max_ring_members: int,
        metrics: RelayerMetrics,
    ) -> None:
        self._routes = routes
        self._gate = gate
        self._book = book
        self._keys = keys
        self._moment = moment
        self._max_body_bytes = max_body_bytes
        self._max_ring_members = max_ring_members
        self._tables = PointTables()
        self._metrics = metrics

    def decode(self, call: RelayCall) -> Relay:
        """Steps 2 to 6: from bytes to a relay with a route.

        Raises:
            RefusedError: 413, 400 or 404.
        """
        body = call.body
        if len(body) > self._max_body_bytes:
            raise RefusedError(413, "request body too large", "body_too_large")
        if not body:
            raise RefusedError(400, _INVALID, "invalid_relay_request")
        try:
            request = codec.decode(RelayRequest, body)
            service = request.meta.session_header.service_id
            http = decode_http_request(request.payload)
        except DecodeError as error:
            raise RefusedError(400, _INVALID, "invalid_relay_request") from error
        if not service or not isinstance(service, str):
            raise RefusedError(400, _INVALID, "invalid_relay_request")
        routes = self._routes.get(service)
        if routes is None:
            raise RefusedError(404, f"unknown service: {service}", "unknown_service")
        rpc_type = b""
        for name, value in call.headers:
            if name == b"rpc-type":
                rpc_type = value
                break
        return Relay(
            request,
            http,
            routes.pick(rpc_type),
            call.headers,
            arrival_height=self._moment.height,
            arrived_at=trio.current_time(),
        )

    async def open(self, relay: Relay, body_bytes: int) -> None:
        """Steps 9 to 20 that need no curve: supplier, registry, size, heights, backend, key.

        Raises:
            RefusedError: 400, 403, 413 or 503.
        """
        await self._check_supplier(relay)
        if body_bytes > relay.route.max_body_bytes:
            raise RefusedError(413, "request body too large for service", "body_too_large")
        self._check_heights(relay)
        self._check_backend(relay.route)
        self._check_key(relay)

    def decode_message(self, message: bytes, route: Route, headers: Headers) -> Relay:
        """`decode` for a conversation: its messages carry what the backend gets, bare.

        Raises:
            RefusedError: 400.
        """
        try:
            request = codec.decode(RelayRequest, message)
        except DecodeError as error:
            raise RefusedError(400, _INVALID, "invalid_relay_request") from error
        if not request.meta.HasField("session_header"):
            raise RefusedError(400, "missing session header", "invalid_relay_request")
        return Relay(
            request,
            HttpRequest("", "", _NO_HEADERS, request.payload),
            route,
            headers,
            arrival_height=self._moment.height,
            arrived_at=trio.current_time(),
        )

    async def open_message(self, relay: Relay) -> None:
        """`open` for a conversation: its size is bounded already, its backend is connected.

        Raises:
            RefusedError: 400, 403 or 503.
        """
        await self._check_supplier(relay)
        self._check_heights(relay)
        self._check_key(relay)

    async def _check_supplier(self, relay: Relay) -> None:
        route, supplier = relay.route, relay.supplier
        if not supplier or not isinstance(supplier, str):
            raise RefusedError(
                400,
                "missing supplier operator address in relay request",
                "missing_supplier_address",
            )
        if not self._gate.check_cached(supplier, route):
            await self._gate.check(supplier, route)

    def _check_heights(self, relay: Relay) -> None:
        if relay.request.meta.HasField("session_header") and not plausible_heights(
            relay.start_height, relay.end_height, relay.arrival_height
        ):
            raise RefusedError(400, "implausible session heights", "implausible_session_heights")

    def _check_key(self, relay: Relay) -> None:
        if relay.supplier not in self._keys:
            raise InvalidRelayError(f"supplier {relay.supplier} is not allowed by this relayer")

    def _check_backend(self, route: Route) -> None:
        if route.pool is None:
            self._metrics.backend_missing.bind(route.service, route.rpc_type).value += 1
        elif not route.has_http:
            raise RefusedError(
                400,
                f"rpc type {route.rpc_type} is not served over HTTP",
                "wrong_transport",
            )
        elif route.pool.has_healthy:
            return
        self._metrics.fast_fails.bind(route.service).value += 1
        raise no_backend(route.service)

    async def verify(self, relay: Relay) -> SessionContext:
        """The rules of relayer.md 8.2; the relay's context is set when they hold.

        Raises:
            InvalidRelayError: 403.
            RefusedError: 503 when what must be known cannot be.
        """
        began = trio.current_time()
        context = self._book.find(relay.session_id)
        if context is not None and _same_header(context, relay):
            check_timing(context.end_height, context.grace_end_height, relay.arrival_height)
            self._check_member(context, relay)
            if not self._book.has_ring(context):
                ring = await self._book.ring(relay.application, relay.end_height)
                self._book.set_ring(context, ring)
            relay.forms = context.forms(relay)
            digest = relay.forms.request_digest(relay.request.payload)
            try:
                self._check_ring(relay, context.ring, digest)
            except InvalidRelayError:
                # A gateway may have been delegated to since the ring was built.
                renewed = await self._book.renewed_ring(context)
                if renewed is None:
                    raise
                self._check_ring(relay, renewed, digest)
        else:
            context = await self._meet(relay)
        relay.context = context
        relay.route.metrics.validation_latency.observe(trio.current_time() - began)
        return context

    def check_known(self, relay: Relay) -> None:
        """What can be said against a relay before the backend works for it, without curve work.

        For optimistic services; `verify` follows after the answer.

        Raises:
            InvalidRelayError: the session is known, and the relay is not of it.
        """
        context = self._book.find(relay.session_id)
        if context is None:
            return
        if not _same_header(context, relay):
            raise InvalidRelayError("session header mismatch")
        check_timing(context.end_height, context.grace_end_height, relay.arrival_height)
        self._check_member(context, relay)

    async def _meet(self, relay: Relay) -> SessionContext:
        """A relay of a session that nobody has vouched for yet."""
        try:
            check_request(relay.request)
        except ProtocolError as error:
            raise InvalidRelayError(f"basic validation failed: {error}") from error
        ring = await self._book.ring(relay.application, relay.end_height)
        self._check_ring(relay, ring, None)
        context = await self._book.resolve(relay, relay.arrival_height)
        if not _same_header(context, relay):
            raise InvalidRelayError("session header mismatch")
        self._book.set_ring(context, ring)
        self._check_member(context, relay)
        return context

    def _check_member(self, context: SessionContext, relay: Relay) -> None:
        if relay.supplier not in context.suppliers:
            raise InvalidRelayError(f"supplier {relay.supplier} not found in session")

    def _check_ring(self, relay: Relay, ring: frozenset[bytes], digest: bytes | None) -> None:
        try:
            check_ring_signature(
                relay.request,
                ring,
                max_members=self._max_ring_members,
                digest=digest,
                tables=self._tables,
            )
        except RingError as error:
            self._metrics.validation_failures.bind(relay.service, "signature").value += 1
            raise InvalidRelayError(f"ring signature verification failed: {error}") from error


def plausible_heights(start: int, end: int, height: int) -> bool:
    """Whether a session may have these heights, without asking the chain (relayer.md 8.1)."""
    if start < 1 or end <= start or end - start > MAX_SESSION_BLOCKS:
        return False
    return height <= 0 or (
        start <= height + MAX_HEIGHT_DISTANCE and end >= height - MAX_HEIGHT_DISTANCE
    )


def _same_header(context: SessionContext, relay: Relay) -> bool:
    return (
        context.session_id == relay.session_id
        and context.application == relay.application
        and context.service == relay.service
        and context.start_height == relay.start_height
        and context.end_height == relay.end_height
    )
