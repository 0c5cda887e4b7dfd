"""Frames of a hostile peer, and what must hold whatever it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpack import Encoder

from tests.grpc.client import connect
from tests.relayer.kit import request_body, signed_request

if TYPE_CHECKING:
    from tests.relayer.kit import Bench

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "relayer"),
    (":path", "/"),
]


def head(extra: list[tuple[str, str]] | None = None) -> bytes:
    """A header block that needs no earlier one."""
    return Encoder().encode([*REQUEST, *(extra or [])])


async def still_serves(b: Bench) -> None:
    """Another connection is served as ever."""
    client = await connect(b.address)
    answer = await client.answer(await client.call(request_body(signed_request(b.chain))))
    assert answer.grpc == (0, "")
    await client.aclose()
