"""The recorded broken transactions: the same bytes must be refused with the same words.

Where a case depends on a session of the recorded network (whose block hashes are not in the
recording), the session id is taken from the transaction.
"""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from cosmpy.protos.cosmos.tx.v1beta1.service_pb2 import (
    BROADCAST_MODE_SYNC,
    BroadcastTxRequest,
    SimulateRequest,
)
from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import TxBody, TxRaw

from relayminer.devnet.chain import QueryError
from relayminer.devnet.chain.genesis import parse_time
from relayminer.devnet.chain.transactions import decode_transaction
from relayminer.protocol.pb import proof_pb2
from tests.devnet.chain import recorded
from tests.vector_data import load

if TYPE_CHECKING:
    from relayminer.devnet.chain import Chain

pytestmark = pytest.mark.vectors

# The block that CheckTx saw at height 194, from the recorded error of an expired transaction.
HEIGHT = 194
TIME_NS = parse_time("2026-11-21T01:51:12.267802868Z")
GAS_USED = re.compile(r" with gas used: '(\d+)'$")
SENDER = "pokt19a3t4yunp0dlpfjrp7qwnzwlrzd5fzs2gjaaaj"
SENDER_BALANCE = 1_000_006_345_988
FEE = 2000
WRONG_SESSION_ID = "0" * 64


def case_ids(cases: list[Any]) -> dict[tuple[str, int], str]:
    """The recorded session id of a service and a start height, as the messages name it."""
    ids: dict[tuple[str, int], str] = {}
    for case in cases:
        body = TxBody()
        try:
            raw = TxRaw.FromString(base64.b64decode(case["tx_base64"]))
            body.ParseFromString(raw.body_bytes)
            messages = decode_transaction(base64.b64decode(case["tx_base64"])).messages
        except Exception:  # noqa: BLE001, S112 - broken on purpose: it names no session
            continue
        for packed in messages:
            message: Any = packed.message
            if not isinstance(message, proof_pb2.MsgCreateClaim | proof_pb2.MsgSubmitProof):
                continue
            header = message.session_header
            if header.session_id != WRONG_SESSION_ID:
                ids[header.service_id, header.session_start_block_height] = header.session_id
    return ids


def at_case(chain: Chain, case: Any) -> None:
    """Bring the chain to the height and time at which the case was recorded."""
    height = case["height"]
    if chain.height < height:
        recorded.advance(chain, height, TIME_NS + (height - HEIGHT) * recorded.BLOCK_NS)


def simulated(chain: Chain, tx: bytes) -> tuple[int, str]:
    """GRPC status and text of a simulation."""
    try:
        chain.query("/cosmos.tx.v1beta1.Service/Simulate", SimulateRequest(tx_bytes=tx))
    except QueryError as error:
        return int(error.grpc_code), error.text
    return 0, ""


def check_simulation(chain: Chain, case: Any, tx: bytes) -> None:
    """Simulation must end as recorded; gas nearly."""
    want = case["simulate"]
    status, text = simulated(chain, tx)
    details = want["grpc_details"] or ""
    assert (status, GAS_USED.sub("", text)) == (want["grpc_status"], GAS_USED.sub("", details))
    if not text.startswith("failed to execute message"):
        assert text == details


def check_broadcast(chain: Chain, case: Any, tx: bytes) -> bool:
    """Broadcasting must answer as recorded; returns whether the transaction now waits."""
    want = case["broadcast_sync"]["decoded"]
    request = BroadcastTxRequest(tx_bytes=tx, mode=BROADCAST_MODE_SYNC)
    answer = chain.query("/cosmos.tx.v1beta1.Service/BroadcastTx", request).tx_response
    assert answer.txhash == want["txhash"]
    assert (answer.codespace, answer.code, answer.raw_log) == (
        want["codespace"],
        want["code"],
        want["raw_log"],
    )
    return bool(answer.code == 0)


def check_inclusion(chain: Chain, case: Any, tx: bytes) -> None:
    """What the block made of the transaction must be as recorded."""
    want = case["tx_query"]["result"]["tx_result"]
    chain.produce_block(chain.time_ns + recorded.BLOCK_NS)
    included = chain.tx(hashlib.sha256(tx).digest())
    assert included is not None
    got = included.result
    assert got.log == want["log"]
    assert (got.code, got.codespace) == (want["code"], want["codespace"])
    assert list(got.events) == recorded.events(want["events"])
    assert got.gas_wanted == int(want["gas_wanted"])
    if got.ok:
        assert got.gas_used == pytest.approx(int(want["gas_used"]), rel=0.01)


def test_recorded_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """All cases in their recorded order on one chain: same codes, same texts, same events."""
    cases = [each for each in load("localnet/tx_errors.json") if not each["case"].startswith("fee")]
    ids = case_ids(cases)
    monkeypatch.setattr(
        "relayminer.protocol.session.session_id",
        lambda _seed, service_id, _application, start: ids.get((service_id, start), "unknown"),
    )
    chain = recorded.make_chain()
    at_case(chain, cases[0])
    for case in cases:
        at_case(chain, case)
        tx = base64.b64decode(case["tx_base64"])
        if case["case"] == "insufficient_funds":
            # Its fee is taken before the balance is printed.
            recorded.set_balance(chain, SENDER, SENDER_BALANCE + FEE)
        check_simulation(chain, case, tx)
        if check_broadcast(chain, case, tx):
            assert case["tx_query"]["result"]["height"] == str(chain.height + 1)
            check_inclusion(chain, case, tx)


def test_minimum_fees() -> None:
    """A node with a minimum gas price must refuse exactly the fees below it."""
    cases = [each for each in load("localnet/tx_errors.json") if each["case"].startswith("fee")]
    assert len(cases) == 3
    chain = recorded.make_chain(min_gas_price_upokt=Decimal("0.01"))
    for case in cases:
        tx = base64.b64decode(case["tx_base64"])
        timeout_ns = decode_transaction(tx).timeout_ns or 0
        recorded.advance(chain, case["height"], timeout_ns - 120 * recorded.SECOND)
        check_broadcast(chain, case, tx)
