"""Blocks 53, 61, 68 and 198 of the recorded network, replayed: claims, proofs, settlement.

The recording lacks the hashes of blocks 41 and 59, so what is drawn from them (session ids and the
path of proofs) is taken from the transactions; everything else must come out as recorded.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from relayminer.devnet.chain import relay_proofs
from relayminer.devnet.chain.tables import CLAIMS, DIFFICULTIES, SUPPLIERS
from relayminer.devnet.chain.transactions import decode_transaction
from relayminer.protocol.pb import proof_pb2, service_pb2, shared_pb2
from relayminer.smst import decode_proof
from tests.devnet.chain import recorded

if TYPE_CHECKING:
    from relayminer.devnet.chain import Chain, TxResult

pytestmark = pytest.mark.vectors

GAS_TOLERANCE = 0.02
BASE_TARGET = b"\xff" * 32
# Blocks before had their own settlements, and gave the mint module's ratio another supply.
UNRELATED = frozenset({"mint"})


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Chain:
    """The recorded chain just before block 53, knowing the recorded session ids and paths."""
    ids: dict[tuple[str, str], str] = {}
    paths: dict[str, bytes] = {}
    for name in ("claims_53", "proofs_61"):
        for tx in recorded.block(name)[2]:
            for packed in decode_transaction(tx).messages:
                message: Any = packed.message
                header = message.session_header
                ids[header.service_id, header.application_address] = header.session_id
                if isinstance(message, proof_pb2.MsgSubmitProof):
                    paths[header.session_id] = decode_proof(message.proof).path
    monkeypatch.setattr(
        "relayminer.protocol.session.session_id",
        lambda _seed, service_id, application, _start: ids[service_id, application],
    )
    monkeypatch.setattr(relay_proofs, "proof_path", lambda _seed, session_id: paths[session_id])
    chain = recorded.make_chain()
    height, time_ns, _ = recorded.block("claims_53")
    recorded.advance(chain, height - 1, time_ns - recorded.BLOCK_NS)
    return chain


def run_block(chain: Chain, name: str) -> tuple[Any, tuple[TxResult, ...]]:
    """Make the recorded block from its transactions."""
    height, time_ns, txs = recorded.block(name)
    recorded.advance(chain, height - 1, time_ns - recorded.BLOCK_NS)
    recorded.inject(chain, txs)
    made = chain.produce_block(time_ns)
    assert made.txs == tuple(txs)
    return recorded.results(name), chain.block_results(height).tx_results


def assert_tx_results(expected: Any, actual: tuple[TxResult, ...]) -> None:
    """Every transaction as recorded: outcome, data, events; gas nearly."""
    for want, got in zip(expected["txs_results"], actual, strict=True):
        assert (got.code, got.codespace, got.log) == (want["code"], want["codespace"], want["log"])
        assert base64.b64encode(got.data).decode() == (want["data"] or "")
        assert list(got.events) == recorded.events(want["events"])
        assert got.gas_wanted == int(want["gas_wanted"])
        assert got.gas_used == pytest.approx(int(want["gas_used"]), rel=GAS_TOLERANCE)


def assert_block_events(chain: Chain, expected: Any, *, ordered: bool = True) -> None:
    """The block's own events as recorded."""
    want = recorded.events(expected["finalize_block_events"])
    got = list(chain.block_results().finalize_block_events)
    want = [each for each in want if each.type not in UNRELATED and not fee_event(each)]
    got = [each for each in got if each.type not in UNRELATED and not fee_event(each)]
    if ordered:
        assert got == want
    else:
        assert Counter(got) == Counter(want)


def fee_event(event: Any) -> bool:
    """Whether an event speaks of the fees of the block before, which is not part of the replay."""
    return bool(event.value("mode") == "BeginBlock")


def test_claims(replay: Chain) -> None:
    """The claims of block 53 must be taken with the recorded results and events."""
    expected, actual = run_block(replay, "claims_53")
    assert_tx_results(expected, actual)
    assert_block_events(replay, expected)


def test_proofs_and_settlement(replay: Chain) -> None:
    """The proofs of block 61 must hold, and block 68 must settle with the recorded events."""
    run_block(replay, "claims_53")
    expected, actual = run_block(replay, "proofs_61")
    assert_tx_results(expected, actual)
    # The real node checks proofs concurrently: the order of these events is any.
    assert_block_events(replay, expected, ordered=False)
    settlement = recorded.results("settlement_68")
    for each in recorded.events(settlement["finalize_block_events"]):
        if each.type == "pocket.service.EventRelayMiningDifficultyUpdated":
            service_id = (each.value("service_id") or "").strip('"')
            ema = int((each.value("prev_num_relays_ema") or "").strip('"'))
            difficulty = service_pb2.RelayMiningDifficulty(
                service_id=service_id, block_height=61, num_relays_ema=ema, target_hash=BASE_TARGET
            )
            replay.store.set(DIFFICULTIES, service_id, difficulty)
    recorded.advance(replay, 68, recorded.block("settlement_68")[1])
    assert_block_events(replay, settlement)


def test_invalid_proof_expires() -> None:
    """The claim with a forged proof must expire and slash as recorded in block 198."""
    expected = recorded.results("proof_invalid_198")
    wanted = recorded.events(expected["finalize_block_events"])
    (expired,) = (each for each in wanted if each.type.endswith("EventClaimExpired"))

    def text(key: str) -> str:
        return (expired.value(key) or "").strip('"')

    chain = recorded.make_chain()
    recorded.advance(chain, 197, chain.genesis.time_ns + 1000 * recorded.SECOND)
    operator = text("supplier_operator_address")
    supplier = shared_pb2.Supplier()
    supplier.CopyFrom(chain.store.get(SUPPLIERS, operator) or supplier)
    supplier.stake.amount = "1000000000000"
    chain.store.set(SUPPLIERS, operator, supplier)
    claim = proof_pb2.Claim(
        supplier_operator_address=operator,
        root_hash=bytes(32)
        + int(text("num_claimed_compute_units")).to_bytes(8, "big")
        + int(text("num_relays")).to_bytes(8, "big"),
        proof_validation_status=proof_pb2.INVALID,
    )
    header = claim.session_header
    header.application_address = text("application_address")
    header.service_id = text("service_id")
    header.session_id = "ab" * 32
    header.session_start_block_height = 171
    header.session_end_block_height = 180
    chain.store.set(CLAIMS, (header.session_id, operator), claim)
    chain.produce_block(chain.time_ns + recorded.BLOCK_NS)
    assert_block_events(chain, expected)
