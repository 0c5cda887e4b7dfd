"""A relay on its way through the stages, and the session that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.relayer.forms import RelayForms

if TYPE_CHECKING:
    from relayminer.plugin import Headers
    from relayminer.protocol.envelope import HttpRequest
    from relayminer.protocol.pb.service_pb2 import RelayRequest
    from relayminer.relayer.forward_traffic import Plan
    from relayminer.relayer.meter import Budget
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.routes import Route
    from relayminer.relayer.tracing import RelayTrace


_NO_TYPES: frozenset[bytes] = frozenset()


class SessionContext:
    """What all relays of one session share: looked up once, compared with every relay.

    Attributes:
        grace_end_height: the last height at which a relay of the session is accepted.
        claim_open_height: from this height on the miner may have sealed the session.
        suppliers: operator addresses of the session.
        ring: the public keys (33 bytes each) that may sign for the application.
        ring_expires_at: clock time at which the ring is asked for again.
        target: 32 bytes; a relay is mined when its hash is below.
        compute_units: of one relay, the weight of its leaf.
        cost_upokt: what one relay takes from the budget.
        budgets: by supplier.
    """

    __slots__ = (
        "application",
        "budgets",
        "claim_open_height",
        "compute_units",
        "cost_upokt",
        "end_height",
        "forms_by_supplier",
        "grace_end_height",
        "ring",
        "ring_expires_at",
        "service",
        "session_id",
        "start_height",
        "suppliers",
        "target",
    )

    def __init__(
        self,
        *,
        application: str,
        service: str,
        session_id: str,
        start_height: int,
        end_height: int,
        grace_end_height: int,
        claim_open_height: int,
        suppliers: frozenset[str],
        target: bytes,
        compute_units: int,
        cost_upokt: int,
    ) -> None:
        self.application = application
        self.service = service
        self.session_id = session_id
        self.start_height = start_height
        self.end_height = end_height
        self.grace_end_height = grace_end_height
        self.claim_open_height = claim_open_height
        self.suppliers = suppliers
        self.target = target
        self.compute_units = compute_units
        self.cost_upokt = cost_upokt
        self.ring: frozenset[bytes] = frozenset()
        self.ring_expires_at = 0.0
        self.budgets: dict[str, Budget] = {}
        self.forms_by_supplier: dict[str, RelayForms] = {}

    def forms(self, relay: Relay) -> RelayForms:
        """The forms of the relay's supplier, who is one of the session's."""
        forms = self.forms_by_supplier.get(relay.supplier)
        if forms is None:
            forms = RelayForms(relay.request.meta.session_header, relay.supplier)
            self.forms_by_supplier[relay.supplier] = forms
        return forms


class Relay:
    """One relay between its arrival and its answer.

    Attributes:
        request: as decoded, unknown fields dropped.
        http: the backend request inside.
        outer_headers: of the request that carried it.
        arrival_height: the last block height when it arrived; 0 when unknown.
        arrived_at: Trio time in seconds.
        context: its session, once verified.
        forms: its encodings, once somebody needed them.
        plan: what its body asks for, once somebody looked.
        stream_types: media types of answers that are passed on while the backend writes them.
        once: what tells its replays, where they are refused.
        endpoint: whose answer is passed on so, and `retries` before it.
        published: whether it was logged.
        answered_at: Trio time at which the backend had answered; 0 without its answer.
        trace: where its time went; None unless relays are traced.
    """

    __slots__ = (
        "answered_at",
        "application",
        "arrival_height",
        "arrived_at",
        "context",
        "end_height",
        "endpoint",
        "forms",
        "http",
        "once",
        "outer_headers",
        "plan",
        "published",
        "request",
        "retries",
        "route",
        "session_id",
        "start_height",
        "stream_types",
        "supplier",
        "trace",
    )

    def __init__(
        self,
        request: RelayRequest,
        http: HttpRequest,
        route: Route,
        outer_headers: Headers,
        *,
        arrival_height: int,
        arrived_at: float,
    ) -> None:
        header = request.meta.session_header
        self.request = request
        self.http = http
        self.route = route
        self.outer_headers = outer_headers
        self.arrival_height = arrival_height
        self.arrived_at = arrived_at
        self.supplier = request.meta.supplier_operator_address
        self.application = header.application_address
        self.session_id = header.session_id
        self.start_height = header.session_start_block_height
        self.end_height = header.session_end_block_height
        self.context: SessionContext | None = None
        self.forms: RelayForms | None = None
        self.plan: Plan | None = None
        self.stream_types: frozenset[bytes] = _NO_TYPES
        self.endpoint: Endpoint | None = None
        self.retries = 0
        self.once: bytes | None = None
        self.published = False
        self.answered_at = 0.0
        self.trace: RelayTrace | None = None

    @property
    def service(self) -> str:
        """Service id."""
        return self.route.service

    def own_forms(self) -> RelayForms:
        """The relay's encodings; those of its session when that is known."""
        if self.forms is None:
            self.forms = RelayForms(self.request.meta.session_header, self.supplier)
        return self.forms
