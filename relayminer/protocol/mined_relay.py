"""What a relayer hands to the miner for each relay: one entry of the relay log.

Source: `pocket-relay-miner: transport/mined_relay.pb.go`.
"""

from __future__ import annotations

from attrs import frozen

from relayminer.protocol import codec
from relayminer.protocol.errors import DecodeError
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage


@frozen
class MinedRelay:
    """A relay that waits to be put into its session's trie.

    Attributes:
        relay_hash: 32 bytes: the leaf's key.
        relay_bytes: the leaf's value.
        compute_units_per_relay: the leaf's weight, of the service at session start.
        arrival_block_height: height when the request came in.
        published_at_unix_nano: nanoseconds since 1970.
    """

    relay_hash: bytes
    relay_bytes: bytes
    compute_units_per_relay: int
    session_id: str
    session_end_height: int
    supplier_operator_address: str
    service_id: str
    application_address: str
    arrival_block_height: int
    published_at_unix_nano: int
    session_start_height: int


def encode_mined_relay(relay: MinedRelay) -> bytes:
    """The value of field `data` of a stream entry."""
    return MinedRelayMessage(
        relay_hash=relay.relay_hash,
        relay_bytes=relay.relay_bytes,
        compute_units_per_relay=relay.compute_units_per_relay,
        session_id=relay.session_id,
        session_end_height=relay.session_end_height,
        supplier_operator_address=relay.supplier_operator_address,
        service_id=relay.service_id,
        application_address=relay.application_address,
        arrival_block_height=relay.arrival_block_height,
        published_at_unix_nano=relay.published_at_unix_nano,
        session_start_height=relay.session_start_height,
    ).SerializeToString()


def decode_mined_relay(data: bytes) -> MinedRelay:
    """Parse the value of field `data` of a stream entry.

    Raises:
        DecodeError: no such message, or text that is not UTF-8.
    """
    message = codec.decode(MinedRelayMessage, data)
    texts = (
        message.session_id,
        message.supplier_operator_address,
        message.service_id,
        message.application_address,
    )
    if not all(isinstance(text, str) for text in texts):
        raise DecodeError("a mined relay with text that is not UTF-8")
    return MinedRelay(
        relay_hash=message.relay_hash,
        relay_bytes=message.relay_bytes,
        compute_units_per_relay=message.compute_units_per_relay,
        session_id=message.session_id,
        session_end_height=message.session_end_height,
        supplier_operator_address=message.supplier_operator_address,
        service_id=message.service_id,
        application_address=message.application_address,
        arrival_block_height=message.arrival_block_height,
        published_at_unix_nano=message.published_at_unix_nano,
        session_start_height=message.session_start_height,
    )
