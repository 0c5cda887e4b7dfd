"""Segments of the spool: append-only files of records that each carry their length and checksum.

Whatever a crash leaves at the end of a file is told apart from a record, and a damaged record in
the middle costs itself, not those behind it. Plain blocking file work; nothing here knows the loop.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAGIC: Final = b"RMs1"
SUFFIX: Final = ".seg"
_MAYBE_LOGGED: Final = 1
_HEAD: Final = struct.Struct(">4sII")
"""Magic, bytes of the body, CRC-32 of the body."""
_BODY: Final = struct.Struct(">QQQB")
"""Time of spooling (ns), height at which the claim window opens, cost (uPOKT), flags."""


@frozen
class SpoolRecord:
    """One relay that waits for the log.

    Attributes:
        entry: the log entry (`pocket.ha.MinedRelayMessage`).
        spooled_at_ns: nanoseconds since 1970.
        claim_open_height: from this height on the miner may have sealed the session.
        cost_upokt: what the relay took from the application's budget.
        maybe_logged: the store may have the entry without our knowing.
    """

    entry: bytes = field(repr=False)
    spooled_at_ns: int
    claim_open_height: int
    cost_upokt: int
    maybe_logged: bool = False

    def encode(self) -> bytes:
        """As it stands in a segment."""
        flags = _MAYBE_LOGGED if self.maybe_logged else 0
        body = (
            _BODY.pack(self.spooled_at_ns, self.claim_open_height, self.cost_upokt, flags)
            + self.entry
        )
        return _HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


RECORD_OVERHEAD_BYTES: Final = _HEAD.size + _BODY.size


@frozen
class SegmentContents:
    """What could be read of a segment.

    Attributes:
        records: in the order of writing.
        torn_bytes: behind the last record: a write that a crash cut short. Nobody was answered
            for it.
        damaged_bytes: between records: what was synced once and cannot be read any more.
    """

    records: Sequence[SpoolRecord]
    torn_bytes: int
    damaged_bytes: int


def parse_segment(data: bytes) -> SegmentContents:
    """All whole records of a segment's bytes."""
    records: list[SpoolRecord] = []
    at = good_until = damaged_bytes = 0
    while True:
        found = _record_at(data, at)
        if found is not None:
            record, end = found
            damaged_bytes += at - good_until
            records.append(record)
            at = good_until = end
            continue
        at = data.find(MAGIC, at + 1)
        if at < 0:
            return SegmentContents(records, len(data) - good_until, damaged_bytes)


def _record_at(data: bytes, at: int) -> tuple[SpoolRecord, int] | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, length, checksum = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    end = start + length
    if magic != MAGIC or length < _BODY.size or end > len(data):
        return None
    if zlib.crc32(data[start:end]) != checksum:
        return None
    spooled_at_ns, claim_open_height, cost_upokt, flags = _BODY.unpack_from(data, start)
    entry = data[start + _BODY.size : end]
    maybe_logged = bool(flags & _MAYBE_LOGGED)
    return SpoolRecord(entry, spooled_at_ns, claim_open_height, cost_upokt, maybe_logged), end


class SegmentWriter:
    """Appends to a new segment; what `write` returned from is on the disk.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        # A file whose name is not on the disk is not on the disk.
        _sync_directory(path.parent)

    def write(self, data: bytes) -> None:
        """Appends whole records and syncs them.

        Raises:
            OSError: none of `data` counts as written; the segment should not be used again.
        """
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError:
            # What was written before is whole; a tail would only be read as torn.
            os.ftruncate(self._descriptor, self.size_bytes)
            raise
        self.size_bytes += len(data)

    def close(self) -> None:
        """No more records."""
        os.close(self._descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
