"""The session grid, session ids, and which suppliers serve a session.

Heights are block heights; which epoch's shared parameters to use is the caller's business.

Source: `poktroll: x/shared/types/session.go, x/session/keeper/session_hydrator.go`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.protocol.pb.shared_pb2 import Params

_WEIGHT_BYTES = 8


def session_start(params: Params, height: int) -> int:
    """First height of the session that holds `height`; 0 for heights below 1."""
    if height <= 0:
        return 0
    anchor, _ = _anchor(params, height)
    blocks = params.num_blocks_per_session
    return anchor + (height - anchor) // blocks * blocks


def session_end(params: Params, height: int) -> int:
    """Last height (inclusive) of the session that holds `height`; 0 for heights below 1."""
    if height <= 0:
        return 0
    return session_start(params, height) + params.num_blocks_per_session - 1


def session_number(params: Params, height: int) -> int:
    """Number of the session that holds `height`, from 1; 0 for heights below 1."""
    if height <= 0:
        return 0
    anchor, number = _anchor(params, height)
    return number + (height - anchor) // params.num_blocks_per_session


def session_pre_image(
    block_hash: bytes, service_id: str, application_address: str, session_start_height: int
) -> bytes:
    """What a session id is the hash of.

    Args:
        block_hash: 32 bytes, the hash of the session's start block itself; empty when unknown.
        service_id: the service.
        application_address: bech32 text.
        session_start_height: first height of the session.
    """
    return b".".join(
        (
            block_hash,
            service_id.encode(),
            application_address.encode(),
            session_start_height.to_bytes(8, "little", signed=True),
        )
    )


def session_id(
    block_hash: bytes, service_id: str, application_address: str, session_start_height: int
) -> str:
    """The session id, 64 lower-case hex characters. Arguments as for `session_pre_image`."""
    pre_image = session_pre_image(block_hash, service_id, application_address, session_start_height)
    return hashlib.sha3_256(pre_image).hexdigest()


def supplier_weight(pre_image: bytes, operator_address: str) -> int:
    """Where a supplier stands in the draw for a session: a signed 64-bit integer, lowest first.

    Args:
        pre_image: of the session id, not the id.
        operator_address: bech32 text.
    """
    digest = hashlib.sha3_256(pre_image + b"." + operator_address.encode()).digest()
    return int.from_bytes(digest[:_WEIGHT_BYTES], signed=True)


def select_suppliers(pre_image: bytes, candidates: Iterable[str], slots: int) -> list[str]:
    """The operator addresses that serve a session, in the session's order.

    Args:
        pre_image: of the session id.
        candidates: operator addresses in the chain's store order.
        slots: the parameter `num_suppliers_per_session`. With fewer candidates all serve, in
            store order; otherwise the lowest weights do, in order of weight, ties by address.
    """
    addresses = list(candidates)
    if len(addresses) < slots:
        return addresses
    return sorted(addresses, key=lambda each: (supplier_weight(pre_image, each), each))[:slots]


def _anchor(params: Params, height: int) -> tuple[int, int]:
    """Height and number of the session from which `height` is counted."""
    if 0 < params.session_grid_anchor_height <= height:
        return params.session_grid_anchor_height, max(1, params.session_number_at_anchor)
    return 1, 1
