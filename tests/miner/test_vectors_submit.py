"""What the real chain answers, and what it says about the messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from relayminer.chain.errors import SimulationRefusedError
from relayminer.miner.submit import refusal_of
from tests.vector_data import load

if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.vectors

FAULTS = {
    "claim_wrong_session_id",
    "claim_unknown_service",
    "claim_signer_is_not_a_supplier",
    "unknown_message_type",
}
"""Messages that the chain will never take. Of all other cases the message is not to blame."""


def simulated(case: dict[str, Any]) -> SimulationRefusedError | None:
    """The refusal as the client reads it, of a case whose simulation fails."""
    answer = case["simulate"]
    if not answer["grpc_status"]:
        return None
    details = answer["grpc_details"]
    index = re.search(r"message index: (\d+)", details)
    return SimulationRefusedError(details, int(index[1]) if index else None)


def test_refusals_of_simulations() -> None:
    """Only what is wrong with a message counts against it; windows and money do not."""
    seen = set()
    for case in load("localnet/tx_errors.json"):
        error = simulated(case)
        if error is None:
            continue
        refusal = refusal_of(error)
        assert refusal is not None
        assert refusal.is_message_fault == (case["case"] in FAULTS), case["case"]
        assert refusal.is_shortage == (case["case"] == "insufficient_funds"), case["case"]
        seen.add(case["case"])
    assert seen >= FAULTS
