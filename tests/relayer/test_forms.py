"""The spliced forms are, byte for byte, what the protocol's own code makes."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from relayminer.protocol import codec
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.relay import request_hash, sign_response, stored_relay
from relayminer.protocol.signature import SigningKey
from relayminer.relayer.forms import RelayForms

KEY = SigningKey.from_seed(b"supplier")

texts = st.text(max_size=200)
headers = st.builds(
    SessionHeader,
    application_address=texts,
    service_id=texts,
    session_id=texts,
    session_start_block_height=st.integers(-(2**63), 2**63 - 1),
    session_end_block_height=st.integers(0, 2**40),
)


@given(
    headers,
    st.text(min_size=1, max_size=150),
    st.binary(max_size=300),
    st.binary(min_size=1, max_size=40_000),
    st.binary(max_size=2_100),
)
def test_forms_equal_the_protocol(
    header: SessionHeader, supplier: str, payload: bytes, answer: bytes, signature: bytes
) -> None:
    """Digest, request, response and stored relay, for any header, supplier and payload."""
    request = RelayRequest(payload=payload)
    request.meta.session_header.CopyFrom(header)
    request.meta.signature = signature or b"s"
    request.meta.supplier_operator_address = supplier
    forms = RelayForms(header, supplier)
    assert forms.request_digest(payload) == request_hash(request)
    assert forms.request(request.meta.signature, payload) == codec.encode(request)
    response = sign_response(header, answer, KEY)
    sent, stored_response = forms.response(answer, KEY)
    assert sent == codec.encode(response)
    stored = stored_relay(request, response)
    relay_bytes = forms.stored(request.meta.signature, payload, stored_response)
    assert relay_bytes == stored.relay_bytes
    assert hashlib.sha256(relay_bytes).digest() == stored.relay_hash
