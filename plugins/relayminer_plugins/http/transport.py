"""Relays over HTTP/1.1, one request after another on each connection."""

from __future__ import annotations

import trio

from relayminer.plugin import (
    Claim,
    Engine,
    RelayAnswer,
    RelayCall,
    Request,
    RequestReader,
    RequestRefusedError,
    StreamAnswer,
    Wire,
    WireError,
    WireTimeoutError,
    linger,
    response_bytes,
)
from relayminer_plugins.http.sink import HttpSink

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP_1_0 = "1.0"
_LINGER_BYTES = 67_108_864
_LINGER_SECONDS = 2.0
_STATUS_PATHS = (b"/health", b"/ready")
_REASONS = {
    400: "read_body_error",
    408: "request_timeout",
    413: "body_too_large",
    431: "headers_too_large",
    503: "draining",
}


class HttpTransport:
    """HTTP/1.1 on a Trio socket, parsed by llhttp."""

    name = "http"
    priority = 100

    def claims(self, head: bytes) -> Claim:
        """Whatever does not speak HTTP/2 is answered here, if only with 400."""
        if _HTTP2_PREFACE.startswith(head[: len(_HTTP2_PREFACE)]):
            return Claim.MORE if len(head) < len(_HTTP2_PREFACE) else Claim.NO
        return Claim.YES

    async def serve(self, wire: Wire, engine: Engine) -> None:
        """Answer requests until the client or the relayer hangs up."""
        reader = RequestReader(wire, engine.limits)
        while True:
            try:
                request = await reader.next()
            except RequestRefusedError as refusal:
                await self._refuse(wire, engine, refusal)
                return
            if request is None:
                return
            sink = HttpSink(wire, engine.limits, chunked=request.version != _HTTP_1_0)
            answer = await self._answer(request, engine, sink)
            if isinstance(answer, StreamAnswer):
                await sink.end(complete=answer.complete)
                return
            if sink.begun:
                # Something failed that should not: the break is all that can be said now.
                return
            keep_alive = request.keep_alive and not engine.draining
            head_only = request.method == b"HEAD"
            await self._write(wire, engine, answer, keep_alive=keep_alive, head_only=head_only)
            if not keep_alive:
                return
            # Nothing of them is kept while the client thinks.
            del request, answer

    async def _answer(
        self, request: Request, engine: Engine, sink: HttpSink
    ) -> RelayAnswer | StreamAnswer:
        if request.target.startswith(_STATUS_PATHS):
            page = engine.status(request.target.partition(b"?")[0].decode("latin-1"))
            if page is not None:
                return page
        taker = engine.taker(request)
        if taker is not None:
            return await taker.answer(request, engine)
        call = RelayCall(request.body, request.headers, self.name, may_compress=True)
        return await engine.stream(call, sink)

    async def _write(
        self,
        wire: Wire,
        engine: Engine,
        answer: RelayAnswer,
        *,
        keep_alive: bool,
        head_only: bool = False,
    ) -> None:
        wire.expires_at = trio.current_time() + engine.limits.write_timeout_seconds
        await wire.send(
            response_bytes(
                answer.status,
                answer.body,
                content_type=answer.content_type,
                headers=answer.headers,
                keep_alive=keep_alive,
                head_only=head_only,
            )
        )

    async def _refuse(self, wire: Wire, engine: Engine, refusal: RequestRefusedError) -> None:
        status, message = refusal.status, str(refusal)
        if engine.draining:
            status, message = 503, "relayer is shutting down"
        answer = engine.refuse(status, message, reason=_REASONS.get(status, "malformed_request"))
        try:
            await self._write(wire, engine, answer, keep_alive=False)
        except (WireError, WireTimeoutError):
            # The answer is a courtesy to a client that broke the rules.
            return
        wire.finish_writing()
        if not wire.expired:
            await linger(wire, _LINGER_BYTES, _LINGER_SECONDS)
