"""Recorded queries: same status, same words, and same bytes where the state is the genesis'."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from relayminer.devnet.chain import Chain, QueryError
from relayminer.protocol.pb import service_pb2
from tests.devnet.chain import recorded
from tests.vector_data import load

pytestmark = pytest.mark.vectors

HEIGHT = 218
BASE = "/pocket."
# What these answer depends on what happened on the recorded network, or on its clock and peers.
MOVED = frozenset(
    {
        "/cosmos.bank.v1beta1.Query/Balance",
        "/pocket.application.Query/Application",
        "/pocket.application.Query/AllApplications",
        "/pocket.service.Query/RelayMiningDifficulty",
        "/pocket.service.Query/RelayMiningDifficultyAll",
        "/pocket.service.Query/RelayMiningDifficultyAtHeight",
        "/pocket.session.Query/GetSession",
        "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock",
    }
)
# Node services that the simulated chain leaves out.
LEFT_OUT = frozenset(
    {
        "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo",
        "/cosmos.base.node.v1beta1.Service/Status",
        "/cosmos.base.node.v1beta1.Service/Config",
    }
)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """The recorded chain at a height where the queries were asked."""
    made = recorded.make_chain()
    recorded.advance(made, HEIGHT, made.genesis.time_ns + 1000 * recorded.SECOND)
    return made


def decoded(data: str | None) -> bytes:
    """Bytes of a base64 text that may be missing."""
    return base64.b64decode(data or "")


def status_and_text(chain: Chain, sample: Any) -> tuple[int, str]:
    """How the chain ends a recorded call."""
    try:
        chain.query_bytes(sample["method"], decoded(sample["request"]))
    except QueryError as error:
        return int(error.grpc_code), error.text
    return 0, ""


def samples() -> list[Any]:
    """Every hand-made exchange."""
    return [each for each in load("localnet/grpc_extra.json") if each["method"] not in LEFT_OUT]


def test_status_and_texts(chain: Chain) -> None:
    """Every recorded refusal must come with the same status and the same text."""
    refused = 0
    for sample in samples():
        answer = status_and_text(chain, sample)
        assert answer == (sample["status"], sample["status_details"]), sample["method"]
        refused += answer[0] != 0
    assert refused > 10


def test_answers(chain: Chain) -> None:
    """Every recorded answer about what the genesis fixed must have the same bytes."""
    compared = 0
    for sample in samples():
        if sample["status"] == 0 and sample["method"] not in MOVED:
            answer = chain.query_bytes(sample["method"], decoded(sample["request"]))
            assert answer == decoded(sample["response"]), sample["method"]
            compared += 1
    assert compared > 12


def test_base_difficulty(chain: Chain) -> None:
    """A service without history must be answered with the base difficulty at height 0."""
    request = service_pb2.QueryGetRelayMiningDifficultyAtHeightRequest(
        serviceId="develop-http", blockHeight=60
    )
    answer = chain.query(f"{BASE}service.Query/RelayMiningDifficultyAtHeight", request)
    difficulty = answer.relayMiningDifficulty
    assert difficulty.block_height == 0
    assert difficulty.num_relays_ema == 100_000
    assert difficulty.target_hash == b"\xff" * 32
