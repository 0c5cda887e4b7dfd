"""gRPC-Web: the same call in one HTTP request, its trailers in the body (K-47: preflight too)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from grpclib.const import Status

from relayminer.plugin import RelayAnswer, RelayCall
from relayminer_plugins.grpc.messages import PREFIX, CallError, MessageReader, framed, not_received
from relayminer_plugins.grpc.service import SEND_RELAY, metadata, trailers_of
from relayminer_plugins.grpc.status import SUCCESS, CallStatus, status_of

if TYPE_CHECKING:
    from relayminer.plugin import Engine, Headers, Request

NAME: Final = "grpc-web"
_TYPE: Final = b"application/grpc-web"
_TEXT: Final = b"application/grpc-web-text"
_TRAILERS_FLAG: Final = 0x80
_MAX_ECHO: Final = 4_096
_BASE64_QUANTUM: Final = 4
_MAX_PIECES: Final = 1_000
_EXPOSED: Final = b"grpc-status, grpc-message"


def takes(request: Request) -> bool:
    """Whether this is a gRPC-Web call, or a browser's question before one."""
    method = request.method
    if method == b"POST":
        for name, value in request.headers:
            if name == b"content-type":
                return value.startswith(_TYPE)
        return False
    return method == b"OPTIONS" and _is_preflight(request)


def _is_preflight(request: Request) -> bool:
    """A browser asks whether a page of another origin may POST gRPC-Web."""
    if request.header(b"access-control-request-method") != b"POST":
        return False
    if not request.header(b"origin"):
        return False
    wanted = request.header(b"access-control-request-headers").lower()
    return b"x-grpc-web" in wanted or _path(request).endswith(SEND_RELAY)


def _path(request: Request) -> bytes:
    return request.target.partition(b"?")[0]


async def answer(request: Request, engine: Engine) -> RelayAnswer:
    """Answer either."""
    if request.method == b"OPTIONS":
        return _preflight(request)
    content_type = request.header(b"content-type")
    is_text = content_type.startswith(_TEXT)
    body, status = await _call(request, engine, is_text=is_text)
    trailers = b"".join(b"%b: %b\r\n" % field for field in trailers_of(status))
    whole = body + PREFIX.pack(_TRAILERS_FLAG, len(trailers)) + trailers
    if is_text:
        whole = base64.b64encode(whole)
    kind = _TEXT if is_text else _TYPE
    if content_type.endswith(b"+proto"):
        kind += b"+proto"
    return RelayAnswer(200, whole, kind, _cors(request))


async def _call(request: Request, engine: Engine, *, is_text: bool) -> tuple[bytes, CallStatus]:
    path = _path(request)
    if not path.endswith(SEND_RELAY):
        text = f"unknown method: {path.decode('latin-1')}"
        return b"", CallStatus(Status.UNIMPLEMENTED, text)
    try:
        message = await _message(request, engine, is_text=is_text)
    except CallError as error:
        engine.refuse(400, str(error), reason="recv_error", grpc=True)
        return b"", error.status
    call = RelayCall(message, metadata(request.headers), NAME, grpc=True)
    relay = await engine.exchange(call)
    status = status_of(relay)
    return (framed(relay.body) if status is SUCCESS else b""), status


async def _message(request: Request, engine: Engine, *, is_text: bool) -> bytes:
    pieces = [_from_text(request.body) if is_text else request.body]

    async def take() -> bytes | None:
        return pieces.pop() if pieces else None

    encoding = request.header(b"grpc-encoding")
    reader = MessageReader(take, engine.limits.max_grpc_message_bytes, encoding)
    message = await reader.next()
    if message is None:
        raise not_received("EOF")
    if not reader.between or pieces:
        raise not_received("more than one message")
    return message


def _from_text(body: bytes) -> bytes:
    """Base64, perhaps a few pieces that were encoded each for itself."""
    plain = bytearray()
    start = 0
    try:
        for _ in range(_MAX_PIECES):
            if start >= len(body):
                return bytes(plain)
            padding = body.find(b"=", start)
            end = len(body)
            if padding >= 0:
                end = start + ((padding - start) // _BASE64_QUANTUM + 1) * _BASE64_QUANTUM
            plain += base64.b64decode(body[start:end], validate=True)
            start = end
    except binascii.Error as error:
        raise not_received(f"bad base64: {error}") from None
    raise not_received("bad base64: too many pieces")


def _cors(request: Request) -> Headers | None:
    if not request.header(b"origin"):
        return None
    return [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Expose-Headers", _EXPOSED),
    ]


def _preflight(request: Request) -> RelayAnswer:
    """Any origin may call; nothing here goes by cookies."""
    headers = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Allow-Methods", b"POST, OPTIONS"),
        (b"Access-Control-Max-Age", b"600"),
    ]
    wanted = request.header(b"access-control-request-headers")
    if wanted and len(wanted) <= _MAX_ECHO:
        headers.append((b"Access-Control-Allow-Headers", wanted))
    return RelayAnswer(200, b"", b"text/plain", headers)
