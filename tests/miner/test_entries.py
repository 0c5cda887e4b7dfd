"""Decoding and checking log entries."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from relayminer.miner.entries import SessionInfo, contradiction, sort_entries
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.state.log_reader import LogEntry

SUPPLIER = "pokt1supplier"


def message(**changes: Any) -> bytes:
    """A relay as a relayer logs it."""
    value = changes.pop("relay_bytes", b"a relay")
    fields: dict[str, Any] = {
        "relay_hash": sha256(value).digest(),
        "relay_bytes": value,
        "compute_units_per_relay": 7,
        "session_id": "ab" * 32,
        "session_start_height": 11,
        "session_end_height": 20,
        "supplier_operator_address": SUPPLIER,
        "service_id": "svc",
        "application_address": "pokt1app",
    }
    return MinedRelayMessage(**{**fields, **changes}).SerializeToString()


def test_entries_are_grouped_by_session_in_order() -> None:
    """Relays of one session come together, in the order of the stream."""
    data = [message(relay_bytes=b"%d" % n, session_id="ab" * 31 + f"{n % 2:02}") for n in range(6)]
    batch = sort_entries([LogEntry(b"%d-0" % n, one) for n, one in enumerate(data)], SUPPLIER)
    assert batch.poison == []
    values = {info.session_id[-1]: relays for info, relays in batch.sessions.items()}
    assert [relay.value for relay in values["0"]] == [b"0", b"2", b"4"]
    assert [relay.value for relay in values["1"]] == [b"1", b"3", b"5"]
    assert all(relay.key == sha256(relay.value).digest() for relay in values["0"])


def test_a_missing_hash_is_computed() -> None:
    """An entry without a relay hash is as good as one with the right hash."""
    batch = sort_entries([LogEntry(b"1-0", message(relay_hash=b""))], SUPPLIER)
    (relays,) = batch.sessions.values()
    assert relays[0].key == sha256(b"a relay").digest()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no data field"),
        (b"\xff\xff", "not a mined relay message"),
        (message(supplier_operator_address="pokt1other"), "supplier is not the stream's"),
        (message(relay_bytes=b"", relay_hash=b""), "no relay bytes"),
        (message(relay_hash=b"x" * 32), "relay hash is not the SHA-256 of the relay bytes"),
        (message(session_id=""), "a name is missing"),
        (message(service_id=""), "a name is missing"),
        (message(session_id="a:b"), "session id would break key names"),
        (message(session_start_height=0), "session heights make no session"),
        (message(session_end_height=10), "session heights make no session"),
        (message(session_end_height=2**60), "session heights make no session"),
        (b'"\x02\xff\xfe' + message(session_id="")[0:0] + message(session_id=""), "name is not"),
    ],
)
def test_poison_is_told_apart(data: bytes | None, reason: str) -> None:
    """What cannot be used is named with its reason, and the entries around it are used."""
    entries = [LogEntry(b"1-0", message()), LogEntry(b"2-0", data), LogEntry(b"3-0", message())]
    batch = sort_entries(entries, SUPPLIER)
    assert [item.entry.id for item in batch.poison] == [b"2-0"]
    assert reason in batch.poison[0].reason
    assert sum(len(relays) for relays in batch.sessions.values()) == 2


def test_contradictions_name_what_differs() -> None:
    """A session id stands for one service, application and span of heights."""
    known = SessionInfo("id", "svc", "app", 11, 20)
    assert contradiction(known, known) == ""
    assert "heights" in contradiction(known, SessionInfo("id", "svc", "app", 11, 21))
    assert "service" in contradiction(known, SessionInfo("id", "other", "app", 11, 20))
