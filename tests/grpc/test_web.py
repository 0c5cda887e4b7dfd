"""gRPC-Web: binary and text, over HTTP/1.1 and HTTP/2, and what browsers ask before."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

import grpc
import pytest

from relayminer.net.client import request_bytes
from tests.grpc.client import METHOD, connect, framed
from tests.grpc.kit import checked, errors, serving
from tests.relayer import client as http
from tests.relayer.kit import SERVICE, request_body, signed_request

if TYPE_CHECKING:
    from relayminer.net.response import Response
    from tests.relayer.kit import Bench

BINARY = b"application/grpc-web+proto"
TEXT = b"application/grpc-web-text"
TRAILERS = 0x80
Headers = list[tuple[bytes, bytes]]


def parted(body: bytes) -> tuple[list[bytes], bytes]:
    """The messages of an answer, and its trailers."""
    found, trailers = [], b""
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        if flag & TRAILERS:
            trailers = body[5 : 5 + size]
        else:
            found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found, trailers


async def ask(
    b: Bench,
    body: bytes,
    kind: bytes = BINARY,
    more: Headers | None = None,
    path: bytes = METHOD.encode(),
) -> Response:
    """POST a body over HTTP/1.1."""
    client = await http.connect(b.address)
    answer = await client.send(body, [(b"Content-Type", kind), *(more or [])], path)
    client.wire.close()
    return answer


async def test_binary(redis_url: str) -> None:
    """The message and the trailers are frames of one body."""
    async with serving(redis_url) as b:
        body = framed(request_body(signed_request(b.chain)))
        answer = await ask(b, body, more=[(b"Pocket-Service-Id", SERVICE.encode())])
        assert answer.status == 200
        assert answer.header(b"content-type") == BINARY
        [message], trailers = parted(answer.body)
        assert checked(b, message).status == 200
        assert trailers == b"grpc-status: 0\r\n"
        assert len(await b.logged()) == 1
        assert b.value("ha_relayer_grpc_web_requests_total", service_id=SERVICE) == 1
        assert b.value("ha_relayer_grpc_relays_total", service_id=SERVICE) == 1


@pytest.mark.parametrize("pieces", [1, 3])
async def test_text(redis_url: str, pieces: int) -> None:
    """Base64 both ways; a client may have encoded its pieces each for itself."""
    async with serving(redis_url) as b:
        body = framed(request_body(signed_request(b.chain)))
        step = len(body) // pieces + 1
        encoded = b"".join(
            base64.b64encode(body[at : at + step]) for at in range(0, len(body), step)
        )
        answer = await ask(b, encoded, TEXT)
        assert answer.header(b"content-type") == TEXT
        [message], trailers = parted(base64.b64decode(answer.body, validate=True))
        assert checked(b, message).status == 200
        assert trailers == b"grpc-status: 0\r\n"


async def test_over_http2(redis_url: str) -> None:
    """The connection makes no difference."""
    async with serving(redis_url) as b:
        client = await connect(b.address)
        body = framed(request_body(signed_request(b.chain)))
        kind = [("content-type", "application/grpc-web")]
        answer = await client.answer(await client.post(body, METHOD, kind))
        await client.aclose()
        assert answer.status == "200"
        [message], trailers = parted(bytes(answer.body))
        assert checked(b, message).status == 200
        assert trailers == b"grpc-status: 0\r\n"


async def test_any_path_that_ends_in_the_method(redis_url: str) -> None:
    """A relayer may be staked under a path; another method is not implemented."""
    async with serving(redis_url) as b:
        body = framed(request_body(signed_request(b.chain)))
        answer = await ask(b, body, path=b"/some/where" + METHOD.encode())
        assert parted(answer.body)[1] == b"grpc-status: 0\r\n"
        answer = await ask(b, body, path=b"/other")
        assert parted(answer.body) == (
            [],
            b"grpc-status: 12\r\ngrpc-message: unknown method: /other\r\n",
        )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BINARY),
        (b"\x00\x00\x00", BINARY),
        (framed(b"\xff\xff"), BINARY),
        (framed(b"x" * 10)[:-1], BINARY),
        (framed(b"") + b"more", BINARY),
        (framed(b"", flag=TRAILERS), BINARY),
        (b"?not base64?", TEXT),
        (b"AA==" * 100_000, TEXT),
        (b"AAA", TEXT),
    ],
    ids=lambda value: repr(value[:12]),
)
async def test_what_cannot_be_received(redis_url: str, body: bytes, kind: bytes) -> None:
    """Step 1 of 4.2; the status is in the trailers, HTTP's stays 200."""
    async with serving(redis_url) as b:
        answer = await ask(b, body, kind)
        assert answer.status == 200
        plain = base64.b64decode(answer.body) if kind == TEXT else answer.body
        messages, trailers = parted(plain)
        assert messages == []
        code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert trailers.startswith(b"grpc-status: %d\r\n" % code)
        assert b"grpc-message: failed to receive request: " in trailers
        assert errors(b, "recv_error", "unknown") == 1
        assert await b.logged() == []


async def test_a_forged_relay(redis_url: str) -> None:
    """It is refused like any other."""
    async with serving(redis_url) as b:
        request = signed_request(b.chain)
        request.payload += b"\x22\x00"
        answer = await ask(b, framed(request_body(request)))
        code = grpc.StatusCode.PERMISSION_DENIED.value[0]
        assert b"grpc-status: %d\r\n" % code in parted(answer.body)[1]
        assert await b.logged() == []


# Browsers.


async def options(b: Bench, headers: Headers, path: bytes = METHOD.encode()) -> Response:
    """The answer to OPTIONS."""
    client = await http.connect(b.address)
    await client.wire.send(request_bytes(b"OPTIONS", path, b"relayer", headers, b""))
    answer = await client.read()
    client.wire.close()
    return answer


PREFLIGHT: Headers = [
    (b"Origin", b"https://page.example"),
    (b"Access-Control-Request-Method", b"POST"),
    (b"Access-Control-Request-Headers", b"content-type,x-grpc-web,x-user-agent"),
]


@pytest.mark.parametrize("path", [METHOD.encode(), b"/anywhere"])
async def test_a_preflight(redis_url: str, path: bytes) -> None:
    """K-47: any origin may call, with the headers that it asked for."""
    async with serving(redis_url) as b:
        answer = await options(b, PREFLIGHT, path)
        assert answer.status == 200
        assert answer.body == b""
        assert answer.header(b"access-control-allow-origin") == b"*"
        assert answer.header(b"access-control-allow-methods") == b"POST, OPTIONS"
        assert answer.header(b"access-control-allow-headers") == PREFLIGHT[2][1]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        PREFLIGHT[1:],
        [PREFLIGHT[0], PREFLIGHT[2]],
        [PREFLIGHT[0], (b"Access-Control-Request-Method", b"DELETE"), PREFLIGHT[2]],
        PREFLIGHT[:2],
    ],
)
async def test_what_is_no_preflight_of_grpc_web(redis_url: str, headers: Headers) -> None:
    """Any other OPTIONS is what it was: a relay without a body."""
    async with serving(redis_url) as b:
        answer = await options(b, headers, b"/")
        assert answer.status == 400
        assert http.error_of(answer).startswith("invalid relay request")


async def test_a_page_may_read_the_answer(redis_url: str) -> None:
    """With an origin the answer says so; without one it says nothing of it."""
    async with serving(redis_url) as b:
        body = framed(request_body(signed_request(b.chain)))
        answer = await ask(b, body, more=[PREFLIGHT[0]])
        assert answer.header(b"access-control-allow-origin") == b"*"
        assert answer.header(b"access-control-expose-headers") == b"grpc-status, grpc-message"
        answer = await ask(b, framed(request_body(signed_request(b.chain))))
        assert answer.header(b"access-control-allow-origin") == b""
