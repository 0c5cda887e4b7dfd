"""Entries of the Go fleet's relayers, as they were recorded, enter tries of ours."""

from __future__ import annotations

from hashlib import sha256

import pytest

from relayminer.miner.entries import sort_entries
from relayminer.state.log_reader import LogEntry
from tests.vector_data import load

pytestmark = pytest.mark.vectors


def test_recorded_relays_are_read() -> None:
    """Every recorded relay is one of its session, under its hash and with its bytes."""
    for case in load("relay_messages.json")["cases"]:
        data = bytes.fromhex(case["mined_relay_message"]["serialized"])
        supplier = case["supplier_operator_address"]
        batch = sort_entries([LogEntry(b"1-0", data)], supplier)
        assert batch.poison == [], case["index"]
        ((info, (relay,)),) = batch.sessions.items()
        header = case["session_header"]
        assert (info.session_id, info.service_id) == (header["session_id"], header["service_id"])
        assert info.application_address == header["application_address"]
        assert info.start_height == int(header["session_start_block_height"])
        assert info.end_height == int(header["session_end_block_height"])
        assert relay.key.hex() == case["mined"]["relay_hash"]
        assert relay.value.hex() == case["mined"]["relay_bytes"]


def test_recorded_entries_without_a_relay_are_kept_apart() -> None:
    """Stream entries whose relay is noise are read field by field, and never become leaves."""
    count = 0
    for case in load("redis_encodings.json")["cases"]:
        if not case["label"].startswith("mined relay stream entry"):
            continue
        count += 1
        ((_, data),) = [case["keys"][0]["value"][0]["fields"]]
        entry = LogEntry(b"1-0", bytes.fromhex(data["hex"]))
        supplier = case["inputs"]["supplier_operator_address"]
        (poison,) = sort_entries([entry], supplier).poison
        assert poison.reason == "the relay bytes are no relay", case["label"]
        assert sha256(bytes.fromhex(case["inputs"]["relay_bytes"])).digest()
    assert count
