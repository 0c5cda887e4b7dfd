"""Sessions that never were, for a relayer's simulated relays (relayer.md 11): no chain is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.gateway.chain import Endpoint, OpenSession
from relayminer.protocol.address import address_of
from relayminer.protocol.pb.session_pb2 import SessionHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

FRESH_SECONDS: Final = 10.0
"""After this the relayer may take the session for stale; a new one costs nothing."""


def simulated_session(
    service: str,
    supplier: str,
    url: str,
    *,
    application_key: bytes,
    gateway_keys: Sequence[bytes],
    now_seconds: int,
    nonce: bytes,
) -> OpenSession:
    """A session as `simv1` names it, with one supplier.

    Args:
        service: its id.
        supplier: operator address; its key is learnt from its signatures.
        url: of its relayer.
        application_key: 33 bytes, pinned by the relayer.
        gateway_keys: 33 bytes each, likewise.
        now_seconds: since 1970.
        nonce: 8 bytes that were not used before.
    """
    header = SessionHeader(
        application_address=address_of(application_key),
        service_id=service,
        session_id=f"simv1:{now_seconds}:{nonce.hex()}",
        session_start_block_height=1,
        session_end_block_height=2,
    )
    return OpenSession(
        header, 1, (application_key, *gateway_keys), {supplier: Endpoint(supplier, url, b"")}
    )
