"""Which backend a gRPC relay goes to, and what that backend hears (relayer.md 4.3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from relayminer.protocol.envelope import HttpRequest
from tests.grpc.client import framed
from tests.grpc.kit import called, checked, envelope, refused, serving
from tests.relayer.kit import Backend, json_rpc, request_body, settings, signed_request

if TYPE_CHECKING:
    from relayminer.config.settings import RelayerSettings
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


async def test_a_native_backend(redis_url: str) -> None:
    """A call inside the relay reaches a gRPC server, and its status comes back in the headers."""

    def echo(request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("seen", "yes"),))
        return request[::-1]

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("pkg.Service", {"Method": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        configure = partial(_native, port)
        async with serving(redis_url, configure=configure) as b:
            headers = {"Content-Type": ("application/grpc",), "Te": ("trailers",)}
            inner = HttpRequest("POST", "/pkg.Service/Method", headers, framed(b"abc"))
            answer = await called(b.address, request_body(signed_request(b.chain, envelope=inner)))
            inside = checked(b, answer)
            assert inside.status == 200
            assert inside.body == framed(b"cba")
            assert inside.headers["Grpc-Status"] == ("0",)
            assert inside.headers["Seen"] == ("yes",)
            assert len(await b.logged()) == 1
    finally:
        server.stop(None).wait()


def _native(port: int, _: str) -> RelayerSettings:
    return settings(f"127.0.0.1:{port}", backend_type="grpc")


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
