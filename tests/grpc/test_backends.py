"""Which backend a gRPC relay goes to, and what that backend hears (relayer.md 4.3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import grpc

from relayminer.protocol.envelope import HttpRequest
from tests.grpc.kit import called, checked, envelope, refused, serving
from tests.relayer.kit import Backend, json_rpc, request_body, settings, signed_request

if TYPE_CHECKING:
    from relayminer.net.http1 import Request


async def test_metadata_and_content_type_choose_the_backend(redis_url: str) -> None:
    """`rpc-type` first, then what the backend request calls itself, then the default."""
    async with serving(redis_url, configure=partial(settings, backend_type="rest")) as b:
        plain = request_body(signed_request(b.chain))
        for metadata in ((("rpc-type", "4"),), (("rpc-type", "rest"),), (("rpc-type", ""),), ()):
            assert checked(b, await called(b.address, plain, metadata)).status == 200
        code, _ = await refused(b.address, plain, metadata=(("rpc-type", "3"),))
        assert code is grpc.StatusCode.UNAVAILABLE
        inner = envelope(b"", Content_Type="application/grpc+proto")
        native = request_body(signed_request(b.chain, envelope=inner))
        code, _ = await refused(b.address, native)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert checked(b, await called(b.address, native, (("rpc-type", "4"),))).status == 200


async def test_what_grpc_says_of_itself_is_not_passed_on(redis_url: str) -> None:
    """The backend hears of the relay's request, not of the call that carried it."""
    seen: list[Request] = []

    def answer(request: Request) -> bytes:
        seen.append(request)
        return json_rpc(request)

    async with serving(redis_url, backend=Backend(answer)) as b:
        bare = HttpRequest("POST", "http://gateway/", {}, b"{}")
        await called(
            b.address,
            request_body(signed_request(b.chain, envelope=bare)),
            (("pocket-trace", "7"), ("x-other", "8")),
        )
        [request] = seen
        assert request.header(b"content-type") == b""
        assert b"grpc" not in request.header(b"user-agent")
        assert request.header(b"pocket-trace") == b"7"
        assert request.header(b"x-other") == b""
