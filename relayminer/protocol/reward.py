"""What a claim is worth. Exact rational arithmetic, floored once, at the end.

A root is 48 bytes: digest (32), sum of compute units (8, big-endian), count of relays (8).

Source: `poktroll: x/proof/types/claim.go`, `pkg/crypto/protocol/relay_difficulty.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.protocol.difficulty import MAX_TARGET
from relayminer.protocol.errors import AmountError

if TYPE_CHECKING:
    from relayminer.protocol.pb.shared_pb2 import Params

ROOT_LENGTH = 48
_DIGEST_LENGTH = 32
_FIELD_LENGTH = 8
_UINT64 = 2**64
# The largest integer of the SDK.
MAX_AMOUNT = 2**256 - 1


def root_sum(root: bytes) -> int:
    """Compute units under a 48-byte root.

    Raises:
        AmountError: another length.
    """
    return int.from_bytes(_checked(root)[_DIGEST_LENGTH : _DIGEST_LENGTH + _FIELD_LENGTH])


def root_count(root: bytes) -> int:
    """Relays under a 48-byte root.

    Raises:
        AmountError: another length.
    """
    return int.from_bytes(_checked(root)[_DIGEST_LENGTH + _FIELD_LENGTH :])


def estimated_compute_units(root: bytes, target: bytes) -> int:
    """Compute units served, counting the relays that difficulty kept out; modulo 2^64.

    Args:
        root: 48 bytes.
        target: 32 bytes, of the service at session start.

    Raises:
        AmountError: a root of another length or a zero target.
    """
    return root_sum(root) * MAX_TARGET // _target(target) % _UINT64


def estimated_relays(root: bytes, target: bytes) -> int:
    """Relays served, counting those that difficulty kept out. Arguments and errors as above."""
    count = root_count(root)
    per_relay = root_sum(root) // count if count else 0
    return estimated_compute_units(root, target) // per_relay if per_relay else 0


def claimed_upokt(root: bytes, target: bytes, params: Params) -> int:
    """The amount in uPOKT that a claim of `root` asks for.

    Args:
        root: 48 bytes.
        target: 32 bytes, of the service at session start.
        params: the shared parameters in force at session start.

    Raises:
        AmountError: a root of another length, a zero target or granularity, or an amount above
            2^256 - 1; the chain refuses or panics.
    """
    if params.compute_unit_cost_granularity == 0:
        raise AmountError("the compute unit cost granularity is 0")
    amount = (
        root_sum(root)
        * MAX_TARGET
        * params.compute_units_to_tokens_multiplier
        // (_target(target) * params.compute_unit_cost_granularity)
    )
    if amount > MAX_AMOUNT:
        raise AmountError("a claimed amount beyond 256 bits")
    return amount


def is_consistent(root: bytes, compute_units_per_relay: int) -> bool:
    """Whether the chain can accept a claim of `root`: every relay weighs the service's units.

    An unknown weight (0) passes: the chain will say.

    Args:
        root: 48 bytes.
        compute_units_per_relay: of the service at session start.
    """
    if compute_units_per_relay == 0:
        return True
    return root_sum(root) == root_count(root) * compute_units_per_relay % _UINT64


def _checked(root: bytes) -> bytes:
    if len(root) != ROOT_LENGTH:
        raise AmountError(f"a root of {len(root)} bytes, not {ROOT_LENGTH}")
    return root


def _target(target: bytes) -> int:
    value = int.from_bytes(target)
    if value == 0:
        raise AmountError("a difficulty target of 0")
    return value
