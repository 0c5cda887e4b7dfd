"""A session's record: its fields, their texts, and the old JSON form (state 1.5.1)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT_BYTES: Final = 48
TERMINAL_STATES: Final = (
    "proved",
    "probabilistic_proved",
    "claim_window_closed",
    "claim_tx_error",
    "claim_missing",
    "claim_skipped",
    "proof_window_closed",
    "proof_tx_error",
)
STATES: Final = ("active", "claiming", "claimed", "proving", *TERMINAL_STATES)
COUNTERS: Final = ("relay_count", "total_compute_units")
OPTIONAL: Final = (
    "claimed_root_hash",
    "claim_tx_hash",
    "proof_tx_hash",
    "last_wal_entry_id",
    "settlement_outcome",
    "settlement_height",
    "settlement_tx_hash",
)
_TEXTS: Final = (
    "session_id",
    "supplier_operator_address",
    "service_id",
    "application_address",
    "state",
)


@attrs.frozen(kw_only=True)
class Snapshot:
    """A session of one supplier, as it is stored.

    Attributes:
        session_start_height: first block.
        session_end_height: last block.
        state: one of `STATES`.
        relay_count: relays in the trie at the last checkpoint.
        total_compute_units: their compute units.
        created_at_ns: nanoseconds since 1970.
        last_updated_at_ns: the same; whatever is written gets the time of writing.
        claimed_root_hash: the sealed root, 48 bytes, or empty.
    """

    session_id: str
    supplier_operator_address: str
    service_id: str
    application_address: str
    session_start_height: int
    session_end_height: int
    state: str = "active"
    relay_count: int = 0
    total_compute_units: int = 0
    created_at_ns: int = 0
    last_updated_at_ns: int = 0
    claimed_root_hash: bytes = b""
    claim_tx_hash: str = ""
    proof_tx_hash: str = ""
    last_wal_entry_id: str = ""
    settlement_outcome: str = ""
    settlement_height: int = 0
    settlement_tx_hash: str = ""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing is to be done for the session any more."""
        return self.state in TERMINAL_STATES


def snapshot_fields(snapshot: Snapshot, updated_at_ns: int) -> dict[str, str | bytes]:
    """Names and texts to store, empty optional ones left out, the two counters last."""
    fields: dict[str, str | bytes] = {name: getattr(snapshot, name) for name in _TEXTS}
    fields["session_start_height"] = str(snapshot.session_start_height)
    fields["session_end_height"] = str(snapshot.session_end_height)
    fields["created_at"] = gojson.format_time(snapshot.created_at_ns)
    fields["last_updated_at"] = gojson.format_time(updated_at_ns)
    fields |= optional_fields(snapshot)
    for name in COUNTERS:
        fields[name] = str(getattr(snapshot, name))
    return fields


def optional_fields(snapshot: Snapshot) -> dict[str, str | bytes]:
    """The optional fields that are not empty."""
    fields: dict[str, str | bytes] = {}
    for name in OPTIONAL:
        value = getattr(snapshot, name)
        if value:
            fields[name] = value if isinstance(value, bytes) else str(value)
    return fields


def read_snapshot(fields: Mapping[bytes, bytes]) -> Snapshot:
    """A snapshot from the fields of a stored hash; unknown ones are ignored.

    Raises:
        UnreadableValueError: a field is missing, no number or no time.
    """
    try:
        texts = {
            name.decode(): value.decode()
            for name, value in fields.items()
            if name != b"claimed_root_hash"
        }
    except UnicodeDecodeError as error:
        raise UnreadableValueError(f"a session field is no text: {error}") from error
    return _snapshot(texts, fields.get(b"claimed_root_hash", b""))


def read_legacy_snapshot(data: bytes) -> Snapshot:
    """A snapshot from the old form: one JSON object with the same names, the root in base64."""
    values = gojson.loads_object(data)
    try:
        root = base64.b64decode(values.pop("claimed_root_hash", None) or "")
    except ValueError as error:
        raise UnreadableValueError(f"the claimed root is not base64: {error}") from error
    return _snapshot({name: str(value) for name, value in values.items()}, root)


def _snapshot(texts: Mapping[str, str], root: bytes) -> Snapshot:
    try:
        values: dict[str, Any] = {name: texts[name] for name in _TEXTS}
        for name in ("session_start_height", "session_end_height"):
            values[name] = int(texts[name])
        for name in (*COUNTERS, "settlement_height"):
            values[name] = int(texts.get(name) or 0)
        for name in OPTIONAL:
            if name not in {"claimed_root_hash", "settlement_height"}:
                values[name] = texts.get(name, "")
        values["created_at_ns"] = gojson.parse_time(texts["created_at"])
        values["last_updated_at_ns"] = gojson.parse_time(texts["last_updated_at"])
    except KeyError as error:
        raise UnreadableValueError(f"the session has no field {error}") from error
    except ValueError as error:
        raise UnreadableValueError(f"the session has a field that is no number: {error}") from error
    if values["state"] not in STATES:
        raise UnreadableValueError(f"the session has the unknown state {values['state']!r}")
    # A root of another length counts as none, as the Go reader does.
    values["claimed_root_hash"] = root if len(root) == ROOT_BYTES else b""
    return Snapshot(**values)
