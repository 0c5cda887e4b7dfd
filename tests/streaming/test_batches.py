"""Where a stream is cut: every byte once, in order, within the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayminer.relayer.stream_batches import MAX_BATCH_BYTES, MAX_BATCH_LINES, Batches


@given(st.lists(st.binary(max_size=50).map(lambda piece: piece.replace(b"\x00", b"\n"))))
def test_no_byte_is_lost_changed_or_moved(pieces: list[bytes]) -> None:
    """Whatever comes in whatever pieces, the batches are the body."""
    batches = Batches(0.0)
    out = []
    for n, piece in enumerate(pieces):
        out += batches.add(piece, n * 0.03)
        if batches and n % 3 == 0:
            out.append(batches.due(n * 0.03))
    out.append(batches.rest())
    assert b"".join(out) == b"".join(pieces)
    assert all(batch.count(b"\n") <= MAX_BATCH_LINES for batch in out)


def test_a_hundred_lines_are_a_batch() -> None:
    """Cut behind the hundredth newline."""
    batches = Batches(0.0)
    out = batches.add(b"x\n" * 250, 0.0)
    assert out == [b"x\n" * 100, b"x\n" * 100]
    assert batches.rest() == b"x\n" * 50


def test_100_kib_are_a_batch_cut_between_lines() -> None:
    """Behind the last line that fits; a longer line is cut where the limit is."""
    line = b"y" * 60_000 + b"\n"
    batches = Batches(0.0)
    assert batches.add(line * 2, 0.0) == [line]
    assert batches.rest() == line
    assert [len(one) for one in batches.add(b"z" * 250_000, 0.0)] == [MAX_BATCH_BYTES] * 2
    assert len(batches.rest()) == 250_000 - 2 * MAX_BATCH_BYTES


def test_what_comes_after_a_pause_goes_at_once() -> None:
    """Older than 100 ms since the last batch: no need to wait once more."""
    batches = Batches(0.0)
    assert batches.add(b"one\ntw", 0.2) == [b"one\n"]
    assert batches.add(b"o\n", 0.25) == []
    assert batches.due(0.31) == b"two\n"


def test_a_partial_line_waits_once_more_but_not_longer() -> None:
    """Due, complete lines go first; then the part of a line as it is."""
    batches = Batches(0.0)
    assert batches.add(b"one\nhalf", 0.0) == []
    assert batches.due(0.1) == b"one\n"
    assert batches.due(0.2) == b"half"
    assert not batches
