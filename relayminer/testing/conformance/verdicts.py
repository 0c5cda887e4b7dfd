"""What the checks have in common: how one fails, and what a good answer is."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from relayminer.protocol import codec
from relayminer.protocol.pb.service_pb2 import Relay, RelayResponse
from relayminer.protocol.relay import response_hash
from relayminer.protocol.signature import verify_signature
from relayminer.testing.stand import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from relayminer.protocol.mined_relay import MinedRelay
    from relayminer.testing.driver import DrivenConnection, Reply
    from relayminer.testing.stand import Stand


_PAUSE_SECONDS = 0.01


class NonconformingError(AssertionError):
    """A transport breaks a promise; the text says which, and how it showed."""


def require(condition: object, broken: str) -> None:
    """Fail the check unless `condition` holds.

    Raises:
        NonconformingError: it does not.
    """
    if not condition:
        raise NonconformingError(broken)


def good_response(stand: Stand, reply: Reply) -> RelayResponse:
    """The response of a served relay, with a signature of the session's supplier.

    Raises:
        NonconformingError: it was refused, or is not what a gateway accepts.
    """
    require(not reply.refusal, f"a good relay was refused: {reply.refusal}")
    require(reply.response, "a good relay was answered with nothing")
    response = codec.decode(RelayResponse, reply.response)
    parties = stand.parties
    require(response.meta.session_header == parties.header, "the answer is of another session")
    digest = hashlib.sha256(response.payload).digest()
    require(response.payload_hash == digest, "payload_hash is not the hash of the payload")
    require(
        verify_signature(
            parties.supplier_public_key,
            response_hash(response),
            response.meta.supplier_operator_signature,
        ),
        "the answer is not signed by the supplier",
    )
    return response


def refused(reply: Reply, what: str) -> str:
    """The words of a refusal.

    Raises:
        NonconformingError: it was served, or somebody's internals show.
    """
    require(not reply.response, f"{what} was served")
    require(reply.refusal, f"{what} was neither served nor refused")
    for betrayal in ("Traceback", "line ", ".py"):
        require(betrayal not in reply.refusal, f"{what}: the refusal shows {betrayal!r}")
    return reply.refusal


def same_relay(entry: MinedRelay, body: bytes, response: RelayResponse) -> bool:
    """Whether a log entry is about this very request and this very response."""
    relay = codec.decode(Relay, entry.relay_bytes)
    signature = relay.res.meta.supplier_operator_signature
    return (
        hashlib.sha256(entry.relay_bytes).digest() == entry.relay_hash
        and codec.encode(relay.req) == body
        and relay.res.payload_hash == response.payload_hash
        and not relay.res.payload
        and signature == response.meta.supplier_operator_signature
    )


async def until_asked(stand: Stand, count: int) -> None:
    """Wait until the backend has seen `count` requests."""

    async def asked() -> bool:
        return stand.backend.asked >= count

    await until(asked)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, within the time that a check has; for what nobody announces."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            if await true():
                return
            await trio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def connected(stand: Stand) -> AsyncIterator[DrivenConnection]:
    """A connection to the stand's relayer for the block, within the time that a check has."""
    with trio.fail_after(PATIENCE_SECONDS):
        connection = await stand.driver.connect(
            stand.relayer.address, stand.parties.header.service_id
        )
        try:
            yield connection
        finally:
            await connection.aclose()
