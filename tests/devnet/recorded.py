"""Reads CometBFT's recorded JSON back into the chain's values."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

from relayminer.devnet.chain import (
    Attribute,
    Block,
    BlockId,
    BlockResults,
    Commit,
    CommitSignature,
    Event,
    Header,
    IncludedTx,
    TxResult,
)


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 text."""
    match = re.fullmatch(r"(.{19})(?:\.(\d{1,9}))?Z", text)
    assert match is not None
    seconds = int(datetime.fromisoformat(match[1] + "+00:00").timestamp())
    return seconds * 10**9 + int((match[2] or "").ljust(9, "0"))


def block_id(form: Any) -> BlockId:
    """A block id."""
    parts = form["parts"]
    return BlockId(bytes.fromhex(form["hash"]), parts["total"], bytes.fromhex(parts["hash"]))


def header(form: Any) -> Header:
    """A header."""
    hashes = (
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
    return Header(
        chain_id=form["chain_id"],
        height=int(form["height"]),
        time_ns=nanoseconds(form["time"]),
        last_block_id=block_id(form["last_block_id"]),
        version_block=int(form["version"]["block"]),
        version_app=int(form["version"].get("app", "0")),
        **{name: bytes.fromhex(form[name]) for name in hashes},
    )


def block(form: Any) -> Block:
    """A block from `{"block_id": …, "block": …}`."""
    body = form["block"]
    commit = body["last_commit"]
    signatures = tuple(
        CommitSignature(
            bytes.fromhex(each["validator_address"]),
            nanoseconds(each["timestamp"]),
            base64.b64decode(each["signature"]),
            each["block_id_flag"],
        )
        for each in commit["signatures"]
    )
    return Block(
        header=header(body["header"]),
        block_id=block_id(form["block_id"]),
        txs=tuple(base64.b64decode(tx) for tx in body["data"]["txs"]),
        last_commit=Commit(
            int(commit["height"]), block_id(commit["block_id"]), signatures, commit["round"]
        ),
    )


def events(forms: Any) -> tuple[Event, ...]:
    """Events."""
    return tuple(
        Event(
            form["type"],
            tuple(Attribute(each["key"], each["value"]) for each in form["attributes"]),
        )
        for form in forms or ()
    )


def tx_result(form: Any) -> TxResult:
    """A transaction's result, in full form or with zero members left out."""
    return TxResult(
        code=form.get("code", 0),
        codespace=form.get("codespace", ""),
        log=form.get("log", ""),
        data=base64.b64decode(form.get("data") or ""),
        gas_wanted=int(form.get("gas_wanted", "0")),
        gas_used=int(form.get("gas_used", "0")),
        events=events(form.get("events")),
    )


def block_results(form: Any) -> BlockResults:
    """The result of `block_results`."""
    return BlockResults(
        int(form["height"]),
        tuple(tx_result(each) for each in form["txs_results"] or ()),
        events(form["finalize_block_events"]),
        base64.b64decode(form["app_hash"]),
    )


def included_tx(form: Any) -> IncludedTx:
    """The result of `tx`."""
    return IncludedTx(
        bytes.fromhex(form["hash"]),
        int(form["height"]),
        form["index"],
        base64.b64decode(form["tx"]),
        tx_result(form["tx_result"]),
        0,
    )
