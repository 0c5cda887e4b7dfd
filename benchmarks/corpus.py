"""Relays signed in advance, as whole HTTP requests for `benchmarks.load_client`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.gateway.corpus import sign_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.gateway.corpus import Target

JSON_RPC = b"3"


def http_corpus(targets: Sequence[Target], authority: str, count: int) -> list[bytes]:
    """`count` whole HTTP requests, spread over the targets, no two equal."""
    corpus = trio.run(sign_corpus, targets, count)
    try:
        return [http_request(authority.encode(), body) for body in corpus]
    finally:
        corpus.close()


def http_request(authority: bytes, body: bytes) -> bytes:
    """A relay request on its way."""
    return (
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
        b"Rpc-Type: %b\r\nContent-Length: %d\r\n\r\n" % (authority, JSON_RPC, len(body))
    ) + body
