"""Relay mining difficulty: which relays count, and how the target follows the volume.

Source: `poktroll: pkg/crypto/protocol/relay_difficulty.go`,
`x/service/keeper/update_relay_mining_difficulty.go`.
"""

from __future__ import annotations

from relayminer.protocol.errors import AmountError

TARGET_LENGTH = 32
# The easiest target: every relay counts (but one hash that nobody will ever see).
BASE_TARGET = b"\xff" * TARGET_LENGTH
MAX_TARGET = 2**256 - 1

# The smoothing factor of the moving average: the double nearest to 0.1, and one minus it.
_ALPHA_BITS = 55
_ALPHA = 3602879701896397
_BETA = (1 << _ALPHA_BITS) - _ALPHA
_MANTISSA_BITS = 64


def is_applicable(relay_hash: bytes, target: bytes) -> bool:
    """Whether a relay counts: its hash lies strictly below the target, both 32 bytes."""
    return relay_hash < target


def scale_target(target_num_relays: int, relays_ema: int) -> bytes:
    """The target (32 bytes) that lets about `target_num_relays` of `relays_ema` relays count.

    Raises:
        AmountError: `relays_ema` is 0; the chain panics.
    """
    if relays_ema == 0:
        raise AmountError("no difficulty for an average of no relays")
    target = MAX_TARGET * target_num_relays // relays_ema
    return min(target, MAX_TARGET).to_bytes(TARGET_LENGTH)


def update_ema(previous_ema: int, num_relays: int) -> int:
    """The moving average of relays per session after one that had `num_relays`.

    The chain computes with 64-bit mantissas and truncates, which can come out one below the
    decimal answer: 100000 and then none gives 89999.
    """
    # All terms are integers over 2^55, so rounding to 64 bits is all there is of floating point.
    total = _round(_ALPHA * num_relays) + _round(_BETA * previous_ema)
    return _round(total) >> _ALPHA_BITS


def _round(value: int) -> int:
    """`value` rounded to 64 significant bits, ties to even."""
    surplus = value.bit_length() - _MANTISSA_BITS
    if surplus <= 0:
        return value
    half = 1 << surplus - 1
    kept, rest = value >> surplus, value & (half << 1) - 1
    if rest > half or (rest == half and kept & 1):
        kept += 1
    return kept << surplus
