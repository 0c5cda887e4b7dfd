"""The session state machine and the compute-unit guard, against recorded decisions."""

from __future__ import annotations

import pytest

from relayminer.miner.lifecycle import SessionState, decide
from relayminer.protocol.pb.shared_pb2 import Params
from relayminer.protocol.reward import is_consistent
from relayminer.protocol.windows import session_windows
from tests.vector_data import load

pytestmark = pytest.mark.vectors


def test_every_recorded_decision() -> None:
    """State, height and parameters give the transition and the reason that the Go miner gave."""
    rows = 0
    for case in load("session_transitions.json")["cases"]:
        windows = session_windows(Params(**case["params"]), case["session_end_height"])
        for row in case["rows"]:
            decision = decide(SessionState(row["state"]), row["height"], windows)
            assert (decision.new_state or "") == row["new_state"], row
            assert decision.action == row["action"], row
            rows += 1
    assert rows > 0


def test_every_recorded_guard_check() -> None:
    """A claim passes the compute-unit guard exactly when the Go miner lets it pass."""
    checks = load("metering.json")["cupr_guard"]
    assert checks
    for check in checks:
        total, count = int(check["sum"]), int(check["count"])
        root = bytes(32) + total.to_bytes(8, "big") + count.to_bytes(8, "big")
        assert is_consistent(root, int(check["cupr"])) is check["consistent"], check
