"""Sessions and windows: printed vectors of wire 16.2, 17.1, 17.2, and what always holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import session as grid
from relayminer.protocol.pb.shared_pb2 import Params
from relayminer.protocol.windows import pending_sessions, session_windows

LOCAL = Params(
    num_blocks_per_session=10,
    grace_period_end_offset_blocks=1,
    claim_window_open_offset_blocks=1,
    claim_window_close_offset_blocks=8,
    proof_window_close_offset_blocks=8,
)
SMALL = st.integers(min_value=0, max_value=60)
PARAMS = st.builds(
    Params,
    num_blocks_per_session=st.integers(min_value=1, max_value=60),
    grace_period_end_offset_blocks=SMALL,
    claim_window_open_offset_blocks=SMALL,
    claim_window_close_offset_blocks=SMALL,
    proof_window_open_offset_blocks=SMALL,
    proof_window_close_offset_blocks=SMALL,
    session_grid_anchor_height=st.integers(min_value=0, max_value=500),
    session_number_at_anchor=st.integers(min_value=0, max_value=50),
)
HEIGHTS = st.integers(min_value=1, max_value=2000)


@pytest.mark.parametrize(
    ("block_hash", "service_id", "start", "expected"),
    [
        (
            "261594ddc3c8afc5b4c63f59ee58e89d3a115bcd164c83fd79349de0b1ffd21d",
            "svc1",
            5,
            "e161348f2153bb41092040c3c287596f8daf98e90986475be21412a1ded945ed",
        ),
        (
            "251665c7cf286a30fbd98acd983c63e9a34efc16496511373405e24eb02a8fb9",
            "svc1",
            9,
            "fea5d6f7544ff6d8af5c22529b2ccf01ed7930b3d454d42dda5ccc0b65b6ebfd",
        ),
        (
            "261594ddc3c8afc5b4c63f59ee58e89d3a115bcd164c83fd79349de0b1ffd21d",
            "svc12",
            5,
            "c01eb8924dbb9dae7cab8ed56016ce8fdd2d23542f9e0b7ca8d6972d3fb45ce5",
        ),
    ],
)
def test_printed_session_ids(block_hash: str, service_id: str, start: int, expected: str) -> None:
    """Session ids of the chain's own tests."""
    application = "pokt1mdccn4u38eyjdxkk4h0jaddw4n3c72u82m5m9e"
    assert grid.session_id(bytes.fromhex(block_hash), service_id, application, start) == expected


def test_composite_session() -> None:
    """Session id and supplier weight of wire 17.2."""
    parts = (
        bytes(range(32)),
        "develop-http",
        "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4",
        11,
    )
    expected = "46cbeb84e7538bd9d69e2fd3298c6a54e878874b9ae36e91a33cc9e06eca5a48"
    assert grid.session_id(*parts) == expected
    weight = grid.supplier_weight(
        grid.session_pre_image(*parts), "pokt19a3t4yunp0dlpfjrp7qwnzwlrzd5fzs2gjaaaj"
    )
    assert weight == -5455999404526124644


def test_local_network_windows() -> None:
    """The windows of the local network's first session."""
    windows = session_windows(LOCAL, 10)
    assert (windows.session_end_height, windows.grace_end_height) == (10, 11)
    assert (windows.claim_open_height, windows.claim_close_height) == (12, 20)
    assert (windows.proof_open_height, windows.proof_close_height) == (20, 28)
    assert (windows.seed_height, windows.settlement_height) == (19, 28)
    assert pending_sessions(LOCAL) == 2


def test_windows_include_both_ends() -> None:
    """Claims count from the first to the last height; at 20 both kinds do."""
    windows = session_windows(LOCAL, 10)
    assert [height for height in range(40) if windows.in_claim_window(height)] == [*range(12, 21)]
    assert [height for height in range(40) if windows.in_proof_window(height)] == [*range(20, 29)]


def test_heights_before_the_chain() -> None:
    """Heights below 1 belong to no session."""
    for height in (0, -5):
        assert grid.session_start(LOCAL, height) == 0
        assert grid.session_end(LOCAL, height) == 0
        assert grid.session_number(LOCAL, height) == 0


@given(PARAMS, HEIGHTS)
def test_grid(params: Params, height: int) -> None:
    """A height lies in its session, whose heights all agree on where it starts and ends."""
    start, end = grid.session_start(params, height), grid.session_end(params, height)
    assert start <= height <= end
    assert end - start == params.num_blocks_per_session - 1
    anchor = params.session_grid_anchor_height
    if anchor and start < anchor <= end:
        return  # the grid that ends at an anchor is cut by it
    assert grid.session_start(params, end) == start
    assert grid.session_end(params, start) == end
    number = grid.session_number(params, height)
    assert number == grid.session_number(params, start) >= 1
    if end + 1 != anchor:
        assert grid.session_number(params, end + 1) == number + 1
        assert grid.session_start(params, end + 1) == end + 1


@given(PARAMS, HEIGHTS)
def test_windows_are_in_order(params: Params, end: int) -> None:
    """Claims open after the session, windows follow each other, settlement closes the last."""
    windows = session_windows(params, end)
    assert end < windows.claim_open_height <= windows.claim_close_height
    assert windows.claim_close_height <= windows.proof_open_height <= windows.proof_close_height
    assert windows.seed_height == windows.proof_open_height - 1
    assert windows.settlement_height == windows.proof_close_height
    later = session_windows(params, end + 1)
    assert later.proof_close_height == windows.proof_close_height + 1
    assert windows.in_claim_window(windows.claim_open_height)
    assert windows.in_claim_window(windows.claim_close_height)
    assert not windows.in_claim_window(windows.claim_open_height - 1)
    assert not windows.in_claim_window(windows.claim_close_height + 1)
    pending = pending_sessions(params) * params.num_blocks_per_session
    assert windows.settlement_height - end - 1 <= pending


@given(
    st.binary(min_size=1, max_size=20),
    st.lists(st.text(max_size=8), unique=True, max_size=12),
    st.integers(min_value=1, max_value=12),
)
def test_selection(pre_image: bytes, candidates: list[str], slots: int) -> None:
    """At most `slots` suppliers serve; the order of the candidates matters only when all do."""
    chosen = grid.select_suppliers(pre_image, candidates, slots)
    assert len(chosen) == min(slots, len(candidates))
    assert set(chosen) <= set(candidates)
    if len(candidates) < slots:
        assert chosen == candidates
        return
    assert chosen == grid.select_suppliers(pre_image, candidates[::-1], slots)
    weights = [grid.supplier_weight(pre_image, each) for each in chosen]
    assert weights == sorted(weights)
