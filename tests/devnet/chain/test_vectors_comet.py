"""CometBFT's hashes over the recorded blocks."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from nacl.signing import VerifyKey

from relayminer.devnet.chain import BlockId, Commit, CommitSignature, Header, comet
from relayminer.devnet.chain.genesis import parse_time
from relayminer.devnet.chain.mempool import BLOCK_BYTES_MAX
from tests.vector_data import load

pytestmark = pytest.mark.vectors

BLOCKS = ("claims_53", "empty_57", "proofs_61", "settlement_68", "invalid_proof_191", "latest")


def block_id(recorded: Any) -> BlockId:
    """A recorded block id."""
    parts = recorded["parts"]
    return BlockId(bytes.fromhex(recorded["hash"]), parts["total"], bytes.fromhex(parts["hash"]))


def header(recorded: Any) -> Header:
    """A recorded header."""
    hashes: dict[str, Any] = {
        name: bytes.fromhex(recorded[name])
        for name in (
            "last_commit_hash",
            "data_hash",
            "validators_hash",
            "next_validators_hash",
            "consensus_hash",
            "app_hash",
            "last_results_hash",
            "evidence_hash",
            "proposer_address",
        )
    }
    return Header(
        chain_id=recorded["chain_id"],
        height=int(recorded["height"]),
        time_ns=parse_time(recorded["time"]),
        last_block_id=block_id(recorded["last_block_id"]),
        version_block=int(recorded["version"]["block"]),
        **hashes,
    )


def commit(recorded: Any) -> Commit:
    """A recorded commit."""
    return Commit(
        int(recorded["height"]),
        block_id(recorded["block_id"]),
        tuple(
            CommitSignature(
                bytes.fromhex(each["validator_address"]),
                parse_time(each["timestamp"]),
                base64.b64decode(each["signature"]),
                each["block_id_flag"],
            )
            for each in recorded["signatures"]
        ),
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_block_id(name: str) -> None:
    """Header hash, part hash, data hash and commit hash of a recorded block must come out."""
    result = load(f"localnet/cometbft/block_{name}.json")["result"]
    block = result["block"]
    made_header, last_commit = header(block["header"]), commit(block["last_commit"])
    txs = [base64.b64decode(each) for each in block["data"]["txs"]]
    assert comet.block_id_of(made_header, txs, last_commit) == block_id(result["block_id"])
    assert comet.data_hash(txs) == made_header.data_hash
    assert comet.commit_hash(last_commit) == made_header.last_commit_hash
    assert comet.consensus_hash(BLOCK_BYTES_MAX, -1) == made_header.consensus_hash


def test_validators_hash_and_signature() -> None:
    """The recorded validator set's hash and address must come out of its key and power."""
    status = load("localnet/cometbft/status.json")["result"]["validator_info"]
    key = base64.b64decode(status["pub_key"]["value"])
    block = load("localnet/cometbft/block_empty_57.json")["result"]["block"]
    power = int(status["voting_power"])
    assert comet.validators_hash(key, power).hex().upper() == block["header"]["validators_hash"]
    last = commit(block["last_commit"])
    message = comet.commit_sign_bytes(
        block["header"]["chain_id"], last.height, last.block_id, last.signatures[0].timestamp_ns
    )
    VerifyKey(key).verify(message, last.signatures[0].signature)
