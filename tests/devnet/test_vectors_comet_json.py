"""CometBFT's recorded answers, read into values and rendered again."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from relayminer.devnet import comet_json
from tests.devnet import recorded
from tests.vector_data import load

pytestmark = pytest.mark.vectors

BLOCKS = ["claims_53", "empty_57", "proofs_61", "settlement_68", "invalid_proof_191"]
RESULTS = ["claims_53", "empty_57", "proofs_61", "settlement_68", "proof_invalid_198"]


def result(name: str) -> Any:
    """The `result` member of a recording."""
    return load(f"localnet/cometbft/{name}.json")["result"]


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name: str) -> None:
    """A recorded block read into a value renders to the same JSON."""
    form = result(f"block_{name}")
    rendered = comet_json.block_json(recorded.block(form))
    assert rendered == form
    assert comet_json.dumps(rendered) == comet_json.dumps(form)


@pytest.mark.parametrize("name", RESULTS)
def test_block_results(name: str) -> None:
    """Recorded block results render to the same JSON, key order included."""
    form = result(f"block_results_{name}")
    rendered = comet_json.block_results_json(recorded.block_results(form))
    assert comet_json.dumps(rendered) == comet_json.dumps(form)


@pytest.mark.parametrize("name", ["claim_single", "proof_multi"])
def test_tx(name: str) -> None:
    """A recorded transaction renders to the same JSON, and its hash is that of its bytes."""
    form = result(f"tx_{name}")
    included = recorded.included_tx(form)
    assert comet_json.dumps(comet_json.tx_json(included)) == comet_json.dumps(form)
    assert comet_json.tx_hash(included.tx) == included.hash


@pytest.mark.parametrize("height", [53, 57, 61, 68])
def test_new_block_event(height: int) -> None:
    """A recorded NewBlock message renders to the same JSON, its composite keys included."""
    message = result(f"ws_newblock_{height}")
    value = message["data"]["value"]
    finalized = value["result_finalize_block"]
    results = recorded.block_results(
        {
            "height": str(height),
            "txs_results": finalized.get("tx_results"),
            "finalize_block_events": finalized["events"],
            "app_hash": finalized["app_hash"],
        }
    )
    rendered = comet_json.new_block_value(recorded.block(value), results)
    assert comet_json.dumps(rendered) == comet_json.dumps(value)
    keys = comet_json.composite_keys(results.finalize_block_events)
    assert {**keys, "tm.event": ["NewBlock"]} == message["events"]


def test_new_block_header_event() -> None:
    """A recorded NewBlockHeader message renders to the same JSON."""
    value = result("ws_newblockheader_57")["data"]["value"]
    rendered = {"header": comet_json.header_json(recorded.header(value["header"]))}
    assert comet_json.dumps(rendered) == comet_json.dumps(value)


def test_tx_event() -> None:
    """A recorded Tx message renders to the same JSON, its composite keys included."""
    message = result("ws_tx")
    form = message["data"]["value"]["TxResult"]
    tx, outcome = base64.b64decode(form["tx"]), recorded.tx_result(form["result"])
    height = int(form["height"])
    rendered = comet_json.tx_value(height, form.get("index", 0), tx, outcome)
    assert comet_json.dumps(rendered) == comet_json.dumps(message["data"]["value"])
    keys = comet_json.composite_keys(outcome.events)
    keys["tx.hash"] = [comet_json.hex_upper(comet_json.tx_hash(tx))]
    keys["tx.height"] = [str(height)]
    assert {**keys, "tm.event": ["Tx"]} == message["events"]
