"""Multiples of points that come again with every relay, computed ahead.

The applications and gateways that a relayer serves are few, and each verification multiplies the
same points: their keys, the keys hashed to the curve, the signer's key image. With 32 rows of 255
multiples each, a product is the sum of at most 32 table entries, and the library adds the entries
of two products in one call: 27 us where two multiplications and an addition take 65.

A table costs half a MiB and about 25 ms, so only points that were used often get one, built a row
at a time along with the verifications that will profit.
"""

from __future__ import annotations

from array import array
from typing import Any, TypeAlias

from attrs import define, field, frozen
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from relayminer.protocol import curve

# A window is one byte of the scalar, so that its bytes are the digits.
ROWS = curve.SCALAR_LENGTH
DIGITS = 256
POINT_BYTES = 64
ROW_BYTES = DIGITS * POINT_BYTES
# Tables hand out addresses as 64-bit integers.
POINTER_BYTES = 8

DEFAULT_MAX_TABLES = 64
# About a quarter of the uses that pay for a table.
DEFAULT_HOT_USES = 500
DEFAULT_IDLE_ROUNDS = 200_000
# Points that are counted; when there are more, counting starts anew.
MAX_COUNTED = 8192

Name: TypeAlias = bytes
_context = GLOBAL_CONTEXT.ctx
_GENERATOR_NAME = b"G"


@define(eq=False)
class _Table:
    """The multiples `digit * 256^row * point`, row by row; digit 0 stays unused."""

    entries: Any
    row_addresses: tuple[int, ...]
    next_base: curve.Point
    rows_built: int = 0
    last_round: int = 0

    @classmethod
    def of(cls, point: curve.Point) -> _Table:
        entries = ffi.new("secp256k1_pubkey[]", ROWS * DIGITS)
        start = int(ffi.cast("uintptr_t", entries))
        return cls(entries, tuple(start + ROW_BYTES * row for row in range(ROWS)), point)

    @property
    def is_ready(self) -> bool:
        return self.rows_built == ROWS

    def build_row(self) -> None:
        """Fill the next row, by additions only: about 0.8 ms."""
        row = self.entries + DIGITS * self.rows_built
        row[1] = self.next_base[0]
        following = ffi.new("secp256k1_pubkey *")
        for digit in range(2, DIGITS + 1):
            # The entry behind the last is the first of the next row.
            target = row + digit if digit < DIGITS else following
            terms = ffi.new("secp256k1_pubkey *[2]", (row + digit - 1, self.next_base))
            lib.secp256k1_ec_pubkey_combine(_context, target, terms, 2)
        self.next_base = following
        self.rows_built += 1

    def addresses(self, scalar: int) -> list[int]:
        """Where the entries lie that add up to `scalar * point`."""
        return [
            row + digit * POINT_BYTES
            for row, digit in zip(
                self.row_addresses, scalar.to_bytes(curve.SCALAR_LENGTH, "little"), strict=True
            )
            if digit
        ]


@frozen
class Factor:
    """A point to be multiplied, and its table where there is one."""

    point: curve.Point
    table: _Table | None


@define(eq=False)
class PointTables:
    """The tables of one process. Not for several threads at once.

    Attributes:
        max_tables: how many points may have one; each takes half a MiB.
        hot_uses: how often a point must have come before it gets one.
        idle_rounds: a full set takes in another point once one of its own was not used for so
            many verifications.
    """

    max_tables: int = DEFAULT_MAX_TABLES
    hot_uses: int = DEFAULT_HOT_USES
    idle_rounds: int = DEFAULT_IDLE_ROUNDS
    _tables: dict[Name, _Table] = field(factory=dict, init=False)
    _uses: dict[Name, int] = field(factory=dict, init=False)
    _round: int = field(default=0, init=False)
    _may_build: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if ffi.sizeof("void *") != POINTER_BYTES:
            self.max_tables = 0

    @property
    def num_ready(self) -> int:
        """How many points have a complete table."""
        return sum(table.is_ready for table in self._tables.values())

    def begin(self) -> None:
        """Start a verification: at most one row is built in each."""
        self._round += 1
        self._may_build = True

    def factor(self, name: Name, point: curve.Point) -> Factor:
        """`point` with its table, if that is complete. Equal points need equal names."""
        table = self._tables.get(name)
        if table is None:
            self._count(name, point)
            return Factor(point, None)
        table.last_round = self._round
        if table.is_ready:
            return Factor(point, table)
        if self._may_build:
            self._may_build = False
            table.build_row()
        return Factor(point, None)

    def combine(
        self, left: Factor, left_scalar: int, right: Factor, right_scalar: int
    ) -> curve.Point | None:
        """`left_scalar * left + right_scalar * right`."""
        if left.table is None or right.table is None:
            return curve.combine(left.point, left_scalar, right.point, right_scalar)
        addresses = array("Q", left.table.addresses(left_scalar))
        addresses.extend(right.table.addresses(right_scalar))
        total: curve.Point = ffi.new("secp256k1_pubkey *")
        terms = ffi.cast("secp256k1_pubkey **", ffi.from_buffer(addresses))
        # No entry is at infinity, so only the sum can be: then the library fails. It refuses an
        # empty list by ending the process.
        if addresses and lib.secp256k1_ec_pubkey_combine(_context, total, terms, len(addresses)):
            return total
        return None

    def combine_base(
        self, base_scalar: int, key: curve.RingKey, factor: Factor, key_scalar: int
    ) -> curve.Point | None:
        """`base_scalar * G + key_scalar * key`; `factor` is of the key's point."""
        if factor.table is not None:
            generator = self.factor(_GENERATOR_NAME, curve.GENERATOR)
            if generator.table is not None:
                return self.combine(generator, base_scalar, factor, key_scalar)
        return curve.combine_base(base_scalar, key, key_scalar)

    def _count(self, name: Name, point: curve.Point) -> None:
        """Note a use of a point without table, and give it one when it has come often."""
        uses = self._uses.get(name, 0) + 1
        if uses <= self.hot_uses:
            if len(self._uses) >= MAX_COUNTED and name not in self._uses:
                self._uses.clear()
            self._uses[name] = uses
            return
        if len(self._tables) >= self.max_tables:
            if not self._tables:
                return
            oldest = min(self._tables, key=lambda each: self._tables[each].last_round)
            if self._round - self._tables[oldest].last_round < self.idle_rounds:
                # All are in use: another count before the next look.
                self._uses[name] = 0
                return
            del self._tables[oldest]
        self._uses.pop(name, None)
        self._tables[name] = _Table.of(point)
        self._tables[name].last_round = self._round
