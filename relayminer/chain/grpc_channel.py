"""Unary gRPC calls to the node, awaited from Trio.

grpcio does its own I/O in a thread of its own; a call is started without blocking and its end is
carried back into the Trio loop. So a query costs no worker thread, can be cancelled, and never
stops the loop.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import trio

from relayminer.chain.errors import (
    ChainError,
    ChainQueryError,
    ChainUnavailableError,
    NodeBehindError,
    NotFoundError,
    UnsupportedQueryError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from google.protobuf.message import Message

RECEIVE_LIMIT_BYTES = 10 * 1024 * 1024
"""Largest answer accepted (wire.md 7.1)."""
HEIGHT_METADATA = "x-cosmos-block-height"
"""Header of an answer: the height whose state it speaks of."""

_SCHEMES = ("grpcs://", "grpc://", "https://", "http://")
_KEEPALIVE_MILLISECONDS = 60_000
_KEEPALIVE_TIMEOUT_MILLISECONDS = 10_000
_RECONNECT_FIRST_MILLISECONDS = 500
_RECONNECT_MAX_MILLISECONDS = 5_000

OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.max_send_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MILLISECONDS),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MILLISECONDS),
    ("grpc.min_reconnect_backoff_ms", _RECONNECT_FIRST_MILLISECONDS),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MILLISECONDS),
    # The node is where the settings say; a proxy of the environment is for browsers.
    ("grpc.enable_http_proxy", 0),
)

Answer = TypeVar("Answer", bound="Message")


def grpc_target(url: str) -> str:
    """`host:port` of a gRPC URL, whatever scheme an operator wrote in front of it."""
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme).rstrip("/")
    return url.rstrip("/")


def is_plaintext(url: str, *, default: bool) -> bool:
    """Whether a gRPC URL means a connection without TLS; the default where it does not say."""
    if url.startswith("grpcs://"):
        return False
    return True if url.startswith("grpc://") else default


class GrpcChannel:
    """One connection to the node, shared by queries and transactions; an async context manager.

    Args:
        url: `host:port`; `grpcs://` in front of it means TLS and `grpc://` none.
        insecure: plaintext; else TLS with the system's trust roots; when the URL does not say.
        timeout_seconds: deadline of every call that gives none.
        max_concurrent: calls in flight; further ones wait for a turn within their deadline.
        on_height: called with the height of the state that an answer speaks of, where it says so.
    """

    def __init__(
        self,
        url: str,
        *,
        insecure: bool,
        timeout_seconds: float,
        max_concurrent: int,
        on_height: Callable[[int], None] | None = None,
    ) -> None:
        self._target = grpc_target(url)
        self._insecure = is_plaintext(url, default=insecure)
        self._on_height = on_height
        self._timeout_seconds = timeout_seconds
        self._turns = trio.Semaphore(max_concurrent)
        self._channel: Any = None

    @property
    def target(self) -> str:
        """`host:port` of the node."""
        return self._target

    async def __aenter__(self) -> Self:
        if self._insecure:
            self._channel = grpc.insecure_channel(self._target, OPTIONS)
        else:
            self._channel = grpc.secure_channel(
                self._target, grpc.ssl_channel_credentials(), OPTIONS
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        channel, self._channel = self._channel, None
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(channel.close)

    async def call(
        self,
        method: str,
        request: Message,
        answer: type[Answer],
        *,
        timeout_seconds: float | None = None,
        min_height: int = 0,
    ) -> Answer:
        """Call `/package.Service/Method` and return its answer.

        Raises:
            NotFoundError: the node says NOT_FOUND.
            ChainUnavailableError: no answer within the deadline, no connection, or an answer from
                a state before `min_height` (where the node tells its height, as cosmos-sdk does:
                `cosmos-sdk: baseapp/grpcserver.go`).
            UnsupportedQueryError: the node does not know the method.
            ChainQueryError: any other status, or an answer that does not decode.
        """
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        with trio.move_on_after(seconds) as scope:
            async with self._turns:
                return await self._exchange(method, request, answer, scope, min_height)
        raise ChainUnavailableError(f"{self._target} did not answer {method} within {seconds:g} s")

    async def _exchange(
        self,
        method: str,
        request: Message,
        answer: type[Answer],
        scope: trio.CancelScope,
        min_height: int,
    ) -> Answer:
        if self._channel is None:
            raise ChainUnavailableError(f"the connection to {self._target} is closed")
        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            # Bytes come back as they are: a decoding failure inside grpcio would hide its reason.
            response_deserializer=None,
        ).future(request, timeout=max(scope.deadline - trio.current_time(), 0.001))
        await _finished(call)
        code = call.code()
        if code is not grpc.StatusCode.OK:
            raise _error(self._target, method, code, call.details() or "")
        if min_height or self._on_height is not None:
            self._look_at_height(method, call, min_height)
        try:
            return answer.FromString(call.result())
        except Exception as error:  # DecodeError or UnicodeDecodeError, by protobuf's backend
            raise ChainQueryError(
                f"{self._target} answered {method} with bytes that are no {answer.__name__}",
                "DECODE",
            ) from error

    def _look_at_height(self, method: str, call: Any, min_height: int) -> None:
        """Raises NodeBehindError when the answer says that it is of an older state."""
        for name, value in call.initial_metadata() or ():
            if name != HEIGHT_METADATA or not value.isdecimal():
                continue
            if self._on_height is not None:
                self._on_height(int(value))
            if int(value) < min_height:
                raise NodeBehindError(
                    f"{self._target} answered {method} from height {value}, {min_height} is needed"
                )


async def _finished(call: Any) -> None:
    done = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def tell(_: object) -> None:
        # After the loop has ended nobody waits any more.
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    call.add_done_callback(tell)
    try:
        await done.wait()
    except trio.Cancelled:
        call.cancel()
        raise


def _error(target: str, method: str, code: Any, details: str) -> ChainError:
    if code is grpc.StatusCode.UNAVAILABLE:
        # grpcio's own words, of which only the last are about the network.
        return ChainUnavailableError(f"{target} is not reached: {details.rpartition(': ')[2]}")
    text = f"{target} answered {method} with {code.name}: {details}"
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFoundError(text)
    if code in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}:
        return ChainUnavailableError(text)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnsupportedQueryError(text, code.name)
    return ChainQueryError(text, code.name)
