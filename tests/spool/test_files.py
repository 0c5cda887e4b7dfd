"""Segments survive what a crash and a disk do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.relayer.spool_file import (
    RECORD_OVERHEAD_BYTES,
    SegmentWriter,
    SpoolRecord,
    parse_segment,
)

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [
    SpoolRecord(b"entry %d" % n, 1_700_000_000_000_000_000 + n, 40 + n, 4_200 * n, n % 2 == 1)
    for n in range(5)
]
DATA = b"".join(record.encode() for record in RECORDS)


def test_a_segment_gives_back_what_was_written(tmp_path: Path) -> None:
    """Every field of every record, in order, over several writes."""
    writer = SegmentWriter(tmp_path / "1.seg")
    for record in RECORDS:
        writer.write(record.encode())
    writer.close()
    contents = parse_segment((tmp_path / "1.seg").read_bytes())
    assert contents.records == RECORDS
    assert contents.torn_bytes == contents.damaged_bytes == 0
    assert writer.size_bytes == sum(RECORD_OVERHEAD_BYTES + len(record.entry) for record in RECORDS)


@given(st.integers(min_value=0, max_value=len(DATA)))
def test_a_torn_tail_costs_only_the_torn_record(size: int) -> None:
    """Cut anywhere, the whole records before the cut are there and nothing else is."""
    contents = parse_segment(DATA[:size])
    assert contents.records == RECORDS[: len(contents.records)]
    assert contents.damaged_bytes == 0
    whole = sum(len(record.encode()) for record in contents.records)
    assert whole + contents.torn_bytes == size
    if len(contents.records) < len(RECORDS):
        assert contents.torn_bytes < len(RECORDS[len(contents.records)].encode())


@given(st.integers(min_value=0, max_value=len(DATA) - 1), st.integers(min_value=1, max_value=255))
def test_a_damaged_byte_costs_only_its_record(at: int, flip: int) -> None:
    """Any byte may rot: the other records are read, and the loss is told in bytes."""
    data = bytearray(DATA)
    data[at] ^= flip
    contents = parse_segment(bytes(data))
    assert len(contents.records) == len(RECORDS) - 1
    assert all(record in RECORDS for record in contents.records)
    assert contents.damaged_bytes + contents.torn_bytes > 0


def test_a_segment_is_never_written_over(tmp_path: Path) -> None:
    """A path that exists is refused: it may be another process's spool."""
    SegmentWriter(tmp_path / "1.seg").close()
    with pytest.raises(FileExistsError):
        SegmentWriter(tmp_path / "1.seg")
