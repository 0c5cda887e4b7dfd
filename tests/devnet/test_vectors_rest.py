"""The REST form of recorded transactions: what the chain itself reads in their bytes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import Tx
from google.protobuf import json_format

from relayminer.devnet import comet_json
from tests.devnet import recorded
from tests.vector_data import load

pytestmark = pytest.mark.vectors

RECORDINGS = [
    ("tx_rest_claim_single.json", "tx_claim_single.json"),
    ("tx_rest_proof_multi.json", "tx_proof_multi.json"),
]


def without_nothing(value: Any) -> Any:
    """The value without members that are null or empty: the two JSON writers differ in those."""
    if isinstance(value, dict):
        members = {key: without_nothing(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in (None, "", [], {})}
    if isinstance(value, list):
        return [without_nothing(member) for member in value]
    return value


@pytest.mark.parametrize(("rest_name", "rpc_name"), RECORDINGS)
def test_the_bytes_say_what_rest_says(rest_name: str, rpc_name: str) -> None:
    """The transaction's bytes decode to the very fields of the chain's own JSON."""
    rest = load(f"localnet/cometbft/{rest_name}")
    data = base64.b64decode(load(f"localnet/cometbft/{rpc_name}")["result"]["tx"])
    form = json_format.MessageToDict(
        Tx.FromString(data),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    assert without_nothing(form) == without_nothing(rest["tx"])


@pytest.mark.parametrize(("rest_name", "rpc_name"), RECORDINGS)
def test_both_forms_of_the_result_agree(rest_name: str, rpc_name: str) -> None:
    """REST's tx_response and RPC's tx_result are one result: codes, gas, data, events, time."""
    response = load(f"localnet/cometbft/{rest_name}")["tx_response"]
    included = recorded.included_tx(load(f"localnet/cometbft/{rpc_name}")["result"])
    result = included.result
    assert response["txhash"] == comet_json.hex_upper(included.hash)
    assert int(response["height"]) == included.height
    assert (response["code"], response["codespace"]) == (result.code, result.codespace)
    assert bytes.fromhex(response["data"]) == result.data
    assert int(response["gas_wanted"]) == result.gas_wanted
    assert int(response["gas_used"]) == result.gas_used
    assert response["events"] == comet_json.events_json(result.events)
    block = load(f"localnet/cometbft/block_{rpc_name.split('_')[1]}s_{included.height}.json")
    header = recorded.header(block["result"]["block"]["header"])
    seconds, nanoseconds = divmod(header.time_ns, 10**9)
    assert nanoseconds > 0
    assert response["timestamp"] == comet_json.time_text(seconds * 10**9)
