"""Log entries with relays in them, as a relayer writes them but for the signatures."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from relayminer.protocol.codec import encode
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.pb.service_pb2 import Relay, RelayRequest, RelayResponse
from relayminer.protocol.pb.session_pb2 import SessionHeader


def log_entry(payload: bytes, **fields: Any) -> bytes:
    """The bytes of an entry.

    Args:
        payload: Of the relay's request; no two relays of a session are to have the same.
        **fields: Of the entry. What it says of its session and supplier, the relay in it says too,
            unless `relay_bytes` is one of them.
    """
    if "relay_bytes" not in fields:
        fields["relay_bytes"] = relay_bytes(payload, **fields)
    fields.setdefault("relay_hash", sha256(fields["relay_bytes"]).digest())
    return MinedRelayMessage(**fields).SerializeToString()


def relay_bytes(payload: bytes, **fields: Any) -> bytes:
    """The relay that belongs into an entry with these fields."""
    header = SessionHeader(
        session_id=fields["session_id"],
        service_id=fields["service_id"],
        application_address=fields["application_address"],
        session_start_block_height=fields["session_start_height"],
        session_end_block_height=fields["session_end_height"],
    )
    request = RelayRequest(payload=payload)
    request.meta.session_header.CopyFrom(header)
    request.meta.supplier_operator_address = fields["supplier_operator_address"]
    response = RelayResponse(payload_hash=sha256(payload).digest())
    response.meta.session_header.CopyFrom(header)
    return encode(Relay(req=request, res=response))
