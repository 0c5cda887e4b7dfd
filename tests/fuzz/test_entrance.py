"""PROXY headers, damaged: refused, or read to their last byte."""

from __future__ import annotations

import pytest

from relayminer.net.errors import ProxyHeaderError
from relayminer.net.proxy_protocol import MAX_HEADER_BYTES, parse_proxy_header
from tests.entrance.test_proxy import GOOD, SIGNATURE
from tests.fuzz.campaign import campaign, inputs
from tests.fuzz.mutate import Mutator

pytestmark = pytest.mark.timeout(1_800)  # the full counts take their time

WORDS = (
    SIGNATURE,
    b"PROXY ",
    b"TCP4",
    b"TCP6",
    b"UNKNOWN",
    b"\r\n",
    b" ",
    b"\x21\x11",
    b"\x20\x00",
)


def read_header(data: bytes) -> None:
    """A header, of which no part is taken for the whole."""
    header = parse_proxy_header(data)
    if header is None:
        assert len(data) < MAX_HEADER_BYTES
        return
    assert 0 < header.size <= len(data)
    if header.source is not None:
        address, port = header.source
        assert address
        assert 0 <= port <= 65_535
    for size in {header.size // 2, header.size - 1}:
        assert parse_proxy_header(data[:size]) is None
    assert parse_proxy_header(data[: header.size]) == header


def test_proxy_headers(*, soak: bool) -> None:
    """Both versions."""
    mutator = Mutator("proxy headers", [header + b"GET /" for header in GOOD], WORDS)
    assert campaign(mutator, read_header, count=inputs(soak), allowed=(ProxyHeaderError,))
