"""Decoding and checking log entries."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from relayminer.miner.entries import SessionInfo, contradiction, sort_entries
from relayminer.protocol.pb.service_pb2 import Relay
from relayminer.state.log_reader import LogEntry
from tests.miner.relays import log_entry, relay_bytes

SUPPLIER = "pokt1supplier"


FIELDS: dict[str, Any] = {
    "compute_units_per_relay": 7,
    "session_id": "ab" * 32,
    "session_start_height": 11,
    "session_end_height": 20,
    "supplier_operator_address": SUPPLIER,
    "service_id": "svc",
    "application_address": "pokt1app",
}
"""Of a relay's entry."""
OTHER = {"supplier_operator_address": "pokt1other"}
A_RELAY = relay_bytes(b"a relay", **FIELDS)


def message(payload: bytes = b"a relay", **changes: Any) -> bytes:
    """A relay as a relayer logs it; what is changed is changed in the relay too."""
    return log_entry(payload, **{**FIELDS, **changes})


def envelope(**changes: Any) -> bytes:
    """A relay whose entry says something else than the relay itself."""
    return message(relay_bytes=A_RELAY, **changes)


def test_entries_are_grouped_by_session_in_order() -> None:
    """Relays of one session come together, in the order of the stream."""
    data = [message(b"%d" % n, session_id="ab" * 31 + f"{n % 2:02}") for n in range(6)]
    batch = sort_entries([LogEntry(b"%d-0" % n, one) for n, one in enumerate(data)], SUPPLIER)
    assert batch.poison == []
    values = {info.session_id[-1]: relays for info, relays in batch.sessions.items()}
    payloads = [Relay.FromString(relay.value).req.payload for relay in values["0"]]
    assert payloads == [b"0", b"2", b"4"]
    assert all(relay.key == sha256(relay.value).digest() for relay in values["0"])


@pytest.mark.parametrize(
    "older",
    [
        {"relay_hash": b""},
        {"session_start_height": 0},
        {"session_end_height": 0, "session_id": "", "service_id": "", "application_address": ""},
    ],
)
def test_what_older_relayers_leave_out_is_read_in_the_relay(older: dict[str, Any]) -> None:
    """An entry without hash or session fields is as good as one that has them."""
    (info, relays), *_ = sort_entries(
        [LogEntry(b"1-0", envelope(**older))], SUPPLIER
    ).sessions.items()
    assert info == SessionInfo("ab" * 32, "svc", "pokt1app", 11, 20)
    assert relays[0].key == sha256(A_RELAY).digest()


OTHER_RESPONSE = Relay.FromString(A_RELAY)
OTHER_RESPONSE.res.meta.session_header.session_id = "cd" * 32


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no data field"),
        (b"\xff\xff", "not a mined relay message"),
        (message(supplier_operator_address="pokt1other"), "supplier is not the stream's"),
        (message(relay_bytes=b"", relay_hash=b""), "no relay bytes"),
        (message(relay_bytes=b"\xff"), "no relay"),
        (message(relay_hash=b"x" * 32), "relay hash is not the SHA-256 of the relay bytes"),
        (message(session_id=""), "a name is missing"),
        (message(service_id=""), "a name is missing"),
        (message(session_id="a:b"), "session id would break key names"),
        (message(session_start_height=0), "session heights make no session"),
        (message(session_end_height=10), "session heights make no session"),
        (message(session_end_height=2**60), "session heights make no session"),
        (envelope(session_id="cd" * 32), "session is not that of the relay"),
        (envelope(service_id="other"), "session is not that of the relay"),
        (envelope(application_address="pokt1other"), "session is not that of the relay"),
        (envelope(session_start_height=12), "session is not that of the relay"),
        (envelope(session_end_height=30), "session is not that of the relay"),
        (message(relay_bytes=relay_bytes(b"1", **{**FIELDS, **OTHER})), "supplier is not that of"),
        (message(relay_bytes=OTHER_RESPONSE.SerializeToString()), "different sessions"),
    ],
)
def test_poison_is_told_apart(data: bytes | None, reason: str) -> None:
    """What cannot be used is named with its reason, and the entries around it are used."""
    entries = [LogEntry(b"1-0", message()), LogEntry(b"2-0", data), LogEntry(b"3-0", message())]
    batch = sort_entries(entries, SUPPLIER)
    assert [item.entry.id for item in batch.poison] == [b"2-0"]
    assert reason in batch.poison[0].reason
    assert sum(len(relays) for relays in batch.sessions.values()) == 2


def test_names_that_are_no_text_are_refused() -> None:
    """The messages do not insist on UTF-8; what is not goes no further."""
    data = relay_bytes(b"1", **FIELDS).replace(b"svc", b"\xff\xfe\xfd")
    entry = message(relay_bytes=data, service_id="")
    (poison,) = sort_entries([LogEntry(b"1-0", entry)], SUPPLIER).poison
    assert "not UTF-8" in poison.reason


def test_contradictions_name_what_differs() -> None:
    """A session id stands for one service, application and span of heights."""
    known = SessionInfo("id", "svc", "app", 11, 20)
    assert contradiction(known, known) == ""
    assert "heights" in contradiction(known, SessionInfo("id", "svc", "app", 11, 21))
    assert "service" in contradiction(known, SessionInfo("id", "other", "app", 11, 20))
