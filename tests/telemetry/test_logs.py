"""Logs that nobody has to wait for."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import structlog

from relayminer.telemetry.log_writer import LogWriter, Sampling
from relayminer.telemetry.logs import set_up_logs
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 20.0


class SlowReader(io.StringIO):
    """A stream whose reader does nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()
        self.asked = threading.Event()

    def write(self, text: str) -> int:
        """Wait for the reader."""
        self.asked.set()
        assert self.reads.wait(WAIT_SECONDS)
        return super().write(text)


def test_a_reader_that_stands_still_holds_up_nobody() -> None:
    """Lines beyond the bound are dropped, counted, and told when the reader goes on."""
    out = SlowReader()
    writer = LogWriter(out, max_lines=10)
    metrics = Metrics()
    writer.show(metrics)
    writer.write("first\n")
    assert out.asked.wait(WAIT_SECONDS)
    for number in range(25):
        writer.write(f"line {number}\n")
    assert writer.dropped == 15
    assert "relayminer_log_lines_dropped 15.0" in metrics.page().decode()
    out.reads.set()
    writer.close()
    lines = out.getvalue().splitlines()
    assert lines[:11] == ["first", *(f"line {number}" for number in range(10))]
    told = json.loads(lines[11])
    assert (told["event"], told["count"]) == ("log_lines_dropped", 15)


def test_a_reader_that_is_gone_ends_nothing() -> None:
    """A closed pipe loses lines, and the process goes on."""
    read, write = os.pipe()
    os.close(read)
    pipe = os.fdopen(write, "w", buffering=1)
    try:
        writer = LogWriter(pipe, max_lines=10)
        writer.write("nobody hears this\n")
        writer.close()
        assert writer.dropped == 1
    finally:
        # What it still holds cannot be written by closing it either.
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def test_masses_of_one_event_are_thinned_out() -> None:
    """The first ones of a second pass, then one of several; other events are not touched."""
    sampling = Sampling(initial=3, thereafter=4)
    passed = [number for number in range(1, 16) if sampling.passes("relay", 100.5)]
    assert passed == [1, 2, 3, 7, 11, 15]
    assert sampling.passes("other", 100.6)
    assert sampling.passes("relay", 101.0)


def logged(out: io.StringIO) -> Iterator[dict[str, Any]]:
    """Lines as data."""
    for line in out.getvalue().splitlines():
        yield json.loads(line)


def test_warnings_are_never_thinned_out() -> None:
    """Only debug and info are."""
    out = io.StringIO()
    set_up_logs("debug", "json", out, sampling=Sampling(1, 1_000_000), caller=True)
    log = structlog.get_logger("test")
    for _ in range(5):
        log.info("often")
        log.warning("trouble")
    events = [line["event"] for line in logged(out)]
    assert events.count("often") == 1
    assert events.count("trouble") == 5
    assert all(line["pathname"].endswith("test_logs.py") for line in logged(out))


def test_lines_reach_the_stream_in_order() -> None:
    """Through the thread that writes them."""
    out = io.StringIO()
    writer = set_up_logs("info", "json", out, buffer_lines=1_000)
    assert writer is not None
    log = structlog.get_logger("test")
    for number in range(100):
        log.info("line", number=number, private_key=b"x" * 32)
    writer.close()
    lines = list(logged(out))
    assert [line["number"] for line in lines] == list(range(100))
    assert lines[0]["private_key"] == "(hidden)"
