"""A chain that fits in a file, and relay requests for it with real signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2

from relayminer.chain.accounts import Account
from relayminer.chain.errors import ChainQueryError, NotFoundError
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, encode_http_request
from relayminer.protocol.pb import (
    application_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.session import session_end, session_id, session_start
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "anvil"
ENVELOPE = HttpRequest(
    "POST",
    "http://gateway/",
    {"Content-Type": ("application/json",)},
    b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}',
)


def shared_params() -> shared_pb2.Params:
    """Sessions of ten blocks."""
    return shared_pb2.Params(
        num_blocks_per_session=10,
        grace_period_end_offset_blocks=1,
        claim_window_open_offset_blocks=1,
        claim_window_close_offset_blocks=4,
        proof_window_open_offset_blocks=0,
        proof_window_close_offset_blocks=4,
        compute_units_to_tokens_multiplier=42_000_000,
        compute_unit_cost_granularity=1_000_000,
        session_grid_anchor_height=1,
        session_number_at_anchor=1,
    )


class SmallChain:
    """One application with a gateway, one service, some suppliers. Counts what it is asked."""

    def __init__(self, suppliers: int = 1, stake_upokt: int = 10**15) -> None:
        self.params = shared_params()
        self.application_key = SigningKey.from_seed(b"application")
        self.gateway_key = SigningKey.from_seed(b"gateway")
        self.gateway_keys = [self.gateway_key]
        self.supplier_keys = [SigningKey.from_seed(b"supplier %d" % n) for n in range(suppliers)]
        self.stake_upokt = stake_upokt
        self.asked: list[str] = []
        self.target = b"\xff" * 32
        self.available = True

    @property
    def ring(self) -> list[bytes]:
        """The application's ring."""
        return [self.application_key.public_key, self.gateway_key.public_key]

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if not self.available:
            raise ChainQueryError("the chain is away", "UNAVAILABLE")

    async def shared_params(self) -> shared_pb2.Params:
        """In force now."""
        self._ask("shared_params")
        return self.params

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """In force at a height."""
        self._ask(f"shared_params_at {height}")
        return self.params

    async def session_params(self) -> session_pb2.Params:
        """In force now."""
        self._ask("session_params")
        return session_pb2.Params(num_suppliers_per_session=15)

    async def proof_params(self) -> proof_pb2.Params:
        """In force now."""
        self._ask("proof_params")
        return proof_pb2.Params()

    def header(self, height: int, service: str = SERVICE) -> session_pb2.SessionHeader:
        """The session header at `height`."""
        start = session_start(self.params, height)
        return session_pb2.SessionHeader(
            application_address=self.application_key.address,
            service_id=service,
            session_id=session_id(b"\x07" * 32, service, self.application_key.address, start),
            session_start_block_height=start,
            session_end_block_height=session_end(self.params, height),
        )

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The one session."""
        self._ask(f"session {service} {height}")
        if application != self.application_key.address or service != SERVICE:
            raise ChainQueryError("no such session", "INTERNAL")
        header = self.header(height)
        return session_pb2.Session(
            header=header,
            session_id=header.session_id,
            num_blocks_per_session=10,
            suppliers=[
                shared_pb2.Supplier(operator_address=key.address) for key in self.supplier_keys
            ],
        )

    async def application(self, address: str) -> application_pb2.Application:
        """The one application."""
        self._ask(f"application {address}")
        if address != self.application_key.address:
            raise NotFoundError(f"no application {address}")
        return application_pb2.Application(
            address=address,
            stake=coin_pb2.Coin(denom="upokt", amount=str(self.stake_upokt)),
            delegatee_gateway_addresses=[key.address for key in self.gateway_keys],
        )

    async def supplier(self, address: str) -> shared_pb2.Supplier:
        """Any supplier."""
        self._ask(f"supplier {address}")
        return shared_pb2.Supplier(operator_address=address)

    async def service(self, service: str) -> shared_pb2.Service:
        """Any service."""
        self._ask(f"service {service}")
        return shared_pb2.Service(id=service, compute_units_per_relay=100)

    async def account(self, address: str) -> Account:
        """Of the application or the gateway."""
        self._ask(f"account {address}")
        for key in (self.application_key, *self.gateway_keys):
            if key.address == address:
                return Account(address, 1, 0, key.public_key)
        raise NotFoundError(f"no account {address}")

    async def difficulty_at(self, service: str, height: int) -> service_pb2.RelayMiningDifficulty:
        """The target of this chain."""
        self._ask(f"difficulty_at {service} {height}")
        return service_pb2.RelayMiningDifficulty(service_id=service, target_hash=self.target)

    async def compute_units_at(self, service: str, height: int) -> int:
        """A hundred."""
        self._ask(f"compute_units_at {service} {height}")
        return 100

    async def supplier_params(self) -> supplier_pb2.Params:
        """In force now."""
        self._ask("supplier_params")
        return supplier_pb2.Params()


def signed_request(
    chain: SmallChain,
    *,
    height: int = 15,
    envelope: HttpRequest = ENVELOPE,
    supplier: str | None = None,
    ring: list[bytes] | None = None,
    signer: SigningKey | None = None,
    change: Callable[[service_pb2.RelayRequest], None] | None = None,
) -> service_pb2.RelayRequest:
    """A relay request with a valid ring signature; `change` is applied before signing."""
    request = service_pb2.RelayRequest(payload=encode_http_request(envelope))
    request.meta.session_header.CopyFrom(chain.header(height))
    request.meta.supplier_operator_address = supplier or chain.supplier_keys[0].address
    if change is not None:
        change(request)
    request.meta.signature = sign_ring(
        request_hash(request), ring or chain.ring, signer or chain.gateway_key
    )
    return request


def request_body(request: service_pb2.RelayRequest) -> bytes:
    """Its bytes."""
    return codec.encode(request)
