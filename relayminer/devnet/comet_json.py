"""The JSON forms of CometBFT's RPC (cometbft: libs/json, rpc/core/types/responses.go).

64-bit integers are strings, hashes upper-case hex, bytes base64, times RFC 3339 with nanoseconds.
Every function turns a value of the chain into JSON-ready Python values with the key order of the
real answers.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relayminer.devnet.chain import (
        Block,
        BlockId,
        BlockResults,
        Commit,
        Event,
        Header,
        IncludedTx,
        TxResult,
    )

Json = dict[str, Any]

NANOSECONDS_PER_SECOND = 1_000_000_000

CONSENSUS_PARAM_UPDATES: Json = {
    "block": {"max_bytes": "22020096", "max_gas": "-1"},
    "evidence": {
        "max_age_num_blocks": "100000",
        "max_age_duration": "172800000000000",
        "max_bytes": "1048576",
    },
    "validator": {"pub_key_types": ["ed25519"]},
    "version": {},
    "abci": {},
}
"""What the real application returns with every block (wire.md 16.1)."""


def dumps(value: Any, *, indent: int | None = None) -> str:
    """JSON as Go writes it: no spaces, `<`, `>` and `&` escaped, other text as it is."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def hex_upper(data: bytes) -> str:
    """A hash or an address."""
    return data.hex().upper()


def base64_text(data: bytes) -> str:
    """A byte slice."""
    return base64.b64encode(data).decode("ascii")


def tx_hash(tx: bytes) -> bytes:
    """The 32-byte hash that names a transaction."""
    return sha256(tx).digest()


def time_text(time_ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC, trailing zeros of the fraction dropped."""
    seconds, fraction_ns = divmod(time_ns, NANOSECONDS_PER_SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{fraction_ns:09d}".rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"


def block_id_json(block_id: BlockId) -> Json:
    """Hash of the header, number and hash of the parts."""
    return {
        "hash": hex_upper(block_id.hash),
        "parts": {"total": block_id.parts_total, "hash": hex_upper(block_id.parts_hash)},
    }


def header_json(header: Header) -> Json:
    """A block header."""
    version = {"block": str(header.version_block)}
    if header.version_app:
        version["app"] = str(header.version_app)
    return {
        "version": version,
        "chain_id": header.chain_id,
        "height": str(header.height),
        "time": time_text(header.time_ns),
        "last_block_id": block_id_json(header.last_block_id),
        "last_commit_hash": hex_upper(header.last_commit_hash),
        "data_hash": hex_upper(header.data_hash),
        "validators_hash": hex_upper(header.validators_hash),
        "next_validators_hash": hex_upper(header.next_validators_hash),
        "consensus_hash": hex_upper(header.consensus_hash),
        "app_hash": hex_upper(header.app_hash),
        "last_results_hash": hex_upper(header.last_results_hash),
        "evidence_hash": hex_upper(header.evidence_hash),
        "proposer_address": hex_upper(header.proposer_address),
    }


def commit_json(commit: Commit) -> Json:
    """The signatures on the previous block."""
    return {
        "height": str(commit.height),
        "round": commit.round,
        "block_id": block_id_json(commit.block_id),
        "signatures": [
            {
                "block_id_flag": each.block_id_flag,
                "validator_address": hex_upper(each.validator_address),
                "timestamp": time_text(each.timestamp_ns),
                "signature": base64_text(each.signature),
            }
            for each in commit.signatures
        ],
    }


def block_body_json(block: Block) -> Json:
    """The `block` member: header, transactions, evidence, last commit."""
    return {
        "header": header_json(block.header),
        "data": {"txs": [base64_text(tx) for tx in block.txs]},
        "evidence": {"evidence": []},
        "last_commit": commit_json(block.last_commit),
    }


def block_json(block: Block) -> Json:
    """The result of `block`."""
    return {"block_id": block_id_json(block.block_id), "block": block_body_json(block)}


def event_json(event: Event) -> Json:
    """One ABCI event."""
    return {
        "type": event.type,
        "attributes": [
            {"key": each.key, "value": each.value, "index": True} for each in event.attributes
        ],
    }


def events_json(events: Iterable[Event]) -> list[Json]:
    """Several ABCI events."""
    return [event_json(event) for event in events]


def tx_result_json(result: TxResult) -> Json:
    """A transaction's result in full form, as in `tx` and `block_results`."""
    return {
        "code": result.code,
        "data": base64_text(result.data) if result.data else None,
        "log": result.log,
        "info": "",
        "gas_wanted": str(result.gas_wanted),
        "gas_used": str(result.gas_used),
        "events": events_json(result.events),
        "codespace": result.codespace,
    }


def tx_json(included: IncludedTx) -> Json:
    """The result of `tx`."""
    return {
        "hash": hex_upper(included.hash),
        "height": str(included.height),
        "index": included.index,
        "tx_result": tx_result_json(included.result),
        "tx": base64_text(included.tx),
    }


def block_results_json(results: BlockResults) -> Json:
    """The result of `block_results`; empty lists are `null`, as Go's nil slices are."""
    return {
        "height": str(results.height),
        "txs_results": [tx_result_json(each) for each in results.tx_results] or None,
        "finalize_block_events": events_json(results.finalize_block_events) or None,
        "validator_updates": None,
        "consensus_param_updates": CONSENSUS_PARAM_UPDATES,
        "app_hash": base64_text(results.app_hash),
    }


def new_block_value(block: Block, results: BlockResults) -> Json:
    """The value of a `NewBlock` event."""
    return {
        "block": block_body_json(block),
        "block_id": block_id_json(block.block_id),
        "result_finalize_block": _finalize_json(results),
    }


def _finalize_json(results: BlockResults) -> Json:
    form: Json = {"events": events_json(results.finalize_block_events)}
    if results.tx_results:  # the protobuf form of an empty list is no member at all
        form["tx_results"] = [tx_result_json(each) for each in results.tx_results]
    form["validator_updates"] = []
    form["consensus_param_updates"] = CONSENSUS_PARAM_UPDATES
    form["app_hash"] = base64_text(results.app_hash)
    return form


def new_block_events_value(block: Block, results: BlockResults) -> Json:
    """The value of a `NewBlockEvents` event."""
    return {
        "height": str(block.height),
        "events": events_json(results.finalize_block_events),
        "num_txs": str(len(block.txs)),
    }


def tx_value(height: int, index: int, tx: bytes, result: TxResult) -> Json:
    """The value of a `Tx` event; zero members are left out, as in Go's `omitempty`."""
    form: Json = {"height": str(height)}
    if index:
        form["index"] = index
    form["tx"] = base64_text(tx)
    full = tx_result_json(result)
    full["gas_wanted"] = full["gas_wanted"] if result.gas_wanted else ""
    full["gas_used"] = full["gas_used"] if result.gas_used else ""
    form["result"] = {key: value for key, value in full.items() if value}
    return {"TxResult": form}


def composite_keys(events: Sequence[Event]) -> dict[str, list[str]]:
    """Events as subscriptions match them: `type.key` to all values, in order."""
    keys: dict[str, list[str]] = {}
    for event in events:
        for attribute in event.attributes:
            keys.setdefault(f"{event.type}.{attribute.key}", []).append(attribute.value)
    return keys
