"""Who is on stage: the session that runs, and the keys of those who take part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.protocol import codec
from relayminer.protocol.pb import service_pb2
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.protocol.pb.session_pb2 import SessionHeader
    from relayminer.protocol.signature import SigningKey


@frozen
class Parties:
    """One session with everything that is needed to send relays in it.

    Attributes:
        ring: public keys (33 bytes) that requests may be signed with.
        gateway_key: a member of the ring.
        supplier: operator address of a supplier of the session that the relayer signs for.
        supplier_public_key: 33 bytes.
        cost_upokt: what one relay costs.
        stake_upokt: of the application.
    """

    header: SessionHeader
    ring: tuple[bytes, ...]
    gateway_key: SigningKey
    supplier: str
    supplier_public_key: bytes
    cost_upokt: int
    stake_upokt: int

    def request(
        self,
        payload: bytes,
        *,
        ring: Sequence[bytes] = (),
        signer: SigningKey | None = None,
        change: Callable[[service_pb2.RelayRequest], None] | None = None,
    ) -> service_pb2.RelayRequest:
        """A signed request; `change` is applied before signing."""
        request = service_pb2.RelayRequest(payload=payload)
        request.meta.session_header.CopyFrom(self.header)
        request.meta.supplier_operator_address = self.supplier
        if change is not None:
            change(request)
        request.meta.signature = sign_ring(
            request_hash(request), ring or self.ring, signer or self.gateway_key
        )
        return request

    def body(self, payload: bytes) -> bytes:
        """The bytes of a good request."""
        return codec.encode(self.request(payload))
