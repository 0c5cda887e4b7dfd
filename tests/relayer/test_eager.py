"""A relay through the whole engine, eager, over real sockets."""

from __future__ import annotations

from relayminer.net.http1 import Request, response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_response
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.protocol.relay import response_hash, stored_relay
from relayminer.protocol.signature import verify_signature
from tests.relayer.client import connect
from tests.relayer.kit import Backend, bench, request_body, signed_request


async def test_a_valid_relay_is_answered_signed_and_logged(redis_url: str) -> None:
    """The client gets a signed response; the log has that very response without its payload."""
    async with bench(redis_url) as b:
        request = signed_request(b.chain)
        client = await connect(b.address)
        answer = await client.send(request_body(request))
        assert answer.status == 200, answer.body
        response = codec.decode(RelayResponse, answer.body)
        key = b.chain.supplier_keys[0]
        assert verify_signature(
            key.public_key, response_hash(response), response.meta.supplier_operator_signature
        )
        envelope = decode_http_response(response.payload)
        assert envelope.status == 200
        assert envelope.body == b'{"jsonrpc":"2.0","id":1,"result":"0x1234"}'
        [(_, fields)] = await b.logged()
        mined = decode_mined_relay(fields[1])
        stored = stored_relay(request, response)
        assert mined.relay_bytes == stored.relay_bytes
        assert mined.relay_hash == stored.relay_hash
        assert mined.compute_units_per_relay == 100
        assert mined.arrival_block_height == 15
        assert mined.session_id == request.meta.session_header.session_id
        client.wire.close()


async def test_the_backend_gets_the_client_request(redis_url: str) -> None:
    """Path, body, own headers and the pocket headers arrive; framing headers are ours."""
    seen: list[Request] = []

    def answer(request: Request) -> bytes:
        seen.append(request)
        return response_bytes(200, b"{}")

    async with bench(redis_url, backend=Backend(answer)) as b:
        client = await connect(b.address)
        await client.send(request_body(signed_request(b.chain)), [(b"Pocket-Extra", b"1")])
        client.wire.close()
        [request] = seen
        assert request.header(b"content-type") == b"application/json"
        assert request.header(b"accept-encoding") == b"identity"
        assert request.header(b"pocket-service") == b"anvil"
        assert request.header(b"pocket-extra") == b"1"
        assert request.header(b"pocket-supplier") == b.chain.supplier_keys[0].address.encode()
        assert request.body.startswith(b'{"jsonrpc"')
