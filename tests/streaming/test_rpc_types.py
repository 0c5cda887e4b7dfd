"""`Rpc-Type` and the backends behind it: REST, CometBFT, and what HTTP does not serve (2.1, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from relayminer.config.settings import BackendSettings, RelayerSettings, ServiceSettings
from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayResponse
from tests.relayer.client import connect, error_of
from tests.relayer.kit import SERVICE, bench, request_body, settings, signed_request
from tests.streaming.backend import NDJSON, StreamBackend, read_stream
from tests.streaming.client import EVENTS, plays

if TYPE_CHECKING:
    from collections.abc import Callable


def all_types(**schemes: str) -> Callable[[str], RelayerSettings]:
    """One backend behind every type; `schemes` replaces `http` where it is not that."""

    def configure(url: str) -> RelayerSettings:
        backends = {
            kind: BackendSettings(
                url=url.replace("http", schemes.get(kind, "http"), 1), base_path=f"/{kind}"
            )
            for kind in ("jsonrpc", "rest", "cometbft", "websocket")
        }
        return attrs.evolve(settings(url), services={SERVICE: ServiceSettings(backends=backends)})

    return configure


@pytest.mark.parametrize(
    ("rpc_type", "path"),
    [
        (b"3", b"/jsonrpc/v1/status?a=1"),
        (b"4", b"/rest/v1/status?a=1"),
        (b"5", b"/cometbft/v1/status?a=1"),
        (b"rest", b"/rest/v1/status?a=1"),
        (None, b"/jsonrpc/v1/status?a=1"),
    ],
)
async def test_each_type_has_its_backend(
    redis_url: str, rpc_type: bytes | None, path: bytes
) -> None:
    """Method, path and query of the inner request; numbers and names; JSON-RPC by default."""
    envelope = HttpRequest("GET", "http://gateway/v1/status?a=1", {}, b"")
    async with bench(redis_url, configure=all_types()) as b:
        client = await connect(b.address)
        headers = [] if rpc_type is None else [(b"Rpc-Type", rpc_type)]
        answer = await client.send(
            request_body(signed_request(b.chain, envelope=envelope)), headers
        )
        client.wire.close()
        assert answer.status == 200
        response = codec.decode(RelayResponse, answer.body)
        assert decode_http_response(response.payload).status == 200
        [request] = b.backend.requests
        assert request.method == b"GET"
        assert request.target == path
        assert len(await b.logged()) == 1


@pytest.mark.parametrize("rpc_type", [b"4", b"5"])
async def test_rest_and_cometbft_stream(redis_url: str, rpc_type: bytes) -> None:
    """REST is the usual carrier; CometBFT goes the same way."""
    backend = StreamBackend(plays(EVENTS, content_type=NDJSON))
    async with bench(redis_url, backend=backend, configure=all_types()) as b:
        client = await connect(b.address)
        body = request_body(signed_request(b.chain))
        await client.wire.send(
            b"POST / HTTP/1.1\r\nRpc-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (rpc_type, len(body), body)
        )
        stream = await read_stream(client)
        client.wire.close()
        assert stream.body == EVENTS


async def test_a_websocket_backend_is_not_posted_to(redis_url: str) -> None:
    """K-24: refused before the pool is touched, and not held against the endpoint."""
    async with bench(redis_url, configure=all_types(websocket="ws")) as b:
        client = await connect(b.address)
        answer = await client.send(request_body(signed_request(b.chain)), [(b"Rpc-Type", b"2")])
        client.wire.close()
        assert answer.status == 400
        assert error_of(answer) == "rpc type websocket is not served over HTTP"
        pool = b.relayer.backends.routes[SERVICE].by_type["websocket"].pool
        assert pool is not None
        assert pool.endpoints[0].failures == 0
        assert not b.backend.requests
        assert not await b.logged()


async def test_an_unknown_type_has_no_backend(redis_url: str) -> None:
    """Any other text is a type of its own; there is no fallback."""
    async with bench(redis_url, configure=all_types()) as b:
        client = await connect(b.address)
        answer = await client.send(request_body(signed_request(b.chain)), [(b"Rpc-Type", b"soap")])
        client.wire.close()
        assert answer.status == 503
        assert error_of(answer) == "service temporarily unavailable"
